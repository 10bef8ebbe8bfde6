"""Did it stop as documented? What commands of positions say about themselves, without clocks.

Ticks may come a little early or late, and a short one moves less far. So a step is compared with
the few before it, never with one alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
_RECENT = 3  # steps
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


def stopping(before: Array, after: Array, limits: MotionLimits) -> dict[str, Any]:
    """Look at a stop.

    Args:
        before: (n, joints) the policy's last commands, n > 3.
        after: (m, joints) those that followed, to the end of the stop and beyond.
        limits: of the motion.

    Returns:
        ``way_rad``, ``way_allowed_rad`` (what braking at the limit takes), ``ticks`` (moving ones),
        ``problems``: what was not as documented.
    """
    steps = np.diff(np.concatenate([before[-_RECENT - 1 :], after]), axis=0)
    moving = np.flatnonzero((np.abs(steps[_RECENT:]) > _ROUNDING).any(axis=1))
    ticks = int(moving[-1]) + 1 if len(moving) else 0
    fastest = np.abs(steps[:_RECENT]).max(axis=0) / limits.period
    # From v in steps of a tick: at most v²/2a, and one step for a velocity that just rose.
    allowed = float((fastest**2 / (2 * limits.acceleration) + fastest * limits.period).max())
    way = float(np.abs(after - before[-1]).max()) if len(after) else math.nan
    problems = outside(np.concatenate([before, after]), limits)
    if len(after) < ticks + 5:
        problems.append(f"only {len(after)} commands after the fault, {ticks} of them moving")
    if way > allowed + _ROUNDING:
        problems.append(f"went on by {way:.4g} rad, braking takes {allowed:.4g}")
    if ticks > math.ceil(limits.velocity / (limits.acceleration * limits.period)) + _RECENT:
        problems.append(f"{ticks} ticks until rest")
    for number in range(_RECENT, len(steps)):
        recent = np.abs(steps[number - _RECENT : number]).max(axis=0)
        if (np.abs(steps[number]) > recent + _ROUNDING).any():
            problems.append(f"speed rose in tick {number - _RECENT + 1} of the stop")
    last = steps[_RECENT - 1]
    if (steps[_RECENT:] * last < -_ROUNDING * limits.step).any():
        problems.append("a joint turned round")
    return {
        "way_rad": way,
        "way_allowed_rad": allowed,
        "ticks": ticks,
        "problems": problems,
    }


def in_motion(commands: Array, limits: MotionLimits, part: float = 0.5) -> bool:
    """Whether the last commands moved at a ``part`` of what is allowed, or faster, all the time."""
    if len(commands) < 6:
        return False
    steps = np.abs(np.diff(commands[-6:], axis=0)).max(axis=1)
    return bool((steps > part * limits.step).all())
