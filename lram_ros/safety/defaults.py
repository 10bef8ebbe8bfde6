"""Usable limits from what a contract says anyway, where nobody gave better ones.

=================  ===========================  ======================  =======================
kind               max_velocity                 max_acceleration        max_lag
=================  ===========================  ======================  =======================
joint_position     1 rad/s, 0.25 m/s, or half   full speed in 0.25 s    a quarter of the range
                   the range a second
joint_velocity,    the contract's limit         full speed in 0.25 s    –
twist,
cartesian_velocity
joint_delta,       the contract's limit a tick  full speed in 0.25 s    –
cartesian_delta
joint_effort       the range in 0.5 s           –                       –
gripper            the range in 0.5 s           –                       –
native             –                            –                       –
=================  ===========================  ======================  =======================

0.25 m/s is the reduced speed of ISO 10218-1. ``max_step`` is what ``max_velocity`` gives in one
tick. A gripper that closes on an object never gets where it was sent: it has no ``max_lag``. The
unit of a native value is its simulator's own: only its range is limited unless more is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from lram_core.errors import ContractError, listed
from lram_ros.safety.limits import DELTA, VELOCITY, FieldLimits, SafetyLimits, Workspace
from lram_ros.units import parse_unit

RAMP_S = 0.25
ROTATION, TRANSLATION = 1.0, 0.25  # rad/s, m/s
_CARTESIAN = ("cartesian_delta", "cartesian_velocity", "twist")
SETTABLE = (
    "max_velocity",
    "max_acceleration",
    "max_step",
    "rest",
    "position_low",
    "position_high",
    "scale",
    "max_lag",
)


class CommandedField(Protocol):
    """What is needed of an action field: :class:`lram_core.contract.ActionField` has it."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def derive_limits(
    fields: Sequence[CommandedField],
    control_rate: float,
    given: Mapping[str, Mapping[str, float]] | None = None,
    workspace: Workspace | None = None,
) -> SafetyLimits:
    """Return the limits of a command; what is not given is derived.

    Args:
        fields: the action fields in order, with the narrower of all limits that are known.
        control_rate: in Hz.
        given: field name → limit name (one of SETTABLE) → value in command units and seconds,
            ``math.inf`` for no limit.
        workspace: box for the tool.

    Raises:
        ContractError: a name is unknown, a limit is not positive, or an effort has no ``rest``:
            no effort is safe for every robot.
    """
    given = given or {}
    names = [field.name for field in fields]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ContractError(
            f"safety limits: no action field {listed(unknown)}; there are {listed(names)}"
        )
    if not (math.isfinite(control_rate) and control_rate > 0):
        raise ContractError(f"safety limits: control rate must be positive, found {control_rate}")
    period = 1.0 / control_rate
    walls = _walls(fields, workspace) if workspace is not None else {}
    return SafetyLimits(
        tuple(
            _field(field, period, {**walls.get(field.name, {}), **given.get(field.name, {})})
            for field in fields
        ),
        period,
        workspace,
    )


def _walls(fields: Sequence[CommandedField], box: Workspace) -> dict[str, dict[str, float]]:
    """Return the box as position limits of the fields along its axes."""
    known = {field.name: field for field in fields}
    walls = {}
    for name, low, high in zip(box.fields, box.low, box.high, strict=False):
        field = known.get(name)
        unit = parse_unit(field.unit) if field is not None else None
        if field is None or unit is None or field.kind not in _CARTESIAN:
            raise ContractError(
                f"workspace: expected fields of kind {listed(_CARTESIAN)}, found "
                f"{name}{f' ({field.kind})' if field else ''}; there are {listed(known)}"
            )
        if unit.dimension not in ("length", "velocity"):
            raise ContractError(
                f"workspace: {name} is in '{field.unit}', expected a unit of length or velocity"
            )
        walls[name] = {"position_low": low, "position_high": high, "scale": unit.factor}
    return walls


def _field(field: CommandedField, period: float, given: Mapping[str, float]) -> FieldLimits:
    unknown = [name for name in given if name not in SETTABLE]
    if unknown:
        raise ContractError(
            f"safety limits of {field.name}: unknown {listed(unknown)}; expected {listed(SETTABLE)}"
        )
    if field.kind == "joint_effort" and "rest" not in given:
        raise ContractError(
            f"safety limits of {field.name}: rest is missing: the effort to send for no motion "
            f"(0 only where the robot compensates gravity by itself)"
        )
    velocity = given.get("max_velocity", _velocity(field, period))
    ramps = field.kind not in ("gripper", "native", "joint_effort")
    values = {
        "max_velocity": velocity,
        "max_acceleration": velocity / RAMP_S if ramps else math.inf,
        "max_step": velocity * period,
        "max_lag": (field.high - field.low) / 4 if field.kind == "joint_position" else math.inf,
        **given,
    }
    derived = tuple(
        n for n in ("max_velocity", "max_acceleration", "max_step", "max_lag") if n not in given
    )
    return FieldLimits(
        name=field.name,
        kind=field.kind,
        low=field.low,
        high=field.high,
        derived=derived,
        **values,
    )


def _velocity(field: CommandedField, period: float) -> float:
    largest = max(abs(field.low), abs(field.high))
    if field.kind in VELOCITY:
        return largest
    if field.kind in DELTA:
        return largest / period
    if field.kind == "joint_position":
        return _joint_speed(field)
    if field.kind == "native":
        return math.inf
    return (field.high - field.low) / 0.5


def _joint_speed(field: CommandedField) -> float:
    try:
        unit = parse_unit(field.unit)
    except ContractError:  # a unit of the suite's own
        return (field.high - field.low) / 2
    if unit.dimension == "angle":
        return ROTATION / unit.factor
    if unit.dimension == "length":
        return TRANSLATION / unit.factor
    return (field.high - field.low) / 2
