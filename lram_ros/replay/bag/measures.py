"""Figures of a replay: errors of joints, tokens, drift, agreement number for number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True)
class Agreement:
    """Two runs of the same ticks, number for number.

    Attributes:
        ticks: compared.
        observations, actions, commands: of how many ticks all numbers are the same; None where
            they are not compared.
        largest: largest difference of an action, in the bundle's units.
        first: where the actions first differ, for people; empty: nowhere.
    """

    ticks: int
    observations: int | None
    actions: int
    commands: int | None
    largest: float
    first: str

    @property
    def whole(self) -> bool:
        """Whether something was compared, and is all the same."""
        parts = (self.observations, self.actions, self.commands)
        return self.ticks > 0 and all(part in (None, self.ticks) for part in parts)

    def plain(self) -> dict[str, Any]:
        return {
            "ticks": self.ticks,
            "observations_equal": self.observations,
            "actions_equal": self.actions,
            "commands_equal": self.commands,
            "largest_difference": self.largest,
            "first_difference": self.first,
        }


def agreement(
    replayed: Replayed,
    answers: Answers,
    names: Sequence[str],
    traces: Sequence[Any | None] | None = None,
    commands: Array | None = None,
) -> Agreement | None:
    """Compare a policy's answers with traces of a node; None where there is none to compare.

    Args:
        replayed: the ticks.
        answers: of the policy.
        names: the bundle's action fields.
        traces: one a tick, or None; those of the bag by default.
        commands: (ticks, size) to compare the policy's commands with; None: they are not.
    """
    traces = replayed.trace if traces is None else traces
    rows = _comparable(traces, names)
    if not rows:
        return None
    seen = [np.asarray(traces[row].observation, np.float32) for row in rows]  # type: ignore[union-attr]
    observations = None
    if all(len(values) == answers.observation.shape[1] for values in seen):
        observations = int(_same(np.array(seen), answers.observation[rows]).sum())
    return _agreement(
        replayed,
        rows,
        names,
        _raw(traces, rows, names),
        answers.raw[rows],
        observations,
        None if commands is None else int(_same(commands[rows], answers.command[rows]).sum()),
        ("recorded" if traces is replayed.trace else "live", "offline"),
    )


def compare_traces(
    replayed: Replayed, traces: Sequence[Any | None], names: Sequence[str]
) -> Agreement | None:
    """Compare other traces of the replayed ticks with those of the bag."""
    both = [
        trace if before is not None else None
        for trace, before in zip(traces, replayed.trace, strict=True)
    ]
    rows = _comparable(both, names)
    if not rows or len(_comparable(replayed.trace, names)) < len(rows):
        return None
    theirs = np.array([replayed.trace[row].observation for row in rows], np.float32)  # type: ignore[union-attr]
    ours = np.array([both[row].observation for row in rows], np.float32)  # type: ignore[union-attr]
    same_form = theirs.shape == ours.shape
    return _agreement(
        replayed,
        rows,
        names,
        _raw(replayed.trace, rows, names),
        _raw(both, rows, names),
        int(_same(theirs, ours).sum()) if same_form else None,
        sum(
            np.array_equal(replayed.trace[row].commanded_action, both[row].commanded_action)  # type: ignore[union-attr]
            for row in rows
        ),
        ("recorded", "live"),
    )


def _comparable(traces: Sequence[Any | None], names: Sequence[str]) -> list[int]:
    """Rows whose trace is of such actions."""
    return [
        row
        for row, trace in enumerate(traces)
        if trace is not None and set(trace.action_name) == set(names)
    ]


def _raw(traces: Sequence[Any | None], rows: Sequence[int], names: Sequence[str]) -> Array:
    """(rows, actions) raw actions of traces, in the order of ``names``."""
    found = []
    for row in rows:
        trace = traces[row]
        assert trace is not None
        values = dict(zip(trace.action_name, trace.raw_action, strict=True))
        found.append([values[name] for name in names])
    return np.array(found, dtype=np.float64)


def _agreement(
    replayed: Replayed,
    rows: Sequence[int],
    names: Sequence[str],
    theirs: Array,
    ours: Array,
    observations: int | None,
    commands: int | None,
    who: tuple[str, str],
) -> Agreement:
    same, gap = _same(theirs, ours), np.abs(theirs - ours)
    first = ""
    if not same.all():
        at = int(np.flatnonzero(~same)[0])
        apart = np.where(_equal(theirs[at], ours[at]), -1.0, np.nan_to_num(gap[at], nan=np.inf))
        column, row = int(apart.argmax()), rows[at]
        first = (
            f"{replayed.titles[replayed.segment[row]]}, tick {replayed.number[row]} "
            f"({replayed.time[row]:.3f} s): {names[column]} {who[0]} {theirs[at, column]:.6g}, "
            f"{who[1]} {ours[at, column]:.6g}"
        )
    finite = gap[np.isfinite(gap)]
    return Agreement(
        ticks=len(rows),
        observations=observations,
        actions=int(same.sum()),
        commands=commands,
        largest=float(finite.max()) if finite.size else 0.0,
        first=first,
    )


def _equal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def _same(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(_equal(a, b).all(axis=1))
