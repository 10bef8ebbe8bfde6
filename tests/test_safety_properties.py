"""What holds for every sequence of proposals, faults and requests, however absurd."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_rig import FIELDS, FINE, INDEX, LIMITS, MIDDLE, PERIOD, Loop, joints
from safety_witness import Witness

from lram_ros.safety import (
    ClockState,
    ClockVerdict,
    Mode,
    Reason,
    Request,
    Source,
    State,
    supervise,
)
from lram_ros.safety.limits import KINDS

SIZE = LIMITS.size


WRONG = {
    "stale": {"sources": (FINE[0], Source("camera", 0.3, 0.2))},
    "missing": {"sources": (FINE[0], Source("camera", math.inf, 0.2))},
    "nan age": {"sources": (FINE[0], Source("camera", math.nan, 0.2))},
    "invalid": {"invalid": "joint_states: position is not finite"},
    "unmeasured": {"position": np.full(SIZE, np.nan)},
    "not measured at all": {"position": None},
    "outside": {"position": np.full(SIZE, 50.0)},
    "second": {"command_publishers": 2},
    "lost": {"lost": ("camera",)},
    "ambiguous": {"ambiguous": ("camera",)},
    "ahead": {"sources": (FINE[0], Source("camera", -0.3, 0.2))},
    "back": {"clock": ClockVerdict(ClockState.BACK, 1.0)},
    "forward": {"clock": ClockVerdict(ClockState.FORWARD, 1.0)},
    "frozen": {"clock": ClockVerdict(ClockState.FROZEN, 1.0)},
    "stop": {"external_stop": True},
    "watchdog": {"watchdog": "no tick for 1 s"},
    "runner": {"runner_error": "ValueError"},
    "nan now": {"now": math.nan},
}
ABSURD = (math.nan, math.inf, -math.inf, 1e308, -1e308, 0.0, 1e-300)


def random_proposal(rng):
    kind = rng.random()
    if kind < 0.55:  # within the limits, from end to end of them
        return LIMITS.low + rng.random(SIZE) * (LIMITS.high - LIMITS.low)
    if kind < 0.90:
        return MIDDLE + rng.normal(0, 0.01, SIZE)
    if kind < 0.98:
        return rng.choice([1e308, -1e308, 50.0, -50.0, 0.0], SIZE)
    if kind < 0.99:
        return rng.choice(ABSURD, SIZE)
    return np.zeros(rng.integers(0, 12))


def random_dt(rng):
    kind = rng.random()
    if kind < 0.93:
        return PERIOD * rng.uniform(0.8, 1.2)
    if kind < 0.97:
        return PERIOD * rng.uniform(0.0001, 2.9)
    return float(rng.choice([0.0, -1.0, 0.2, 5.0, PERIOD, 1e-9]))


@pytest.mark.parametrize("seed", range(2))
def test_random_faults_for_ten_thousand_ticks(seed):
    """Nominal ticks: proposals, faults and requests are random, one after the other."""
    rng = np.random.default_rng(seed)
    loop, witness = Loop(), Witness(LIMITS)
    modes, reasons = set(), set()
    wrong, left = {}, 0
    for _ in range(10_000):
        if left == 0 and rng.random() < 0.03:
            wrong, left = WRONG[rng.choice(list(WRONG))], int(rng.integers(1, 8))
        changes = dict(wrong) if left else {}
        left = max(left - 1, 0)
        draw = rng.random()
        request = Request.NONE
        if draw < 0.1:
            request = [Request.ACTIVATE, Request.REARM][int(draw < 0.06)]
        elif draw < 0.103:
            request = Request.DEACTIVATE
        pause = rng.random() < 0.005
        measured = changes.get("position", loop.robot.position)
        measured = np.full(SIZE, np.nan) if measured is None else measured.copy()
        if pause:
            decision = loop.tick(None, request=request, **changes)
        else:
            decision = loop.tick(lambda: random_proposal(rng), request=request, **changes)
        witness.see(decision, measured, not changes, request)
        modes.add(decision.mode)
        reasons.add(decision.reason)
    assert modes == set(Mode)
    assert witness.sent > 5_000
    expected = set(Reason) - {Reason.NOT_FOLLOWING, Reason.LATE_TICK, Reason.SHUTDOWN}
    assert expected | {None} == reasons


def test_random_tick_times_move_nothing_too_far_or_too_fast():
    """Jitter, bursts, late ticks and a clock of ticks that goes back."""
    rng = np.random.default_rng(9)
    loop = Loop()
    late = set()
    previous, at, path, since = None, loop.now, np.zeros(SIZE), loop.now
    low, high = LIMITS.speed
    fastest = np.maximum(-low, high)
    moves = LIMITS.position | LIMITS.delta
    for _ in range(10_000):
        request = [Request.NONE, Request.ACTIVATE, Request.REARM][int(rng.integers(3))]
        dt = random_dt(rng)
        decision = loop.tick(lambda: random_proposal(rng), dt=dt, request=request)
        late.add(decision.reason)
        command = decision.command
        if command is None or previous is None or decision.reason is Reason.TICK_TIME or dt <= 0:
            previous, at, path, since = command, loop.now, np.zeros(SIZE), loop.now
            continue
        assert (command >= LIMITS.low).all()
        assert (command <= LIMITS.high).all()
        step = np.where(LIMITS.absolute, np.abs(command - previous), np.abs(command))
        assert (step <= fastest * PERIOD * (1 + 1e-9))[moves].all()
        # Over any time t no more than t + 1.25 periods of motion at full speed.
        path = path + step
        assert (path <= fastest * (loop.now - since + 1.25 * PERIOD) * (1 + 1e-9))[moves].all()
        assert loop.now > at
        previous, at = command, loop.now
    assert {Reason.LATE_TICK, Reason.TICK_TIME, None} <= late


def test_a_burst_of_ticks_after_a_long_wait_is_no_burst_of_motion():
    loop = Loop(joints(1), blend_s=0.0)
    loop.robot.position[0] = -0.9
    loop.tick(request=Request.ACTIVATE)
    for _ in range(500):
        loop.tick(None, dt=0.05)  # nothing to do: time that may not be saved up
    began = loop.now
    for _ in range(3000):
        decision = loop.tick([1.9], dt=0.0005)
        assert decision.moving
        assert decision.command[0] + 0.9 <= loop.now - began + 1.25 * PERIOD
    assert decision.command[0] > 0.2  # and it does move


def test_jitter_costs_no_motion():
    """Ticks that come a little early and late pass as if they came on time."""
    rng = np.random.default_rng(4)
    loop = Loop(joints(1, max_acceleration=math.inf), blend_s=0.0)
    loop.tick([-0.9], request=Request.ACTIVATE)
    loop.robot.position[0] = -0.9
    loop.until(Mode.RUNNING, [-0.9])
    late = 0.0
    for number in range(130):
        before, late = late, rng.uniform(0, 0.2) * PERIOD
        goal = [-0.9 + 0.02 * (number + 1)]  # full speed
        decision = loop.tick(goal, dt=PERIOD + late - before)
        assert decision.command[0] == pytest.approx(goal[0], abs=0.2 * 0.02 + 1e-9)


@pytest.mark.parametrize("delay", [1, 3, 10])
def test_a_robot_that_lags_passes_a_wall_by_no_more_than_its_lag(delay):
    ask = MIDDLE.copy()
    ask[INDEX["ee_x"]] = 1.0
    loop, pending = Loop(), [np.zeros(SIZE)] * delay
    loop.tick(request=Request.ACTIVATE)
    fastest = LIMITS.step[INDEX["ee_x"]] * 0.01
    for _ in range(600):
        decision = loop.tick(ask, obey=False)
        pending.append(np.zeros(SIZE) if decision.command is None else decision.command)
        loop.robot.obey(pending.pop(0))
        assert loop.robot.position[INDEX["ee_x"]] <= 0.2 + fastest * (delay + 1)
    assert loop.robot.position[INDEX["ee_x"]] > 0.19


numbers = st.floats(allow_nan=True, allow_infinity=True)
proposals = st.one_of(
    st.none(),
    st.lists(numbers, min_size=SIZE, max_size=SIZE),
    st.lists(numbers, max_size=SIZE + 2),
    st.builds(lambda k: (MIDDLE * k).tolist(), st.floats(-3, 3)),
)
ticks = st.tuples(
    proposals,
    st.sampled_from(["", "", "", "", *WRONG]),
    st.sampled_from([Request.NONE] * 5 + [Request.ACTIVATE, Request.REARM, Request.DEACTIVATE]),
)


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.lists(ticks, min_size=1, max_size=40))
def test_any_sequence_of_events(started, sequence):
    loop, witness = Loop(proof_s=0.0, blend_s=0.04), Witness(LIMITS)
    if started:
        first = loop.tick(MIDDLE, request=Request.ACTIVATE)
        assert first.mode is Mode.BLENDING
        witness.see(first, np.zeros(SIZE), True, Request.ACTIVATE)
    for proposed, name, request in sequence:
        changes = WRONG.get(name, {})
        measured = changes.get("position", loop.robot.position)
        measured = np.full(SIZE, np.nan) if measured is None else measured.copy()
        decision = loop.tick(proposed, request=request, **changes)
        witness.see(decision, measured, not changes, request)


def test_pure():
    """The same question has the same answer, and asking changes nothing."""
    loop = Loop(proof_s=0.0)
    loop.tick(MIDDLE, request=Request.ACTIVATE)
    for _ in range(10):
        loop.tick(MIDDLE)
    world, proposed = loop.world(now=loop.now + PERIOD), MIDDLE.copy()
    before = (loop.state.motion.command.copy(), world.position.copy())
    first, second = (supervise(loop.rules, loop.state, world, proposed) for _ in range(2))
    assert first[1].command.tolist() == second[1].command.tolist()
    assert first[0].credit == second[0].credit
    first[1].command[:] = 99.0
    assert first[0].motion.command.tolist() == second[0].motion.command.tolist()
    assert loop.state.motion.command.tolist() == before[0].tolist()
    assert world.position.tolist() == before[1].tolist()
    assert proposed.tolist() == MIDDLE.tolist()
    assert isinstance(State().mode, Mode)


def test_fields_of_the_rig_cover_every_kind():
    # A Cartesian velocity is to the supervisor what a twist is.
    assert {field.kind for field in FIELDS} | {"cartesian_velocity"} == set(KINDS)
