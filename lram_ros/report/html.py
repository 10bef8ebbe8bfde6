"""The HTML report of a run; its look is that of :mod:`lram_core.report`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lram_core.report.page import Card, Cell, Facts, Figure, Page, Section, Table, write_page
from lram_core.report.success import success_figure
from lram_ros.report.figures import (
    latency_figure,
    stage_figure,
    stage_medians,
)
from lram_ros.report.results import EpisodeResult, RunInfo, latencies
from lram_ros.report.summary import summarise

_COLUMNS = ("task", "success", "return", "ticks", "p50 ms", "p99 ms", "loop Hz", "seed")


def report_page(results: list[EpisodeResult], info: RunInfo) -> Page:
    """The report of a run.

    Raises:
        ValueError: there is no episode.
    """
    summary = summarise(results, info)
    counts = [(g["task"], g["successes"], g["episodes"]) for g in summary["tasks"]]
    return Page(
        title=f"{info.suite} through ROS 2",
        subtitle=f"{info.bundle} · {info.mode} · {info.started}",
        notes=info.notes,
        cards=_cards(summary),
        sections=[
            Section(
                "Success by task",
                [Figure(success_figure(counts), f"success rate of {len(counts)} tasks")],
            ),
            Section(
                "Latency of a control tick",
                [
                    Figure(
                        latency_figure(latencies(results), info.control_rate),
                        "histogram of the tick latency",
                        "From the complete set of inputs to the published command.",
                    ),
                    Figure(
                        stage_figure(stage_medians(results)),
                        "median duration of each stage of a tick",
                    ),
                ],
            ),
            Section("Episodes", [_episodes(summary)]),
            Section("The run", [_facts(info)]),
        ],
    )


def write_report(path: Path, results: list[EpisodeResult], info: RunInfo) -> None:
    """Write the report; the file appears complete or not at all."""
    write_page(path, report_page(results, info))


def _cards(summary: dict[str, Any]) -> list[Card]:
    low, high = (100 * value for value in summary["success_interval_95"])
    tick = summary["tick_ms"]
    return [
        Card(
            f"{100 * summary['success_rate']:.0f} %",
            f"success, {summary['successes']} of {summary['episodes']} episodes "
            f"(95 %: {low:.0f}–{high:.0f} %)",
        ),
        Card(f"{_ms(tick['p50'])} ms", "tick latency, median"),
        Card(f"{_ms(tick['p99'])} ms", f"99th percentile (max {_ms(tick['max'])} ms)"),
        Card(
            str(summary["deadline_missed"]),
            f"of {summary['ticks']:,} ticks over {summary['deadline_ms']:.1f} ms",
        ),
    ]


def _episodes(summary: dict[str, Any]) -> Table:
    rows = [
        [
            run["task"],
            Cell("yes", "good") if run["success"] else Cell("no", "bad"),
            f"{run['return']:,.0f}",
            str(run["ticks"]),
            _ms(run["tick_ms"]["p50"]),
            _ms(run["tick_ms"]["p99"]),
            f"{run['loop_rate_hz']:.0f}",
            str(run["seed"]),
        ]
        for run in summary["runs"]
    ]
    return Table(_COLUMNS, rows)


def _facts(info: RunInfo) -> Facts:
    values = {
        "duration": f"{info.duration:.0f} s",
        "control rate": f"{info.control_rate:g} Hz",
        "first seed": str(info.seed),
        **info.machine,
    }
    return Facts(values, info.files)


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
