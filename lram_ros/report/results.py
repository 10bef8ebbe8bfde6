"""The results of a run: one record an episode, and what was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]

STAGES = ("observe", "tokenise", "step", "decode", "publish")
"""Stages of a control tick, in the order they run; named as in PolicyTick."""


@dataclass(frozen=True)
class EpisodeResult:
    """One episode as seen from outside, over topics.

    Attributes:
        task, seed: which episode.
        success: the task's success flag was raised before the step limit.
        episode_return: sum of the rewards, not scaled.
        ticks: number of control ticks.
        latency: time of each traced tick from complete input to published command, s.
        stages: the same, by stage of STAGES, s.
        wall: wall-clock time of the episode, s.
        deadline_missed: number of ticks that took longer than the control period.
    """

    task: str
    seed: int
    success: bool
    episode_return: float
    ticks: int
    latency: Seconds
    stages: Mapping[str, Seconds] = field(default_factory=dict)
    wall: float = 0.0
    deadline_missed: int = 0

    @property
    def loop_rate(self) -> float:
        """Control ticks a wall-clock second, simulation and transport included, in Hz."""
        return self.ticks / self.wall if self.wall > 0 else 0.0


@dataclass(frozen=True)
class RunInfo:
    """What was run, for the head of the report.

    Attributes:
        suite, mode: task suite; ``lockstep`` or ``realtime``.
        bundle: name or path of the policy bundle.
        seed: seed of the first episode.
        control_rate: Hz; a tick longer than its inverse misses its deadline.
        started: local time of the start, ISO 8601.
        duration: wall-clock time of the whole run, s.
        machine: name → value, e.g. processor, Python, ROS 2.
        files: what → file beside the report, e.g. video → ``episodes.mp4``.
        notes: anything a reader must know, e.g. that the run was cut short.
    """

    suite: str
    mode: str
    bundle: str
    seed: int
    control_rate: float
    started: str
    duration: float
    machine: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def by_task(results: list[EpisodeResult]) -> dict[str, list[EpisodeResult]]:
    """Episodes grouped by task, tasks in the order of their first episode."""
    groups: dict[str, list[EpisodeResult]] = {}
    for result in results:
        groups.setdefault(result.task, []).append(result)
    return groups


def latencies(results: list[EpisodeResult]) -> Seconds:
    """Latencies of all ticks of some episodes, s."""
    return np.concatenate([np.asarray(r.latency, np.float64) for r in results] or [np.empty(0)])


def percentiles_ms(seconds: Seconds) -> dict[str, float | None]:
    """p50, p99 and maximum in milliseconds; None each where nothing was measured."""
    if len(seconds) == 0:
        return {"p50": None, "p99": None, "max": None}
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {"p50": float(p50), "p99": float(p99), "max": float(seconds.max() * 1e3)}
