"""Limits of everything a robot contract sends: one command across all of its sinks.

The supervisor stands behind the action kinds and inverse kinematics, where values are those on the
wire: whatever the policy's action was, a position command is limited as a position.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lram_core.contract import ActionField
from lram_core.errors import ContractError
from lram_ros.adapters.sink import CommandField, CommandSink
from lram_ros.safety.defaults import derive_limits
from lram_ros.safety.limits import KINDS, SafetyLimits, Workspace

_KIND = {
    "position": "joint_position",
    "velocity": "joint_velocity",
    "effort": "joint_effort",
    "twist": "twist",
}
_GIVEN = ("max_velocity", "max_acceleration", "max_step")


@dataclass(frozen=True)
class _WireField:
    name: str
    unit: str
    kind: str
    low: float
    high: float


def contract_limits(
    sinks: Iterable[CommandSink],
    action: Iterable[ActionField],
    control_rate: float,
    workspace: Workspace | None = None,
) -> SafetyLimits:
    """Return the limits of the values of all sinks, one after the other in the order of the wire.

    A limit that a sink's field does not give is derived (:mod:`lram_ros.safety.defaults`). A
    native command is a simulator's, or that of a driver with limits of its own: its values are
    kept within the narrower of bundle and robot, and only stopped according to their kind.

    Args:
        sinks: of the robot contract.
        action: the bundle's action fields.
        control_rate: in Hz.
        workspace: box for the tool; its fields are names of the fields on the wire.

    Raises:
        ContractError: limits that make no sense; names the field.
    """
    theirs = {field.name: field for field in action}
    fields, given = [], {}
    for sink in sinks:
        for field in sink.fields:
            made, limits = (
                _native(field, theirs) if sink.adapter == "native" else _wire(sink, field)
            )
            if made.name in given:
                raise ContractError(
                    f"safety limits: field {made.name} is commanded on more than one topic"
                )
            fields.append(made)
            given[made.name] = limits
    return derive_limits(fields, control_rate, given, workspace)


def _wire(sink: CommandSink, field: CommandField) -> tuple[_WireField, dict[str, float]]:
    # A gripper keeps its grip in a stop, by whatever it is commanded.
    kind = "gripper" if sink.adapter == "gripper" else _KIND[sink.quantity]
    limits = {name: getattr(field, name) for name in _GIVEN if math.isfinite(getattr(field, name))}
    if kind == "joint_effort":
        limits["rest"] = 0.0  # what the sink's `safe` says
    return _WireField(field.name, field.unit, kind, field.low, field.high), limits


def _native(
    field: CommandField, theirs: Mapping[str, ActionField]
) -> tuple[_WireField, dict[str, float]]:
    low, high, kind = field.low, field.high, "native"
    if field.name in theirs:
        bundle = theirs[field.name]
        low, high = max(low, bundle.low), min(high, bundle.high)
        # A place that nothing measures in the command's own unit cannot be started from.
        known = bundle.kind in KINDS and bundle.kind not in ("joint_position", "joint_effort")
        kind = bundle.kind if known else "native"
    return _WireField(field.name, field.unit, kind, low, high), dict.fromkeys(_GIVEN, math.inf)
