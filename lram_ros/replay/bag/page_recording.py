"""The part of the report that is about the recording itself: its latency and its streams."""

from __future__ import annotations

from typing import Any

import numpy as np

from lram_core.report.page import Block, Cell, Figure, Table, Text
from lram_ros.bags.recording import SECOND
from lram_ros.replay.bag.figures import gaps_figure, latency_time_figure
from lram_ros.replay.bag.formats import number
from lram_ros.replay.bag.streams import STAGES, latencies
from lram_ros.replay.bag.summary import Evaluation
from lram_ros.report.figures import latency_figure, stage_figure


def recorded_latency(found: Evaluation, summary: dict[str, Any]) -> list[Block]:
    """Latency of the recorded ticks, from their traces."""
    recorded = summary["recorded"]
    if recorded is None:
        return [Text("The bag has no traces of a policy.")]
    seconds = latencies(found.record)
    times = np.array([t.time - found.record.start for t in found.record.traces]) / SECOND
    tick = recorded["tick_ms"]
    return [
        Text(
            f"{recorded['ticks']:,} ticks: median {tick['p50']:.2f} ms, 99th percentile "
            f"{tick['p99']:.2f} ms, longest {tick['max']:.2f} ms; {recorded['deadline_missed']} "
            f"over the deadline of {recorded['deadline_ms']:.1f} ms, "
            f"{recorded['ticks_left_out']} left out."
        ),
        Figure(
            latency_figure(seconds, found.robot.control_rate),
            "histogram of the tick latency as recorded",
            "From the complete set of inputs to the published command.",
        ),
        Figure(
            latency_time_figure(times, seconds, 1.0 / found.robot.control_rate),
            "tick latency over the bag as recorded",
        ),
        Figure(
            stage_figure([recorded["stage_ms"][stage]["p50"] for stage in STAGES]),
            "median duration of each stage of a recorded tick",
        ),
    ]


def recorded_streams(summary: dict[str, Any]) -> list[Block]:
    """Gaps and ages of each topic."""
    rows: list[list[str | Cell]] = []
    for stream in summary["streams"]:
        over = stream["gaps_over_max_age"]
        rows.append(
            [
                stream["topic"],
                f"{stream['messages']:,}",
                number(stream["rate_hz"]),
                *(_of(stream["gap_ms"], key) for key in ("p50", "p99", "max")),
                number(stream["longest_gap_at_s"]),
                "–" if over is None else Cell(str(over), "bad" if over else ""),
                _of(stream["age_recorded_ms"], "p99"),
                _of(stream["age_at_tick_ms"], "p99"),
            ]
        )
    columns = ["topic", "messages", "Hz", "gap p50 ms", "p99", "max", "at s", "over max_age"]
    return [
        Table([*columns, "age p99 ms", "at tick p99 ms"], rows),
        Text(
            "Gaps are times between two messages by the recorder's clock; an age is the time from "
            "a message's stamp to its recording, known where the stamps are of the system clock; "
            "the age at the tick is what the policy reported."
        ),
        Figure(
            gaps_figure(summary["streams"]),
            "time between the messages of each topic",
            "Dot: median, bar: 99th percentile, arrow: longest; red: max_age of the contract.",
        ),
    ]


def _of(values: dict[str, float] | None, key: str) -> str:
    return "–" if values is None else number(values[key])
