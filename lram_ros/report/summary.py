"""``summary.json``: the figures of a run for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.report.page import write_text
from lram_core.statistics import wilson_interval
from lram_ros.report.results import (
    STAGES,
    EpisodeResult,
    RunInfo,
    by_task,
    latencies,
    percentiles_ms,
)


def summarise(results: list[EpisodeResult], info: RunInfo) -> dict[str, Any]:
    """The figures of a run as plain data.

    Raises:
        ValueError: there is no episode.
    """
    if not results:
        raise ValueError("a summary needs at least one episode")
    ticks = sum(result.ticks for result in results)
    wall = sum(result.wall for result in results)
    return {
        **_successes(results),
        "tick_ms": percentiles_ms(latencies(results)),
        "stage_ms": _stages(results),
        "ticks": ticks,
        "loop_rate_hz": ticks / wall if wall > 0 else None,
        "deadline_ms": 1e3 / info.control_rate,
        "deadline_missed": sum(result.deadline_missed for result in results),
        "suite": info.suite,
        "mode": info.mode,
        "bundle": info.bundle,
        "seed": info.seed,
        "started": info.started,
        "duration_s": info.duration,
        "machine": dict(info.machine),
        "files": dict(info.files),
        "notes": list(info.notes),
        "tasks": [{"task": task, **_task(group)} for task, group in by_task(results).items()],
        "runs": [_run(result) for result in results],
    }


def write_summary(path: Path, results: list[EpisodeResult], info: RunInfo) -> None:
    """Write :func:`summarise` as JSON; the file appears complete or not at all."""
    text = json.dumps(summarise(results, info), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _successes(results: list[EpisodeResult]) -> dict[str, Any]:
    successes = sum(result.success for result in results)
    low, high = wilson_interval(successes, len(results))
    return {
        "success_rate": successes / len(results),
        "success_interval_95": [low, high],
        "episodes": len(results),
        "successes": successes,
    }


def _task(group: list[EpisodeResult]) -> dict[str, Any]:
    return {
        **_successes(group),
        "mean_return": float(np.mean([result.episode_return for result in group])),
        "mean_ticks": float(np.mean([result.ticks for result in group])),
        "tick_ms": percentiles_ms(latencies(group)),
    }


def _run(result: EpisodeResult) -> dict[str, Any]:
    return {
        "task": result.task,
        "seed": result.seed,
        "success": result.success,
        "return": result.episode_return,
        "ticks": result.ticks,
        "wall_s": result.wall,
        "loop_rate_hz": result.loop_rate,
        "tick_ms": percentiles_ms(latencies([result])),
        "deadline_missed": result.deadline_missed,
    }


def _stages(results: list[EpisodeResult]) -> dict[str, dict[str, float | None]]:
    stages = {}
    for stage in STAGES:
        arrays = [result.stages[stage] for result in results if stage in result.stages]
        if arrays:
            stages[stage] = percentiles_ms(np.concatenate(arrays))
    return stages
