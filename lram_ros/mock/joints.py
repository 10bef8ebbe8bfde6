"""Joints that follow commands: first-order lag, limits, and a hold when commands stay out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lram_core.errors import ContractError
from lram_ros.adapters.sink import CommandField, CommandSink
from lram_ros.adapters.table import AXES, DIMENSIONS
from lram_ros.robot_contract import RobotContract
from lram_ros.units import parse_unit

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
        self.by_name: dict[str, Joint] = {axis: Joint(-_REACH, _REACH) for axis in AXES}
        self._read = joint_names(contract)
        self.by_name |= {name: Joint() for name in self._read}
        for sink in contract.sinks:
            for field in sink.fields:
                self._limit(sink, field)
        moved = {self._moved_by(sink, field) for sink in contract.sinks for field in sink.fields}
        self.moves_tool = bool(moved & {"x", "y", "z"})

    def command(self, sink: CommandSink, values: Iterable[float]) -> None:
        """Take a command, in the units and order of the sink's fields."""
        for field, value in zip(sink.fields, values, strict=True):
            factor, motion = si_factor(field.unit), _motion(sink, field)
            joint = self.by_name[self._moved_by(sink, field)]
            value = min(max(value, field.low), field.high)
            if motion == "position":
                joint.target = value * factor
            elif motion == "velocity":
                joint.target, joint.wanted = None, value * factor
            elif motion == "effort":
                most = max(abs(field.low), abs(field.high))
                joint.target, joint.wanted = None, _FASTEST * value / most
            elif motion == "opening":  # the whole range of the command is 0 to 1
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
        joint = self.by_name.setdefault(self._moved_by(sink, field), Joint())
        factor, motion = si_factor(field.unit), _motion(sink, field)
        if motion == "position":
            joint.fastest = field.max_velocity * factor
            if math.isfinite(field.low) and math.isfinite(field.high):
                joint.low, joint.high = field.low * factor, field.high * factor
        elif motion == "opening":
            joint.low, joint.high = 0.0, 1.0
        joint.position = 0.5 * (joint.low + joint.high)
        joint.hold()

    def _moved_by(self, sink: CommandSink, field: CommandField) -> str:
        """Name of the joint or tool axis that a command field moves.

        A native field that is no joint's name, ends in x, y or z and has a unit of length, such as
        ``ee_dx``, moves the tool.
        """
        name = field.wire_name
        native = sink.quantity == "native" and name not in self._read
        if native and name[-1:] in ("x", "y", "z") and _dimension(field.unit) == "length":
            return name[-1:]
        return name


def joint_names(contract: RobotContract) -> list[str]:
    """Names of the joints whose state the contract reads, each once."""
    fields = (field for topic in contract.inputs for field in topic.fields)
    return list(dict.fromkeys(name for field in fields for name in field.names))


def _motion(sink: CommandSink, field: CommandField) -> str:
    """What a field's value is: a position, velocity, effort, opening, or a step onwards.

    A native command says so by its unit alone; one of an angle or a length is taken for a step.
    """
    if sink.quantity != "native":
        return "velocity" if sink.quantity == "twist" else sink.quantity
    dimension = _dimension(field.unit)
    if dimension in DIMENSIONS["velocity"]:
        return "velocity"
    if dimension in DIMENSIONS["effort"]:
        return "effort"
    return "step" if dimension in DIMENSIONS["position"] else "opening"


def _dimension(unit: str) -> str:
    try:
        return parse_unit(unit).dimension
    except ContractError:
        return ""
