"""A replay as plain data: for ``summary.json``, the report, the terminal and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lram_ros.message_fields import Array
from lram_ros.replay.bag.agreement import Agreement, agreement
from lram_ros.replay.bag.measures import (
    Drift,
    WireField,
    drift,
    errors,
    joint_errors,
    relative_error,
    tokens,
    wire_fields,
)
from lram_ros.replay.bag.offline import OfflinePolicy, Replayed
from lram_ros.replay.bag.record import BagRecord
from lram_ros.replay.bag.streams import latency_figures, stream_figures
from lram_ros.robot_contract import RobotContract


@dataclass
class Evaluation:
    """A bag, replayed and measured.

    Attributes:
        bag, contract: where they are.
        robot, record, replayed: what was read, and answered.
        fields: of the wire.
        errors: of each policy, (ticks, fields), in the fields' units.
        drifts, likelihoods: by the tick within the episode: relative error in per cent, and
            negative log-likelihood of a token.
        agreements: of each policy with the recorded traces; None where they say nothing about it.
        live: of each policy, what :mod:`.live` found; empty: not asked for.
        notes: what a reader must know.
    """

    bag: str
    contract: str
    robot: RobotContract
    record: BagRecord
    replayed: Replayed
    fields: list[WireField]
    errors: list[Array]
    drifts: list[Drift]
    likelihoods: list[Drift]
    agreements: list[Agreement | None]
    actions: list[list[str]]
    live: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def evaluate(
    bag: str,
    robot: RobotContract,
    record: BagRecord,
    replayed: Replayed,
    policies: Sequence[OfflinePolicy],
) -> Evaluation:
    """Measure a replay."""
    fields = wire_fields(robot)
    found = [errors(replayed, answers, fields) for answers in replayed.answers]
    names = [list(policy.policy.contract.action_names) for policy in policies]
    agreements = [
        agreement(replayed, answers, actions, commands=_comparable(robot, replayed))
        for answers, actions in zip(replayed.answers, names, strict=True)
    ]
    return Evaluation(
        bag=bag,
        contract=robot.source,
        robot=robot,
        record=record,
        replayed=replayed,
        fields=fields,
        errors=found,
        drifts=[drift(replayed, relative_error(error, fields)) for error in found],
        likelihoods=[drift(replayed, _mean(answers.nll)) for answers in replayed.answers],
        agreements=agreements,
        actions=names,
        notes=_notes(record, replayed),
    )


def _comparable(robot: RobotContract, replayed: Replayed) -> Array | None:
    """The recorded commands where no supervisor stands between action and command."""
    native = all(sink.adapter == "native" for sink in robot.sinks)
    return replayed.command if native else None


def _mean(nll: Array) -> Array:
    known = np.isfinite(nll)
    return np.where(
        known.any(axis=1),
        np.where(known, nll, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1),
        np.nan,
    )


def _notes(record: BagRecord, replayed: Replayed) -> list[str]:
    notes = list(record.notes)
    if replayed.refused:
        notes.append(
            f"{len(replayed.refused)} sets of inputs were refused, as the node would refuse them; "
            f"the first: {replayed.refused[0]}"
        )
    lacking = int(np.isnan(replayed.command).any(axis=1).sum())
    if lacking:
        notes.append(f"{lacking} of {len(replayed)} ticks have no recorded command to compare.")
    for answers in replayed.answers:
        wanted = _other_target(replayed, answers.return_to_go)
        if wanted is not None:
            notes.append(
                f"{answers.name}: recorded with a target return of {wanted[0]:g}, replayed with "
                f"{wanted[1]:g}; --target-return {wanted[0]:g} asks for the same."
            )
    return notes


def _other_target(replayed: Replayed, asked: Array) -> tuple[float, float] | None:
    """(recorded, replayed) target return where an episode began with another one."""
    for row in np.flatnonzero(replayed.number == 0):
        trace = replayed.trace[row]
        if trace is not None and trace.tick == 0 and trace.return_to_go != asked[row]:
            return float(trace.return_to_go), float(asked[row])
    return None


def summarise(found: Evaluation) -> dict[str, Any]:
    """Return everything measured as plain data; see docs/replay.md."""
    replayed = found.replayed
    return {
        "bag": found.bag,
        "contract": found.contract,
        "duration_s": found.record.duration,
        "ticks": len(replayed),
        "episodes": len(replayed.titles),
        "compared": int(np.isfinite(replayed.command).all(axis=1).sum()),
        "recorded": latency_figures(found.record, found.robot),
        "streams": stream_figures(found.record),
        "policies": [_policy(found, index) for index in range(len(replayed.answers))],
        "refused": replayed.refused,
        "notes": found.notes,
    }


def _policy(found: Evaluation, index: int) -> dict[str, Any]:
    answers, drifted = found.replayed.answers[index], found.drifts[index]
    agreed = found.agreements[index]
    relative = relative_error(found.errors[index], found.fields)
    known = relative[np.isfinite(relative)]
    return {
        "name": answers.name,
        "bundle": answers.bundle,
        "runtime": answers.runtime,
        "ticks_per_s": len(found.replayed) / answers.seconds if answers.seconds > 0 else None,
        "mean_error_percent_of_range": float(known.mean()) if len(known) else None,
        "joints": joint_errors(found.errors[index], found.fields),
        "tokens": tokens(answers, found.actions[index]),
        "drift": {
            "first_quarter_percent": drifted.first,
            "last_quarter_percent": drifted.last,
            "tick": drifted.tick.tolist(),
            "median_percent": drifted.median.tolist(),
            "p90_percent": drifted.high.tolist(),
        },
        "parity": None if agreed is None else agreed.plain(),
        "live": found.live[index] if found.live else None,
    }
