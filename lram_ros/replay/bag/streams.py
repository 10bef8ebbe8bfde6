"""The recording itself: gaps and ages of the sensor streams, latency as it was then."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from lram_ros.bags.recording import SECOND
from lram_ros.message_fields import Array
from lram_ros.replay.bag.record import BagRecord, Stream
from lram_ros.robot_contract import RobotContract

STAGES = ("observe", "tokenise", "step", "decode", "publish")


def stream_figures(record: BagRecord) -> list[dict[str, Any]]:
    """What is known of each input, then of each command topic, as plain data.

    Times are in milliseconds. An age at the time of recording is known where the stamps are of
    the system clock; an age at the tick, where a trace has it.
    """
    inputs = len(record.inputs)
    at_tick = tick_ages(record)
    return [
        _figures(stream, record.start, at_tick[:, index] if index < inputs else np.empty(0))
        for index, stream in enumerate(record.streams)
    ]


def _figures(stream: Stream, start: int, at_tick: Array) -> dict[str, Any]:
    gaps = np.diff(stream.times) / SECOND
    longest = int(gaps.argmax()) if len(gaps) else 0
    ages = (
        (stream.times - stream.stamps) / SECOND
        if stream.system_time and len(stream.stamps)
        else np.empty(0)
    )
    span = (stream.times[-1] - stream.times[0]) / SECOND if len(stream.times) > 1 else 0.0
    return {
        "topic": stream.topic,
        "messages": len(stream.times),
        "rate_hz": float((len(stream.times) - 1) / span) if span > 0 else None,
        "gap_ms": spread(gaps),
        "longest_gap_at_s": (
            float((stream.times[longest] - start) / SECOND) if len(gaps) else None
        ),
        "max_age_ms": None if stream.max_age is None else _finite(1e3 * stream.max_age),
        "gaps_over_max_age": (
            None if stream.max_age is None else int((gaps > stream.max_age).sum())
        ),
        "age_recorded_ms": spread(ages),
        "age_at_tick_ms": spread(at_tick[np.isfinite(at_tick)]),
    }


def tick_ages(record: BagRecord) -> Array:
    """(traced ticks, inputs): age of each input at each tick, s."""
    rows = [np.asarray(trace.message.input_age, np.float64) for trace in record.traces]
    return np.array(rows, np.float64).reshape(-1, len(record.inputs))


def latency_figures(record: BagRecord, robot: RobotContract) -> dict[str, Any] | None:
    """Tick latency, deadline misses and ticks left out, as recorded; None without traces."""
    if not record.traces:
        return None
    messages = [trace.message for trace in record.traces]
    left_out = sum(
        max(0, int(b.tick) - int(a.tick) - 1)
        for a, b in pairwise(messages)
        if a.episode == b.episode and b.tick > a.tick
    )
    return {
        "ticks": len(messages),
        "tick_ms": spread(latencies(record)),
        "stage_ms": {
            stage: spread(np.array([getattr(m, f"{stage}_s") for m in messages]))
            for stage in STAGES
        },
        "deadline_ms": 1e3 / robot.control_rate,
        "deadline_missed": sum(bool(m.deadline_missed) for m in messages),
        "ticks_left_out": left_out,
    }


def latencies(record: BagRecord) -> Array:
    """(traced ticks,) from the complete inputs to the command, s."""
    return np.array([trace.message.total_s for trace in record.traces], dtype=np.float64)


def spread(seconds: Array) -> dict[str, float] | None:
    """p50, p99 and maximum in milliseconds; None where there is nothing."""
    if not len(seconds):
        return None
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return {"p50": float(p50), "p99": float(p99), "max": float(seconds.max() * 1e3)}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
