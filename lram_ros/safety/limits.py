"""How far, how fast and how abruptly each commanded value may move; no field is without limits.

All numbers of a field are in the unit of its command and in seconds. What is not given is derived
in :mod:`lram_ros.safety.defaults`; ``math.inf`` says that there is to be no limit, and
:meth:`SafetyLimits.unlimited` lists where that was said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from lram_core.errors import ContractError, listed

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

# What a command value means for the supervisor, by the kind of the action field.
POSITION = ("joint_position", "gripper")  # a place to be at; no motion: stay where it is
VELOCITY = ("joint_velocity", "twist", "cartesian_velocity")  # a speed; no motion: 0
DELTA = ("joint_delta", "cartesian_delta")  # a way a tick; no motion: 0
LEVEL = ("joint_effort", "native")  # neither; no motion: the field's rest value
KINDS = (*POSITION, *VELOCITY, *DELTA, *LEVEL)
_SETTLE_TICKS = 8


@dataclass(frozen=True)
class FieldLimits:
    """Limits of one commanded value.

    Attributes:
        name: the action field.
        kind: one of KINDS.
        low, high: smallest and largest value that may be sent. Velocities and deltas must be able
            to be 0.
        max_velocity: largest speed, in units/s; for an effort or a native value its largest
            change a second.
        max_acceleration: in units/s²; it also says how early a motion brakes before a limit.
        max_step: largest motion in one tick.
        rest: what ``no motion`` means for an effort or a native value; 0 for a velocity or a
            delta, without meaning for a position.
        position_low, position_high: where the measured position may be driven to by a velocity or
            a delta (a joint's range, an axis of the workspace box), in the unit of the
            measurement.
        scale: measured units a command unit: 0.01 where the command is in centimetres and the
            position in metres.
        max_lag: largest distance between a position command and the measured position.
        derived: names of the limits that nobody gave.
    """

    name: str
    kind: str
    low: float
    high: float
    max_velocity: float
    max_acceleration: float
    max_step: float
    rest: float = 0.0
    position_low: float = -math.inf
    position_high: float = math.inf
    scale: float = 1.0
    max_lag: float = math.inf
    derived: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"safety limits of {self.name}"
        if self.kind not in KINDS:
            raise ContractError(f"{where}: kind is '{self.kind}', expected one of {listed(KINDS)}")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ContractError(
                f"{where}: expected finite limits, low below high, found {self.low:g} … "
                f"{self.high:g}"
            )
        for name in ("max_velocity", "max_acceleration", "max_step", "scale", "max_lag"):
            if not getattr(self, name) > 0:
                raise ContractError(
                    f"{where}: {name}: expected a positive number, found {getattr(self, name):g}"
                )
        if self.kind not in POSITION and not self.low <= self.rest <= self.high:
            raise ContractError(
                f"{where}: the value for no motion is {self.rest:g}, outside of its limits "
                f"{self.low:g} … {self.high:g}"
            )
        if self.kind in VELOCITY + DELTA and self.rest != 0:
            raise ContractError(f"{where}: no motion of a {self.kind} is 0, found {self.rest:g}")
        if not self.position_low < self.position_high:
            raise ContractError(
                f"{where}: position_low {self.position_low:g} must be below position_high "
                f"{self.position_high:g}"
            )

    @property
    def walled(self) -> bool:
        """Whether a velocity or delta is bounded by where the robot is."""
        finite = math.isfinite(self.position_low) or math.isfinite(self.position_high)
        return finite and self.kind in VELOCITY + DELTA


@dataclass(frozen=True)
class Workspace:
    """A box the tool must stay in.

    Attributes:
        low, high: (x, y, z) in m, in the frame of the measured tool position.
        fields: names of the deltas or velocities along x, y and z, which then brake before its
            walls; empty where the command is not Cartesian: leaving the box only stops the robot.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(a < b for a, b in zip(self.low, self.high, strict=True)):
            raise ContractError(
                f"workspace: low {self.low} must be below high {self.high} in every axis"
            )
        if len(self.fields) not in (0, 3):
            raise ContractError(
                f"workspace: expected no fields or one for each of x, y, z, found "
                f"{listed(self.fields)}"
            )


@dataclass(frozen=True)
class SafetyLimits:
    """The limits of a whole command, in the order of its fields.

    Attributes:
        fields: one each.
        period: nominal time of a tick in seconds; limits are kept a tick, see ``shaping.py``.
        workspace: box for the measured tool position; leaving it stops the robot.
    """

    fields: tuple[FieldLimits, ...]
    period: float
    workspace: Workspace | None = None

    def __post_init__(self) -> None:
        if not self.fields:
            raise ContractError("safety limits: expected at least one field")
        if not (math.isfinite(self.period) and self.period > 0):
            raise ContractError(f"safety limits: period must be positive, found {self.period:g}")

    @property
    def size(self) -> int:
        return len(self.fields)

    def _array(self, name: str) -> Array:
        return np.array([getattr(field, name) for field in self.fields], dtype=np.float64)

    def _kinds(self, kinds: tuple[str, ...]) -> Mask:
        return np.array([field.kind in kinds for field in self.fields])

    # Arrays of shape (size,), made once.

    @cached_property
    def low(self) -> Array:
        return self._array("low")

    @cached_property
    def high(self) -> Array:
        return self._array("high")

    @cached_property
    def acceleration(self) -> Array:
        return self._array("max_acceleration")

    @cached_property
    def rest(self) -> Array:
        return self._array("rest")

    @cached_property
    def lag(self) -> Array:
        return self._array("max_lag")

    @cached_property
    def position(self) -> Mask:
        return self._kinds(POSITION)

    @cached_property
    def absolute(self) -> Mask:
        """Where a command is a place or level, and its change is the motion."""
        return self._kinds(POSITION + LEVEL)

    @cached_property
    def delta(self) -> Mask:
        return self._kinds(DELTA)

    @cached_property
    def measured(self) -> Mask:
        """Where a measured position is needed: to start from, or for a wall."""
        return np.array([f.kind == "joint_position" or f.walled for f in self.fields])

    @cached_property
    def walled(self) -> Mask:
        return np.array([field.walled for field in self.fields])

    @cached_property
    def walls(self) -> tuple[Array, Array, Array]:
        """(low, high, scale) of the measured position; infinite where there is no wall."""
        return self._array("position_low"), self._array("position_high"), self._array("scale")

    @cached_property
    def speed(self) -> tuple[Array, Array]:
        """(lowest, highest) velocity from max_velocity, max_step and, for rates, low and high."""
        fastest = np.minimum(self._array("max_velocity"), self._array("max_step") / self.period)
        per_tick = np.where(self.delta, self.period, 1.0)
        low = np.where(self.absolute, -np.inf, self.low / per_tick)
        high = np.where(self.absolute, np.inf, self.high / per_tick)
        return np.maximum(-fastest, low), np.minimum(fastest, high)

    @property
    def step(self) -> Array:
        """Largest motion of a tick, in command units."""
        return np.maximum(-self.speed[0], self.speed[1]) * self.period

    @property
    def stop_ticks(self) -> int:
        """Ticks of nominal length after which any stop has ended."""
        lowest, highest = self.speed
        span = self.high - self.low
        fastest = np.maximum(-lowest, highest)
        # However fast it may be: a place or level is left in time to brake before its limit.
        bounded = np.where(self.absolute, np.sqrt(2 * self.acceleration * span), np.inf)
        fastest = np.minimum(fastest, bounded)
        braking = np.minimum(self.acceleration * self.period, np.finfo(np.float64).max)
        ramp = np.where(np.isinf(self.acceleration), 0.0, fastest / braking)
        # A level is led to its rest value: turn round, travel, brake, settle.
        travel = 3 * ramp + span / (fastest * self.period) + _SETTLE_TICKS
        ticks = np.where(self._kinds(LEVEL), travel, ramp)
        return int(np.ceil(ticks.max())) + 1

    def unlimited(self) -> list[str]:
        """Return ``field: limit`` for what has no limit; a log line worth having.

        The acceleration of a gripper, an effort or a native value is not among them: it says
        little, and they have none by default.
        """
        found = []
        for field in self.fields:
            if math.isinf(field.max_velocity) and math.isinf(field.max_step):
                found.append(f"{field.name}: velocity")
            moves = field.kind == "joint_position" or field.kind in VELOCITY + DELTA
            if moves and math.isinf(field.max_acceleration):
                found.append(f"{field.name}: acceleration")
        return found

    def describe(self) -> list[str]:
        """Return a line a field: its limits, those that nobody gave marked with ``*``."""
        lines = []
        for field in self.fields:
            parts = [f"{field.low:g} … {field.high:g}"]
            for name in ("max_velocity", "max_acceleration", "max_step", "max_lag"):
                value = getattr(field, name)
                if name == "max_lag" and math.isinf(value):
                    continue
                shown = "unlimited" if math.isinf(value) else f"{value:.4g}"
                parts.append(f"{name} {shown}{'*' if name in field.derived else ''}")
            if field.walled:
                parts.append(f"position {field.position_low:g} … {field.position_high:g}")
            lines.append(f"{field.name} ({field.kind}): {', '.join(parts)}")
        return lines
