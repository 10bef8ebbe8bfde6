"""Two runs of the same ticks, number for number: offline, live, and as recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_ros.message_fields import Array
from lram_ros.replay.bag.offline import Answers, Replayed


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
