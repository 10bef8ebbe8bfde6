"""What holds for every sequence of proposals, faults and requests, however absurd."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_rig import FIELDS, FINE, INDEX, LIMITS, MIDDLE, PERIOD, Loop, joints

from lram_ros.safety import (
    ClockState,
    ClockVerdict,
    FieldLimits,
    Mode,
    Reason,
    Request,
    SafetyLimits,
    Source,
    State,
    supervise,
)
from lram_ros.safety.limits import KINDS
from lram_ros.safety.shaping import at_rest, brake, shape, stands

SIZE = LIMITS.size
NEVER = np.zeros(SIZE, dtype=bool)
MOVING = (Mode.BLENDING, Mode.RUNNING)


class Witness:
    """Watches every decision of a loop and checks the invariants, on commands alone."""

    def __init__(self, limits, rounding=1e-9):
        self.limits = limits
        self.slack = rounding * (limits.high - limits.low)
        self.command = self.velocity = None
        self.fault = None
        self.mode = Mode.IDLE
        self.stopping = 0
        self.sent = 0

    def see(self, decision, measured, found_nothing, request, walls=True):
        limits = self.limits
        if decision.command is not None:
            self.sent += 1
            command = decision.command
            assert np.isfinite(command).all()
            assert (command >= limits.low).all()
            assert (command <= limits.high).all()
            velocity = self.check_motion(decision, command, measured)
            if decision.mode not in MOVING and self.velocity is not None:
                self.check_no_new_motion(velocity)
            self.command, self.velocity = command, velocity
        else:
            assert decision.mode in (Mode.IDLE, Mode.WAITING, Mode.HOLDING)
            self.command = self.velocity = None
        self.check_latch(decision, found_nothing, request)
        self.mode = decision.mode

    def check_motion(self, decision, command, measured):
        limits = self.limits
        began = decision.mode in MOVING and self.mode not in MOVING
        if self.command is None or (began and not self.near(command, measured)):
            # A start: at the measured pose, standing still.
            known = limits.position & np.isfinite(measured)
            at = np.clip(measured, limits.low, limits.high)
            assert (np.abs(command - at) <= self.slack)[known].all()
            previous = np.where(limits.absolute, command, 0.0)
            before = np.zeros(limits.size)
        else:
            previous, before = self.command, self.velocity
        base = np.where(limits.absolute, previous, 0.0)
        moved = command - base
        per = np.where(limits.absolute | limits.delta, PERIOD, 1.0)
        velocity = moved / per
        # max_velocity and max_step, for a tick of nominal length.
        low, high = limits.speed
        assert (moved >= low * per - self.slack).all()
        assert (moved <= high * per + self.slack).all()
        # max_acceleration; a wall seen by a measurement may brake harder, never speed up.
        change = velocity - before
        allowed = limits.acceleration * PERIOD + self.slack / per
        harder = limits.walled & (np.abs(velocity) < np.abs(before))
        harder |= limits.walled & (velocity == 0)
        assert ((np.abs(change) <= allowed) | harder).all()
        return velocity

    def near(self, command, measured):
        """Whether a start goes on from what is held."""
        limits = self.limits
        return (np.abs(command - self.command) <= limits.step + self.slack)[limits.position].all()

    def check_no_new_motion(self, velocity):
        """Speeds only fall and do not turn round; levels go to their rest value instead."""
        limits = self.limits
        level = np.array([f.kind in ("joint_effort", "native") for f in limits.fields])
        slack = self.slack / PERIOD
        assert (level | (np.abs(velocity) <= np.abs(self.velocity) + slack)).all()
        assert (level | (velocity * self.velocity >= -slack)).all()

    def check_latch(self, decision, found_nothing, request):
        if self.mode is Mode.STOPPING:
            self.stopping += 1
            assert self.stopping <= self.limits.stop_ticks
        else:
            self.stopping = 0
        latched = self.mode is Mode.HOLDING or (self.mode is Mode.STOPPING and self.fault)
        rearmed = self.mode is Mode.HOLDING and request is Request.REARM and found_nothing
        stays = decision.mode in (Mode.STOPPING, Mode.HOLDING, Mode.IDLE)
        if latched and not rearmed:
            assert stays
            assert decision.fault == self.fault  # one reason, the first
        elif rearmed and stays:  # re-armed, and latched again by what the policy said
            assert decision.reason in (Reason.COMMAND_SIZE, Reason.COMMAND_NOT_FINITE)
        if decision.mode is Mode.HOLDING:
            assert decision.fault is not None
            if self.mode is Mode.HOLDING and self.command is not None:
                assert (self.velocity == 0)[self.limits.absolute].all()
        self.fault = decision.fault


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


reasonable = st.floats(0.1, 1e3)


@st.composite
def position_limits(draw):
    low = draw(st.floats(-10, 10))
    width = draw(st.floats(1e-3, 20))
    return SafetyLimits(
        (
            FieldLimits(
                "joint",
                draw(st.sampled_from(["joint_position", "gripper"])),
                low,
                low + width,
                draw(reasonable),
                draw(st.one_of(reasonable, st.just(math.inf))),
                draw(st.one_of(reasonable, st.just(math.inf))),
            ),
        ),
        draw(st.floats(5e-3, 0.1)),
    )


@settings(max_examples=300, deadline=None)
@given(position_limits(), st.lists(st.tuples(st.floats(0, 1), st.floats(0.05, 1)), max_size=60))
def test_a_position_keeps_all_limits_at_once(limits, course):
    """Position, velocity, step and acceleration never contradict each other, at any dt."""
    width = float(limits.high[0] - limits.low[0])
    motion = at_rest(limits.low + course[0][0] * width if course else limits.low.copy())
    low, high = limits.speed
    for where, part in course:
        dt = part * limits.period
        target = np.clip(limits.low + where * width, limits.low, limits.high)
        after = shape(limits, motion, target, dt, None)
        velocity = (after.command - motion.command) / dt
        slack = 1e-9 * (1 + abs(limits.low[0]) + width) / dt
        assert limits.low[0] <= after.command[0] <= limits.high[0]
        assert low[0] - slack <= velocity[0] <= high[0] + slack
        change = abs(velocity[0] - motion.velocity[0])
        assert change <= limits.acceleration[0] * dt + slack
        # From here it can still be braked before the limit.
        for side, speed in (
            (limits.high[0] - after.command[0], velocity[0]),
            (after.command[0] - limits.low[0], -velocity[0]),
        ):
            way = max(speed, 0.0) ** 2 / (2 * limits.acceleration[0])
            assert way <= side + slack * dt + 1e-9 * way + slack * abs(speed) * dt
        motion = after


@settings(max_examples=100, deadline=None)
@given(position_limits(), st.floats(0, 1), st.integers(1, 80))
def test_a_stop_from_anywhere_ends_in_time_and_never_turns_round(limits, where, ticks):
    motion = at_rest((limits.low + limits.high) / 2)
    target = limits.low + where * (limits.high - limits.low)
    target = np.clip(target, limits.low, limits.high)
    for _ in range(ticks):
        motion = shape(limits, motion, target, limits.period, None)
    count = 0
    while count == 0 or not stands(limits, motion):
        count += 1
        assert count <= limits.stop_ticks
        after = brake(limits, motion, limits.period, None)
        assert (np.abs(after.velocity) <= np.abs(motion.velocity)).all()
        assert (after.velocity * motion.velocity >= 0).all()
        motion = after
    assert (brake(limits, motion, limits.period, None).command == motion.command).all()


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.tuples(reasonable, reasonable, st.floats(-1, 1)),
    st.tuples(*[st.one_of(reasonable, st.just(math.inf))] * 3),
    st.lists(st.floats(-1.5, 1.5), min_size=1, max_size=30),
)
def test_every_kind_stops_in_time(kind, ends, most, course):
    low, high, part = ends
    rest = part * min(low, high) if kind in ("joint_effort", "native") else 0.0
    limits = SafetyLimits((FieldLimits("any", kind, -low, high, *most, rest=rest),), PERIOD)
    motion = at_rest(np.array([rest]))
    for where in course:
        target = np.clip([where * (high if where > 0 else low)], -low, high)
        motion = shape(limits, motion, target, PERIOD, None)
        assert -low <= motion.command[0] <= high
    count = 0
    while count == 0 or not stands(limits, motion):
        count += 1
        assert count <= limits.stop_ticks
        motion = brake(limits, motion, PERIOD, None)
    assert kind in ("joint_position", "gripper") or motion.command[0] == rest


@settings(max_examples=40, deadline=None)
@given(st.floats(-1, 2), st.floats(-1, 2))
def test_a_target_out_of_reach_is_met_without_overshoot(start, goal):
    limits = joints(1)
    motion = at_rest(np.array([start]))
    for _ in range(400):
        motion = shape(limits, motion, np.array([goal]), PERIOD, None)
        low, high = min(start, goal), max(start, goal)
        assert low - 1e-9 <= motion.command[0] <= high + 1e-9
    assert motion.command[0] == goal
    assert motion.velocity[0] == 0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_trajectory_within_the_limits_is_not_changed_at_all(seed):
    """Bit for bit: what is within the limits is what the policy said."""
    rng = np.random.default_rng(seed)
    t = np.arange(200) * PERIOD
    wave = 0.9 * np.sin(2 * np.pi * rng.uniform(0.05, 0.1) * t + rng.uniform(0, 6))
    limits = joints(1)
    motion = at_rest(wave[:1])
    motion = shape(limits, motion, wave[:1], PERIOD, None)
    motion = type(motion)(motion.command, np.array([(wave[1] - wave[0]) / PERIOD]), wave[:1])
    for value in wave[1:]:
        motion = shape(limits, motion, np.array([value]), PERIOD, None)
        assert motion.command[0] == value


def test_all_or_nothing_commands_pass_where_nothing_limits_their_change():
    """A simulator's normalised commands, with the limits that say so: number for number."""
    free = {"max_velocity": math.inf, "max_acceleration": math.inf, "max_step": math.inf}
    fields = tuple(
        FieldLimits(name, kind, -1.0, 1.0, **free)
        for name, kind in (("dx", "cartesian_delta"), ("hand", "gripper"), ("knob", "native"))
    )
    loop = Loop(SafetyLimits(fields, 0.0125), blend_s=0.0, proof_s=0.0)
    rng = np.random.default_rng(0)
    request = Request.ACTIVATE
    for number in range(500):
        proposed = rng.choice([-1.0, 1.0, 1 / 3, rng.uniform(-1, 1)], 3)
        decision = loop.tick(proposed, dt=0.0125, position=None, request=request)
        assert decision.mode is Mode.RUNNING, (number, decision)
        assert decision.command.tolist() == proposed.tolist()
        assert not decision.limited.any()
        request = Request.NONE


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
