"""Action kinds: the policy's action vector becomes values for each command sink.

=======================  ======================  ==========  ==========  =====================
kind in the bundle       position                velocity    effort      twist
=======================  ======================  ==========  ==========  =====================
``joint_position``       as it is                –           –           –
``joint_delta``          added to the reference  –           –           –
``joint_velocity``       one period of it,       as it is    –           –
                         added to the reference
``joint_effort``         –                       –           as it is    –
``gripper``              as it is                –           as it is    –
``cartesian_delta``      inverse kinematics      –           –           divided by the period
``cartesian_velocity``   inverse kinematics      –           –           as it is
=======================  ======================  ==========  ==========  =====================

A native sink takes every kind as it is.

"As it is" after conversion of units, or of normalised values by the contract's ``range``. The
reference is the last command sent, or the measured joints (``delta_reference`` of the contract).
Of deltas the contract's ``share`` alone is asked for.
Nothing here knows messages or rclpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, PolicyContract
from lram_core.errors import ContractError, LramError, listed
from lram_ros.adapters.sink import CartesianField, CommandField, CommandSink, CommandValueError
from lram_ros.adapters.table import AXES
from lram_ros.ranges import Range
from lram_ros.robot_contract import RobotContract
from lram_ros.units import conversion, rate_conversion

Array = npt.NDArray[np.float64]
# Moves a tool: (joint values, delta) → joint values; the delta is (6,), m and rad, x y z rx ry rz.
Mover = Callable[[Array, Array], Array]

# (kind, quantity) → what is done with it.
RULES: dict[tuple[str, str], str] = {
    ("joint_position", "position"): "value",
    ("joint_delta", "position"): "delta",
    ("joint_velocity", "position"): "integral",
    ("joint_velocity", "velocity"): "value",
    ("joint_effort", "effort"): "value",
    ("gripper", "position"): "value",
    ("gripper", "effort"): "value",
    ("cartesian_velocity", "twist"): "value",
    ("cartesian_delta", "twist"): "rate",
}
CARTESIAN_RULES = {"cartesian_delta": "value", "cartesian_velocity": "integral"}
DELTAS = ("joint_delta", "cartesian_delta")
KINDS = tuple(dict.fromkeys([kind for kind, _ in RULES]))


class NoReference(LramError):
    """A delta has nothing to be added to: no command was sent yet and no joints were measured."""


@dataclass(frozen=True)
class SinkTarget:
    """What one sink is to be commanded.

    Attributes:
        values: (fields,) in the sink's units, within its limits low and high.
        clipped: (fields,) where a limit of the bundle or of the sink was met.
    """

    values: Array
    clipped: npt.NDArray[np.bool_]


class SinkMapper:
    """Action vector → target of one sink. Remembers what was sent, for deltas.

    Attributes:
        needs_reference: whether targets depend on the last command or the measured joints.
    """

    def __init__(
        self, sink: CommandSink, policy: PolicyContract, period: float, mover: Mover | None = None
    ) -> None:
        """Args:
            sink: the contract's sink.
            policy: the bundle's contract.
            period: control period in seconds.
            mover: for a sink with a Cartesian section: its inverse kinematics, in the units of
                the sink's fields.

        Raises:
            ContractError: a kind, unit or range of the bundle does not fit the sink.
        """
        self.sink = sink
        self.where = f"{sink.topic} ({sink.adapter})"
        self._mover = mover
        self._low = np.array([field.low for field in sink.fields])
        self._high = np.array([field.high for field in sink.fields])
        self._sent: Array | None = None
        theirs = {field.name: (i, field) for i, field in enumerate(policy.action)}
        fields = _consumed(sink)
        missing = [field.name for field in fields if field.name not in theirs]
        if missing:
            raise ContractError(
                f"{self.where}: {listed(missing)} is not in the bundle, "
                f"which commands {listed(theirs)}"
            )
        pairs = [(ours, theirs[ours.name][1]) for ours in fields]
        rules = [self._rule(their) for _, their in pairs]
        if sink.share != 1.0 and not any(their.kind in DELTAS for _, their in pairs):
            raise ContractError(
                f"{self.where}: share is of deltas ({listed(DELTAS)}), the bundle commands "
                f"{listed(dict.fromkeys(their.kind for _, their in pairs))}"
            )
        maps = [
            self._map(ours, their, rule, period)
            for (ours, their), rule in zip(pairs, rules, strict=True)
        ]
        self._bundle = [their for _, their in pairs]
        self._least = np.array([their.low for their in self._bundle])
        self._most = np.array([their.high for their in self._bundle])
        self._pick = np.array([theirs[field.name][0] for field in fields])
        self._gain, self._offset = np.array(maps).T
        cartesian = sink.cartesian is not None
        self._relative = np.array(
            [not cartesian and rule in ("delta", "integral") for rule in rules]
        )
        if sink.cartesian is not None:
            axes = [field.axis for field in sink.cartesian.fields]
            self._axes = np.array([AXES.index(axis) for axis in axes])
            self._move_low = np.array([field.low for field in sink.cartesian.fields])
            self._move_high = np.array([field.high for field in sink.cartesian.fields])
            si = ["rad" if axis.startswith("r") else "m" for axis in axes]
            self._to_si = np.array(
                [
                    conversion(field.unit, unit)
                    for field, unit in zip(sink.cartesian.fields, si, strict=True)
                ]
            )
        self.needs_reference = sink.cartesian is not None or bool(self._relative.any())

    def reset(self) -> None:
        """Forget what was sent: the next delta starts from the measured joints."""
        self._sent = None

    def sent(self, values: Array) -> None:
        """Remember what was really sent, in the sink's units: the next delta is added to it."""
        self._sent = np.array(values, dtype=np.float64)

    def reference(self, measured: Array | None = None) -> Array | None:
        """Return what the next delta starts from; None where nothing is relative.

        Raises:
            NoReference: no command was sent yet and no joints were measured.
        """
        return self._reference(measured) if self.needs_reference else None

    def target(self, action: npt.ArrayLike, measured: Array | None = None) -> SinkTarget:
        """Return what to command.

        Args:
            action: (action_size,) of the bundle, in its units.
            measured: (fields,) measured joints in the sink's units, where the contract has them.

        Raises:
            CommandValueError: a value of the action is not finite.
            NoReference: a delta has nothing to be added to.
            lram_ros.adapters.inverse_kinematics.IkError: no joint motion follows the tool's move.
        """
        raw = np.asarray(action, dtype=np.float64)[self._pick]
        if not np.isfinite(raw).all():
            raise CommandValueError(f"{self.where}: action is not finite: {raw.tolist()}")
        within = np.minimum(np.maximum(raw, self._least), self._most)
        values = within * self._gain + self._offset
        cut = within != raw
        if self.sink.cartesian is not None:
            limited = np.minimum(np.maximum(values, self._move_low), self._move_high)
            # No single joint is to blame for a move that was cut short.
            cut = np.full(len(self._low), bool((cut | (limited != values)).any()))
            values = self._moved(limited, self._reference(measured))
        elif self.needs_reference:
            values = values + np.where(self._relative, self._reference(measured), 0.0)
        commanded = np.minimum(np.maximum(values, self._low), self._high)
        return SinkTarget(commanded, (commanded != values) | cut)

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where the action fields that this sink consumes stand in the action vector."""
        return self._pick

    def action(self, values: npt.ArrayLike, reference: Array | None = None) -> Array:
        """Return the action that commands ``values``: the inverse of :meth:`target`.

        Args:
            values: (..., fields) as commanded, in the sink's units.
            reference: (..., fields) what deltas were added to; needed if ``needs_reference``.

        Returns:
            (..., fields), in the units of the bundle and in the order of :attr:`places`.

        Raises:
            ContractError: the sink has a Cartesian section; its joints do not tell the tool's
                move that was asked for.
            NoReference: a delta has no reference.
        """
        if self.sink.cartesian is not None:
            raise ContractError(
                f"{self.where}: moves of the tool cannot be read back from joint commands"
            )
        found = np.asarray(values, dtype=np.float64)
        if self.needs_reference:
            if reference is None:
                raise NoReference(f"{self.where}: no joints that the deltas started from")
            found = found - np.where(self._relative, reference, 0.0)
        return (found - self._offset) / self._gain

    def limits(self) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
        """Return (action field, robot's limits, bundle's limits in the robot's unit) of each field
        whose value is commanded as it is; a delta's limits say nothing about where it ends.
        """
        found = []
        for i, ours in enumerate(_consumed(self.sink)):
            if not self._relative[i]:
                ends = np.array([self._bundle[i].low, self._bundle[i].high])
                low, high = sorted((ends * self._gain[i] + self._offset[i]).tolist())
                found.append((ours.name, (ours.low, ours.high), (low, high)))
        return found

    def _moved(self, move: Array, reference: Array) -> Array:
        assert self._mover is not None, "a Cartesian sink needs inverse kinematics"
        delta = np.zeros(6)
        delta[self._axes] = move * self._to_si
        return self._mover(reference, delta)

    def _reference(self, measured: Array | None) -> Array:
        first = self._sent if self.sink.delta_reference == "command" else None
        found = measured if first is None else first
        if found is None:
            raise NoReference(
                f"{self.where}: no measured joints to start from; "
                f"the contract's inputs must hold {listed(self.sink.wire_names)}"
            )
        return found

    def _rule(self, theirs: ActionField) -> str:
        if self.sink.adapter == "native":
            return "value"
        if self.sink.cartesian is not None:
            rule = CARTESIAN_RULES.get(theirs.kind)
            takes = list(CARTESIAN_RULES)
        else:
            rule = RULES.get((theirs.kind, self.sink.quantity))
            takes = [kind for kind, quantity in RULES if quantity == self.sink.quantity]
        if rule is None:
            raise ContractError(
                f"{self.where}: {theirs.name}: the bundle commands a {theirs.kind}, "
                f"this sink of {self.sink.quantity} takes {listed(takes)}"
            )
        return rule

    def _map(
        self, ours: CommandField | CartesianField, theirs: ActionField, rule: str, period: float
    ) -> tuple[float, float]:
        """(gain, offset) from the bundle's value to the sink's, or to what is added to it."""
        where = f"{self.where}: {ours.name}"
        if self.sink.adapter == "native":
            if ours.unit != theirs.unit:
                raise ContractError(
                    f"{where}: unit is '{ours.unit}', the bundle commands '{theirs.unit}'"
                )
            return 1.0, 0.0
        times = {"integral": period, "rate": 1.0 / period}.get(rule, 1.0)
        if theirs.kind in DELTAS:
            times *= self.sink.share
        if ours.range is not None:
            return _from_range(ours.range, theirs, where, times)
        try:
            if rule == "integral":
                # Per second on the bundle's side: what it is a rate of must be our unit.
                return times / rate_conversion(ours.unit, theirs.unit), 0.0
            if rule == "rate":
                return times * rate_conversion(theirs.unit, ours.unit), 0.0
            return times * conversion(theirs.unit, ours.unit), 0.0
        except ContractError as error:
            raise ContractError(
                f"{where}: unit is '{ours.unit}', the bundle commands '{theirs.unit}': {error}"
            ) from None


def _consumed(sink: CommandSink) -> tuple[CommandField | CartesianField, ...]:
    """The sink's fields that bear names of action fields."""
    return sink.fields if sink.cartesian is None else sink.cartesian.fields


def _from_range(
    limits: Range, theirs: ActionField, where: str, times: float
) -> tuple[float, float]:
    if theirs.unit != "1":
        raise ContractError(
            f"{where}: range is for normalised values, unit '1'; "
            f"the bundle commands '{theirs.unit}'"
        )
    gain, offset = limits.to_physical()
    return float(gain[0]) * times, float(offset[0]) * times


def make_mapper(sink: CommandSink, policy: PolicyContract, period: float) -> SinkMapper:
    """Return the mapper of a sink; ``period`` is the control period in seconds.

    Raises:
        ContractError: as :class:`SinkMapper`, or the model of a Cartesian sink does not fit.
        RuntimeUnavailable: inverse kinematics is needed and not installed.
    """
    mover = None
    if sink.cartesian is not None:
        # Optional, and heavy: only robots that need it import it.
        from lram_ros.adapters.inverse_kinematics import InverseKinematics

        mover = InverseKinematics(sink, period)
    return SinkMapper(sink, policy, period, mover)


def make_mappers(robot: RobotContract, policy: PolicyContract) -> list[SinkMapper]:
    """Return a mapper for each of the contract's sinks, in order. Raises as make_mapper."""
    return [make_mapper(sink, policy, 1.0 / robot.control_rate) for sink in robot.sinks]
