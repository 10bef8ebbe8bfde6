"""Did it stop as documented? What commands of positions say about themselves.

Ticks come early or late, and a short one moves less far: steps alone do not tell speeds, however
many are looked at. So the speed before the stop is told by the step and its length in time, and
from there on by energy, which needs no clock: who brakes with a from v and has come w further is
no faster than √(v² − 2aw).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_REST = 4  # ticks without a step after which a joint stands; fewer may have been too short
_ROUNDING = 1e-9  # rad


@dataclass(frozen=True)
class MotionLimits:
    """Of every joint, in rad and s: position, velocity, acceleration, length of a tick."""

    low: float
    high: float
    velocity: float
    acceleration: float
    period: float

    @property
    def step(self) -> float:
        return self.velocity * self.period


def outside(commands: Array, limits: MotionLimits) -> list[str]:
    """Say what is wrong with (n, joints) commands one after the other; empty: nothing."""
    if not np.isfinite(commands).all():
        return ["a command is not finite"]
    found = []
    if commands.size and (commands.min() < limits.low or commands.max() > limits.high):
        found.append(f"a command is outside of {limits.low:g} to {limits.high:g} rad")
    steps = np.abs(np.diff(commands, axis=0))
    if steps.size and steps.max() > limits.step + _ROUNDING:
        found.append(f"a step of {steps.max():.4g} rad, at most {limits.step:g} are allowed")
    return found


def stopping(before: Array, after: Array, speed: Array, limits: MotionLimits) -> dict[str, Any]:
    """Look at a stop.

    Args:
        before: (n, joints) the policy's last commands, n > 1.
        after: (m, joints) those that followed, to the end of the stop and beyond.
        speed: (joints,) of the last of ``before``, in rad/s.
        limits: of the motion.

    Returns:
        ``way_rad``, ``way_allowed_rad`` (what braking at the limit takes), ``ticks`` (moving ones),
        ``problems``: what was not as documented.
    """
    steps = np.diff(np.concatenate([before[-1:], after]), axis=0)
    moves = np.abs(steps) > _ROUNDING
    moving = np.flatnonzero(moves.any(axis=1))
    ticks = int(moving[-1]) + 1 if len(moving) else 0
    allowed = float((speed**2 / (2 * limits.acceleration)).max())
    way = float(np.abs(after - before[-1]).max()) if len(after) else math.nan
    problems = outside(np.concatenate([before, after]), limits)
    if len(after) < ticks + 5:
        problems.append(f"only {len(after)} commands after the fault, {ticks} of them moving")
    if way > allowed + _ROUNDING:
        problems.append(f"went on by {way:.4g} rad, braking takes {allowed:.4g}")
    if ticks > math.ceil(limits.velocity / (limits.acceleration * limits.period)) + _REST:
        problems.append(f"{ticks} ticks until rest")
    ways = np.abs(steps).cumsum(axis=0)
    fastest = np.sqrt(np.maximum(speed**2 - 2 * limits.acceleration * ways, 0.0))
    for tick in np.flatnonzero((np.abs(steps) > fastest * limits.period + _ROUNDING).any(axis=1)):
        problems.append(f"too fast in tick {tick + 1} of the stop")
    for tick in range(_REST, len(steps)):
        if (moves[tick] & ~moves[tick - _REST : tick].any(axis=0)).any():
            problems.append(f"moved anew in tick {tick + 1} of the stop")
    if (steps * (before[-1] - before[-2]) < -_ROUNDING * limits.step).any():
        problems.append("a joint turned round")
    return {
        "way_rad": way,
        "way_allowed_rad": allowed,
        "ticks": ticks,
        "problems": problems,
    }


def last_speed(commands: Array, times: Array, period: float) -> Array:
    """Return the speed, in rad/s (joints,), that the last command meant.

    Args:
        commands: (n, joints) that left one after the other, n > 1.
        times: (n,) of the ticks that decided them, in s.
        period: nominal length of a tick in s.
    """
    # As documented: no tick moves further than a nominal one, and up to a quarter of a period that
    # a late one left unused is made up for by early ones.
    lengths, credit = [0.0], 0.25 * period
    for passed in np.diff(times):
        available = min(credit + float(passed), 1.25 * period)
        lengths.append(min(available, period) if available >= 0.01 * period else 0.0)
        credit = available - lengths[-1]
    last = np.flatnonzero(lengths)[-1]  # in a tick without length nothing changes
    speed: Array = np.abs(commands[last] - commands[last - 1]) / lengths[last]
    return speed


def in_motion(commands: Array, limits: MotionLimits, part: float = 0.5) -> bool:
    """Whether the last commands moved at a ``part`` of what is allowed, or faster, all the time."""
    if len(commands) < 6:
        return False
    steps = np.abs(np.diff(commands[-6:], axis=0)).max(axis=1)
    return bool((steps > part * limits.step).all())
