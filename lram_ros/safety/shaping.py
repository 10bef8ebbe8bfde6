"""From where a policy wants to be to what may be sent now: the arithmetic of the limits.

Everything is decided on velocities. A tick moves a position by v·dt, a delta is v·dt, a velocity
is v itself, and the new v must lie

* within ``max_velocity`` and ``max_step`` (a tick of nominal length),
* within ``max_acceleration``·dt of the last one,
* below what can still be braked with that acceleration before the position limit: from v, in steps
  of any length, braking takes at most v²/(2a), so v² + 2·a·dt·v ≤ 2·a·d, where d is the way left.

Braking at full acceleration fulfils the last line again, hence for position commands all limits
can be kept at once, always. For velocities and deltas the way left is measured on a robot that may
lag or be pushed; where its position limit and the acceleration contradict each other, the position
limit wins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lram_ros.safety.limits import Array, SafetyLimits

_ROUNDING = 1e-12  # of a field's range


@dataclass(frozen=True, eq=False)
class Motion:
    """What was sent last, all float64 (size,).

    Attributes:
        command: the values.
        velocity: velocity in command units/s that they meant.
        target: what they were to be before acceleration and velocity limited them.
    """

    command: Array
    velocity: Array
    target: Array


def at_rest(command: Array) -> Motion:
    """Return the motion of a robot that stands still at ``command``."""
    return Motion(command, np.zeros_like(command), command)


def shape(
    limits: SafetyLimits, last: Motion, target: Array, dt: float, measured: Array | None
) -> Motion:
    """Return the next command on the way to ``target``.

    A target within all limits is returned as it is, bit for bit.

    Args:
        limits: to keep.
        last: what was sent before.
        target: float64 (size,), finite, within low and high.
        dt: length of this tick, in seconds, above 0 and at most the nominal period.
        measured: measured positions (size,), NaN where unknown; None: all unknown.
    """
    lowest, highest = limits.speed
    acceleration = limits.acceleration
    way_down, way_up = _ways(limits, last.command, measured)
    hard_low = np.maximum(lowest, -brakeable(way_down, acceleration, dt))
    hard_high = np.minimum(highest, brakeable(way_up, acceleration, dt))
    change = acceleration * dt
    low = np.clip(last.velocity - change, hard_low, hard_high)
    high = np.clip(last.velocity + change, hard_low, hard_high)

    absolute, delta = limits.absolute, limits.delta
    base = np.where(absolute, last.command, 0.0)
    per_velocity = np.where(absolute | delta, dt, 1.0)
    wanted = np.where(absolute, _approach(limits, last, target, dt), target)
    wanted = np.clip(wanted, limits.low, limits.high)
    command = np.clip(wanted, base + low * per_velocity, base + high * per_velocity)
    command = np.clip(command, limits.low, limits.high)
    # A target on a bound is not to be changed by the bound's rounding.
    rounding = _ROUNDING * (limits.high - limits.low)
    command = np.where(np.abs(command - wanted) <= rounding, wanted, command)
    # The bounds again: (base + v·dt - base) / dt may be a rounding error beyond v.
    velocity = np.clip((command - base) / per_velocity, hard_low, hard_high)
    return Motion(command, velocity, target)


def brake(limits: SafetyLimits, last: Motion, dt: float, measured: Array | None) -> Motion:
    """Return the next command on the way to no motion; arguments as :func:`shape`.

    Positions brake and stay, velocities and deltas go to 0, levels to their rest value.
    """
    goal = np.where(limits.position, last.command, limits.rest)
    return shape(limits, Motion(last.command, last.velocity, goal), goal, dt, measured)


def stands(limits: SafetyLimits, motion: Motion) -> bool:
    """Whether nothing moves any more, and every level has its rest value."""
    arrived = limits.position | (motion.command == limits.rest)
    return bool((arrived & (motion.velocity == 0)).all())


def brakeable(way: Array, acceleration: Array, dt: float) -> Array:
    """Return the largest velocity for a tick of ``dt`` that can be braked within ``way``.

    Solves v² + 2·a·dt·v = 2·a·way; ``way``/dt for an infinite acceleration, 0 for no way left.
    """
    way = np.maximum(way, 0.0)
    finite = np.where(np.isinf(way), 0.0, way)
    velocity = 2 * finite / (dt + np.sqrt(dt * dt + 2 * finite / acceleration))
    return np.where(np.isinf(way), np.inf, velocity)


def _ways(limits: SafetyLimits, command: Array, measured: Array | None) -> tuple[Array, Array]:
    """Ways left to the lower and upper position limit, in command units."""
    down = np.where(limits.absolute, command - limits.low, np.inf)
    up = np.where(limits.absolute, limits.high - command, np.inf)
    if measured is not None and limits.walled.any():
        low, high, scale = limits.walls
        known = limits.walled & np.isfinite(measured)
        down = np.where(known, (measured - low) / scale, down)
        up = np.where(known, (high - measured) / scale, up)
    return down, up


def _approach(limits: SafetyLimits, last: Motion, target: Array, dt: float) -> Array:
    """Where to go for a target that may be out of reach, without overshooting it.

    Seen from the moving target, the distance that was left after the last tick is closed at a
    speed that can be braked within it. With nothing left the answer is the target itself.
    """
    rate = (target - last.target) / dt
    left = last.target - last.command
    closing = np.copysign(brakeable(np.abs(left), limits.acceleration, dt), left)
    exact = (left == 0) | np.isinf(limits.acceleration)
    return np.where(exact, target, last.command + (rate + closing) * dt)
