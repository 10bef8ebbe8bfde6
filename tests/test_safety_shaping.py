"""What holds of every command that the limits shape, from wherever it starts."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from safety_rig import PERIOD, Loop, joints

from lram_ros.safety import (
    FieldLimits,
    Mode,
    Request,
    SafetyLimits,
)
from lram_ros.safety.limits import KINDS
from lram_ros.safety.shaping import at_rest, brake, shape, stands

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
