"""The last thing between a policy and a robot: limits every command, stops on every doubt.

``supervise`` is a pure function: the same rules, state, world and proposal give the same answer,
and nothing else is read or written. It knows no ROS, no clock and no thread. See docs/safety.md.

======== ============================================ =======================================
mode     what is sent                                 left by
======== ============================================ =======================================
idle     nothing                                      activate
waiting  nothing, or what was held before a re-arm    proof of life and a proposal
blending from the measured pose towards the proposal  the blend's end; any fault; a pause
running  the proposal within the limits               any fault; a pause; deactivate
stopping deceleration within the limits               standstill
holding  no motion, latched, with one named reason    re-arm once its cause is gone; deactivate
======== ============================================ =======================================
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lram_ros.safety.checks import problems, unusable
from lram_ros.safety.limits import Array, Mask, SafetyLimits
from lram_ros.safety.modes import MOVING, Decision, Mode, Rules, State
from lram_ros.safety.reasons import Fault, Reason
from lram_ros.safety.shaping import Motion, at_rest, brake, shape, stands
from lram_ros.safety.world import ALWAYS, Request, World

_ROUNDING_S = 1e-9  # sums of periods


def supervise(
    rules: Rules, state: State, world: World, proposed: npt.ArrayLike | None = None
) -> tuple[State, Decision]:
    """Decide one tick.

    Args:
        rules: what to enforce.
        state: of the tick before.
        world: what is known now.
        proposed: (size,) the policy's action; None: it has none on purpose, because
            :func:`wants_proposal` said no or no episode runs. A robot in motion then comes to
            rest, without a latch.

    Raises:
        ContractError: ``world.position`` has another size than the command.
    """
    found, dt = problems(rules, state, world)
    credit, budget = _budget(rules.limits.period, state.credit, dt)
    now = world.now if math.isfinite(world.now) else state.now
    state = _requests(replace(state, now=now, credit=credit), world.request, found)
    if state.mode is Mode.IDLE:
        return _idle(rules, state)
    if state.mode is Mode.HOLDING:
        return _hold(rules, state, found)
    wrong = found
    if proposed is not None and not wrong and (fault := unusable(rules.limits, proposed)):
        wrong = [fault]
    if state.mode is Mode.WAITING:
        state, waiting_for = _wait(rules, state, world, wrong, dt)
        if state.mode is Mode.HOLDING:
            return _hold(rules, state, found)
        if waiting_for or proposed is None:
            return state, _decision(rules, state, waiting_for=waiting_for)
        state = _begin(rules, state, world, np.asarray(proposed, dtype=np.float64))
    if state.mode in MOVING and (wrong or proposed is None):
        state = replace(state, mode=Mode.STOPPING, fault=wrong[0] if wrong else None)
    if state.mode is Mode.STOPPING:
        if state.fault is None and wrong:
            state = replace(state, fault=wrong[0])
        return _stop(rules, state, world, budget)
    return _move(rules, state, world, np.asarray(proposed, dtype=np.float64), budget)


def wants_proposal(rules: Rules, state: State, world: World) -> bool:
    """Whether a proposal would be used in this tick: only then may the policy be advanced."""
    found, dt = problems(rules, state, world)
    if found:
        return False
    state = _requests(state, world.request, found)
    if state.mode in MOVING:
        return True
    return state.mode is Mode.WAITING and not _wait(rules, state, world, found, dt)[1]


def wind_down(
    rules: Rules, state: State, fault: Fault, leave: bool = True
) -> Iterator[tuple[State, Decision]]:
    """Bring a robot to rest when nobody ticks any more: on deactivate, error and shutdown.

    Stop the runner first, then send each command one period after the one before. The last one
    is the safe command.

    Args:
        rules: as for :func:`supervise`.
        state: the last one of the runner.
        fault: why; an earlier fault keeps its name.
        leave: end idle; False: end latched, to be re-armed (what a watchdog wants).
    """
    state = replace(state, fault=state.fault or fault, leaving=leave)
    if state.mode is Mode.IDLE:
        yield _idle(rules, state)
        return
    if state.motion is None:
        state = replace(state, mode=Mode.IDLE if leave else Mode.HOLDING)
        yield _idle(rules, state) if leave else _hold(rules, state, [])
        return
    world = World(now=math.nan)
    state = replace(state, mode=Mode.STOPPING)
    while state.mode is Mode.STOPPING:
        state, decision = _stop(rules, state, world, rules.limits.period)
        yield state, decision


def _budget(period: float, credit: float, dt: float) -> tuple[float, float]:
    """Return (credit left, time of motion for this tick).

    A tick never moves further than a nominal one. What a late tick left unused makes up, up to a
    quarter of a period, for ticks that come early: jitter costs no motion, and over any time t no
    more than t + a quarter of a period is ever used.
    """
    available = min(credit + dt, 1.25 * period)
    budget = min(available, period)
    if budget < 0.01 * period:  # too short to divide by
        budget = 0.0
    return available - budget, budget


# Modes


def _requests(state: State, request: Request, found: list[Fault]) -> State:
    mode = state.mode
    if request is Request.ACTIVATE and mode is Mode.IDLE:
        return State(mode=Mode.WAITING, now=state.now, credit=state.credit)
    if request is Request.REARM and mode is Mode.HOLDING and not found:
        return replace(state, mode=Mode.WAITING, fault=None, since=None, rearmed=True)
    if request is Request.DEACTIVATE and mode is not Mode.IDLE:
        fault = state.fault or Fault(Reason.DEACTIVATED)
        moving = mode in MOVING or mode is Mode.STOPPING
        return replace(
            state, mode=Mode.STOPPING if moving else Mode.IDLE, fault=fault, leaving=True
        )
    return state


def _idle(rules: Rules, state: State) -> tuple[State, Decision]:
    """Send what was held a last time."""
    decision = _decision(rules, state)
    return replace(state, motion=None, leaving=False), decision


def _hold(rules: Rules, state: State, found: list[Fault]) -> tuple[State, Decision]:
    state = _silent(state, found)
    return state, _decision(rules, state, waiting_for=_texts(found))


def _texts(found: list[Fault]) -> tuple[str, ...]:
    return tuple(str(fault) for fault in found)


def _silent(state: State, found: list[Fault]) -> State:
    """Two that send different places in turn shake a robot: it was stopped, so say no more."""
    if any(fault.reason is Reason.SECOND_PUBLISHER for fault in found):
        return replace(state, motion=None)
    return state


def _wait(
    rules: Rules, state: State, world: World, wrong: list[Fault], dt: float
) -> tuple[State, tuple[str, ...]]:
    """Return the state, and what is still waited for."""
    latching = (*ALWAYS, Reason.COMMAND_SIZE, Reason.COMMAND_NOT_FINITE)
    for fault in wrong:
        if state.rearmed or fault.reason in latching:
            return replace(state, mode=Mode.HOLDING, fault=fault), _texts(wrong)
    if wrong:
        return _silent(replace(state, since=None), wrong), _texts(wrong)
    # Nobody looked while there were no ticks: such time proves nothing.
    since = state.since
    if since is None or dt > rules.late_after:
        since = world.now
    state = replace(state, since=since)
    proven = world.now - since
    if proven < rules.proof_s - _ROUNDING_S:
        return state, (f"proof of life: all fine for {proven:.2g} s of {rules.proof_s:g} s",)
    return state, ()


def _begin(rules: Rules, state: State, world: World, proposed: Array) -> State:
    """Start from the measured pose; after a re-arm from what is held, if the robot is there."""
    limits = rules.limits
    start = np.where(limits.position, np.clip(proposed, limits.low, limits.high), limits.rest)
    if world.position is not None:
        position = np.asarray(world.position, dtype=np.float64)
        known = limits.position & np.isfinite(position)
        start = np.where(known, np.clip(position, limits.low, limits.high), start)
    if state.motion is not None:
        held = state.motion.command
        there = limits.position
        if world.position is not None:
            away = known & (np.abs(position - held) > limits.lag)
            there = there & ~away
        start = np.where(there, held, start)
    return replace(
        state,
        mode=Mode.BLENDING,
        motion=at_rest(start),
        since=world.now,
        start=start,
        rearmed=False,
    )


def _move(
    rules: Rules, state: State, world: World, proposed: Array, budget: float
) -> tuple[State, Decision]:
    limits = rules.limits
    assert state.motion is not None
    assert state.start is not None
    assert state.since is not None
    target = np.clip(proposed, limits.low, limits.high)
    outside = target != proposed
    weight = 1.0 if state.mode is Mode.RUNNING else _weight(world.now - state.since, rules.blend_s)
    if weight < 1.0:
        target = state.start + weight * (target - state.start)
    motion = _next(limits, state.motion, target, budget, world)
    mode = Mode.RUNNING if weight >= 1.0 else Mode.BLENDING
    state = replace(state, mode=mode, motion=motion)
    limited = outside | (motion.command != target)
    return state, _decision(rules, state, limited=limited, weight=weight)


def _weight(elapsed: float, blend_s: float) -> float:
    """Smoothstep: velocity rises from 0 and nothing jumps at the end."""
    if elapsed >= blend_s - _ROUNDING_S:
        return 1.0
    part = max(elapsed / blend_s, 0.0)
    return part * part * (3 - 2 * part)


def _stop(rules: Rules, state: State, world: World, budget: float) -> tuple[State, Decision]:
    limits = rules.limits
    assert state.motion is not None
    motion = _next(limits, state.motion, None, budget, world)
    state = replace(state, motion=motion)
    if stands(limits, motion):
        if state.leaving:
            return _idle(rules, replace(state, mode=Mode.IDLE))
        if state.fault is not None:
            state = replace(state, mode=Mode.HOLDING)
        else:  # a pause: somebody else may move the robot until the next proposal
            decision = _decision(rules, replace(state, mode=Mode.WAITING))
            return replace(state, mode=Mode.WAITING, motion=None, since=None), decision
    return state, _decision(rules, state)


def _next(
    limits: SafetyLimits, last: Motion, target: Array | None, budget: float, world: World
) -> Motion:
    """The next motion; for the target None on the way to no motion."""
    if budget == 0.0:  # a tick right after another: nothing may move yet
        return replace(last, command=np.where(limits.delta, 0.0, last.command))
    measured = None
    if world.position is not None:
        measured = np.asarray(world.position, dtype=np.float64)
    if target is None:
        return brake(limits, last, budget, measured)
    return shape(limits, last, target, budget, measured)


def _decision(
    rules: Rules,
    state: State,
    limited: Mask | None = None,
    waiting_for: tuple[str, ...] = (),
    weight: float = 0.0,
) -> Decision:
    command = None
    if state.motion is not None:
        command = state.motion.command.copy()
    return Decision(
        mode=state.mode,
        command=command,
        limited=np.zeros(rules.limits.size, dtype=bool) if limited is None else limited,
        fault=state.fault,
        waiting_for=waiting_for,
        weight=weight,
    )
