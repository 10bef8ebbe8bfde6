"""What is wrong at a tick: with its time, with the robot's following, with the proposal."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lram_ros.safety.limits import SafetyLimits
from lram_ros.safety.modes import MOVING, Mode, Rules, State
from lram_ros.safety.reasons import Fault, Reason
from lram_ros.safety.world import World, faults

_ORDER = {reason: index for index, reason in enumerate(Reason)}


def problems(rules: Rules, state: State, world: World) -> tuple[list[Fault], float]:
    """Return everything that is wrong, in the order of :class:`Reason`, and the tick's length."""
    limits = rules.limits
    found = faults(limits, world)
    dt, time_fault = _elapsed(rules, state, world)
    if time_fault is not None:
        found.append(time_fault)
    if state.mode in MOVING:
        if dt > rules.late_after:
            found.append(
                Fault(
                    Reason.LATE_TICK,
                    f"{dt:.3g} s after the last one (at most {rules.late_after:.3g} s)",
                )
            )
        found += _not_following(limits, state, world)
    elif state.mode is not Mode.STOPPING:
        found += _start_outside(limits, world)
    return sorted(found, key=lambda fault: _ORDER[fault.reason]), dt


def _not_following(limits: SafetyLimits, state: State, world: World) -> list[Fault]:
    if state.motion is None or world.position is None:
        return []
    lag = np.abs(np.asarray(world.position) - state.motion.command)
    behind = np.flatnonzero(limits.position & (lag > limits.lag))
    detail = ", ".join(
        f"{limits.fields[i].name} is {lag[i]:.3g} from its command (at most {limits.lag[i]:g})"
        for i in behind
    )
    return [Fault(Reason.NOT_FOLLOWING, detail)] if detail else []


def unusable(limits: SafetyLimits, proposed: npt.ArrayLike) -> Fault | None:
    """Say why a proposal cannot be a command at any limits; None: it can."""
    try:
        values = np.asarray(proposed, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return Fault(Reason.COMMAND_SIZE, f"not {limits.size} numbers")
    if values.shape != (limits.size,):
        return Fault(Reason.COMMAND_SIZE, f"shape {values.shape}, expected ({limits.size},)")
    bad = [limits.fields[i].name for i in np.flatnonzero(~np.isfinite(values))]
    return Fault(Reason.COMMAND_NOT_FINITE, f"{', '.join(bad)} not finite") if bad else None


def _start_outside(limits: SafetyLimits, world: World) -> list[Fault]:
    """Return what keeps a robot from being started where it is.

    A place outside the limits by more than one step would be left with a jump.
    """
    if world.position is None:
        return []
    position = np.asarray(world.position, dtype=np.float64)
    beyond = np.maximum(limits.low - position, position - limits.high)
    names = [
        f"{limits.fields[i].name} is at {position[i]:.4g} "
        f"(limits {limits.low[i]:g} … {limits.high[i]:g})"
        for i in np.flatnonzero(limits.position & (beyond > limits.step))
    ]
    return [Fault(Reason.OUTSIDE_LIMITS, ", ".join(names))] if names else []


def _elapsed(rules: Rules, state: State, world: World) -> tuple[float, Fault | None]:
    """Seconds since the last tick; a nominal period where they cannot be told."""
    if not math.isfinite(world.now):
        return rules.limits.period, Fault(Reason.TICK_TIME, f"the tick's time is {world.now}")
    if state.now is None:
        return rules.limits.period, None
    dt = world.now - state.now
    if dt > 0:
        return dt, None
    return rules.limits.period, Fault(
        Reason.TICK_TIME, f"the tick's time went on by {dt:.3g} s, expected more than 0"
    )
