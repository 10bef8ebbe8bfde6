"""Joints that follow commands: first-order lag, limits, and a hold when commands stay out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lram_core.errors import ContractError
from lram_ros.adapters.sink import CommandField, CommandSink
from lram_ros.robot_contract import RobotContract
from lram_ros.units import parse_unit

TOOL_AXES = ("x", "y", "z", "rx", "ry", "rz")
_REACH = 0.3  # m or rad that the tool may leave its resting place by
_FASTEST = 1.0  # rad/s or m/s at the largest effort
_ANGLE = math.pi  # of a joint without limits


def si_factor(unit: str) -> float:
    """What a value in ``unit`` is multiplied by to be in SI; 1 for a unit outside of the table."""
    try:
        return parse_unit(unit).factor
    except ContractError:
        return 1.0


@dataclass
class Joint:
    """One joint, or one axis of the tool; SI units (rad, m, or 0 to 1 for an opening).

    Attributes:
        low, high: limits of its position. fastest: of its velocity, may be infinite.
        target: position it moves to; None while it is moved by velocity.
        wanted: velocity it is moved with then.
    """

    low: float = -_ANGLE
    high: float = _ANGLE
    fastest: float = math.inf
    position: float = 0.0
    velocity: float = 0.0
    target: float | None = None
    wanted: float = 0.0

    def hold(self) -> None:
        """Stay where it is."""
        self.target, self.wanted = self.position, 0.0

    def step(self, period: float, lag: float) -> None:
        """Move for ``period`` seconds; ``lag`` is the time constant, in seconds."""
        follow = -math.expm1(-period / lag) if lag > 0 else 1.0
        before = self.position
        if self.target is not None:
            way = follow * (self.target - before)
        else:
            way = (self.velocity + follow * (self.wanted - self.velocity)) * period
        way = min(max(way, -self.fastest * period), self.fastest * period)
        self.position = min(max(before + way, self.low), self.high)
        self.velocity = (self.position - before) / period


class Joints:
    """All joints and tool axes that a contract knows of, by name.

    Args:
        contract: of the robot.
        period: of a step, in seconds.
        lag: time constant with which a joint follows its command, in seconds.

    Attributes:
        moves_tool: whether a command moves the tool along x, y or z.
    """

    def __init__(self, contract: RobotContract, period: float, lag: float = 0.05) -> None:
        self._period, self._lag = period, lag
        self.by_name: dict[str, Joint] = {axis: Joint(-_REACH, _REACH) for axis in TOOL_AXES}
        for name in joint_names(contract):
            self.by_name[name] = Joint()
        for sink in contract.sinks:
            for field in sink.fields:
                self._limit(sink, field)

        moved = {moved_by(sink, field) for sink in contract.sinks for field in sink.fields}
        self.moves_tool = bool(moved & {"x", "y", "z"})

    def command(self, sink: CommandSink, values: Iterable[float]) -> None:
        """Take a command, in the units and order of the sink's fields."""
        for field, value in zip(sink.fields, values, strict=True):
            factor = si_factor(field.unit)
            joint = self.by_name[moved_by(sink, field)]
            value = min(max(value, field.low), field.high)
            if sink.quantity == "position":
                joint.target = value * factor
            elif sink.quantity in ("velocity", "twist"):
                joint.target, joint.wanted = None, value * factor
            elif sink.quantity == "effort":
                most = max(abs(field.low), abs(field.high))
                joint.target, joint.wanted = None, _FASTEST * value / most
            elif _plain(field):  # an opening: the whole range of the command is 0 to 1
                span = field.high - field.low
                joint.target = (value - field.low) / span if math.isfinite(span) else value
            else:  # a step onwards
                start = joint.position if joint.target is None else joint.target
                joint.target = min(max(start + value * factor, joint.low), joint.high)

    def hold(self) -> None:
        """Stay in place: what a robot does when no command comes."""
        for joint in self.by_name.values():
            joint.hold()

    def step(self) -> None:
        """Move on by one period."""
        for joint in self.by_name.values():
            joint.step(self._period, self._lag)

    def _limit(self, sink: CommandSink, field: CommandField) -> None:
        joint = self.by_name.setdefault(moved_by(sink, field), Joint())
        factor = si_factor(field.unit)
        if sink.quantity == "position":
            joint.fastest = field.max_velocity * factor
            if math.isfinite(field.low) and math.isfinite(field.high):
                joint.low, joint.high = field.low * factor, field.high * factor
        elif sink.quantity == "native" and _plain(field):
            joint.low, joint.high = 0.0, 1.0
        joint.position = 0.5 * (joint.low + joint.high)
        joint.hold()


def joint_names(contract: RobotContract) -> list[str]:
    """Names of the joints whose state the contract reads, each once."""
    fields = (field for topic in contract.inputs for field in topic.fields)
    return list(dict.fromkeys(name for field in fields for name in field.names))


def moved_by(sink: CommandSink, field: CommandField) -> str:
    """Name of the joint or tool axis that a command field moves.

    A field of a native command that names an axis at its end and has a unit of length, such as
    ``ee_dx``, moves the tool.
    """
    name = field.wire_name
    if sink.quantity == "native" and name[-1:] in "xyz" and not _plain(field):
        return name[-1:]
    return name


def _plain(field: CommandField) -> bool:
    try:
        return parse_unit(field.unit).dimension == "plain number"
    except ContractError:
        return True
