"""Figures of a replay: errors of joints, tokens, drift."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from lram_ros.message_fields import Array
from lram_ros.replay.bag.offline import Answers, Replayed
from lram_ros.robot_contract import RobotContract

QUARTER = 4


_FINER = {"m": ("mm", 1e3), "m/s": ("mm/s", 1e3)}  # as people read errors


@dataclass(frozen=True)
class WireField:
    """A commanded value, for people.

    Attributes:
        name: joint or channel on the wire.
        unit: of the table of units; a contract's ``0.01 m`` is shown in ``m``.
        scale: what the contract's values are multiplied by to be in ``unit``.
        span: from the lowest to the highest value that may be commanded, in ``unit``.
    """

    name: str
    unit: str
    scale: float
    span: float

    @property
    def axis(self) -> str:
        """Name and unit, for the axis of a figure."""
        return f"{self.name}, {self.unit}" if self.unit != "1" else f"{self.name} (no unit)"


def readable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of :func:`joint_errors` in a unit in which small errors are read: mm instead of m."""
    unit, times = _FINER.get(row["unit"], (row["unit"], 1.0))
    scaled = {
        key: None if row[key] is None else row[key] * times
        for key in ("mean", "rms", "p95", "max", "bias")
    }
    return {**row, "unit": unit, **scaled}


def wire_fields(robot: RobotContract) -> list[WireField]:
    """The values of all sinks, in the order of the wire."""
    found = []
    for sink in robot.sinks:
        for item in sink.fields:
            head, _, tail = item.unit.partition(" ")
            scale, unit = 1.0, item.unit
            if tail:
                with suppress(ValueError):  # `N m`
                    scale, unit = float(head), tail
            found.append(WireField(item.wire_name, unit, scale, (item.high - item.low) * scale))
    return found


def errors(replayed: Replayed, answers: Answers, fields: Sequence[WireField]) -> Array:
    """(ticks, fields): the policy's command less the recorded one, in the fields' units."""
    return (answers.command - replayed.command) * np.array([field.scale for field in fields])


def joint_errors(error: Array, fields: Sequence[WireField]) -> list[dict[str, Any]]:
    """Figures of each joint's error, in its unit; None where nothing was compared."""
    rows = []
    for column, item in enumerate(fields):
        found = error[:, column]
        found = found[np.isfinite(found)]
        size = np.abs(found)
        row: dict[str, Any] = {"name": item.name, "unit": item.unit, "ticks": len(found)}
        row |= {
            "mean": _number(size.mean) if len(found) else None,
            "rms": _number(lambda f=found: math.sqrt(np.square(f).mean())) if len(found) else None,
            "p95": _number(lambda s=size: np.percentile(s, 95)) if len(found) else None,
            "max": _number(size.max) if len(found) else None,
            "bias": _number(found.mean) if len(found) else None,
        }
        span = item.span
        ok = len(found) and math.isfinite(span) and span > 0
        row["mean_percent_of_range"] = 100 * row["mean"] / span if ok else None
        rows.append(row)
    return rows


def _number(read: Any) -> float:
    return float(read())


def tokens(answers: Answers, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy, and likelihood of the recorded bins, of all action fields and of each."""
    known = answers.recorded_bins >= 0
    off = np.abs(answers.bins - answers.recorded_bins)
    judged = known & (answers.bins >= 0)

    def of(columns: Any) -> dict[str, Any]:
        there, sure = judged[:, columns], known[:, columns]
        count, likely = int(there.sum()), answers.nll[:, columns][sure]
        nll = float(likely.mean()) if likely.size else None
        return {
            "tokens": count,
            "accuracy": float((off[:, columns][there] == 0).mean()) if count else None,
            "within_one_bin": float((off[:, columns][there] <= 1).mean()) if count else None,
            "nll": nll,
            "perplexity": None if nll is None else math.exp(min(nll, 700.0)),
        }

    by_action = [{"name": name, **of([column])} for column, name in enumerate(names)]
    return {**of(slice(None)), "by_action": by_action}


def relative_error(error: Array, fields: Sequence[WireField]) -> Array:
    """(ticks,) mean absolute error over the joints, in per cent of each one's range."""
    spans = np.array([f.span if math.isfinite(f.span) and f.span > 0 else math.nan for f in fields])
    share = 100 * np.abs(error) / spans
    counted = np.isfinite(share)
    total = np.where(counted, share, 0.0).sum(axis=1)
    count = counted.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)


@dataclass(frozen=True)
class Drift:
    """Error by the tick within the episode, over all episodes.

    Attributes:
        tick: (B,) middle of each bin of ticks.
        median, high: (B,) median and 90th percentile of the relative error, per cent.
        first, last: mean relative error in the first and in the last quarter of the episodes.
    """

    tick: Array
    median: Array
    high: Array
    first: float | None
    last: float | None


def drift(replayed: Replayed, relative: Array, bins: int = 40) -> Drift:
    """Does the error grow as the episode goes on?"""
    known = np.isfinite(relative)
    number = replayed.number[known]
    values = relative[known]
    if not len(values):
        empty = np.empty(0)
        return Drift(empty, empty, empty, None, None)
    width = max(1, math.ceil((number.max() + 1) / bins))
    place = number // width
    there = np.unique(place)
    lengths = np.bincount(replayed.segment, minlength=int(replayed.segment.max()) + 1)
    share = number / lengths[replayed.segment[known]]
    first, last = values[share < 1 / QUARTER], values[share >= 1 - 1 / QUARTER]
    return Drift(
        tick=(there + 0.5) * width - 0.5,
        median=np.array([np.median(values[place == p]) for p in there]),
        high=np.array([np.percentile(values[place == p], 90) for p in there]),
        first=float(first.mean()) if len(first) else None,
        last=float(last.mean()) if len(last) else None,
    )
