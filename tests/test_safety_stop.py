"""How the supervisor stops a robot: every cause latches and names its reason."""

from __future__ import annotations

import math

import numpy as np
import pytest
from safety_rig import CAUSES, INDEX, LIMITS, MIDDLE, PERIOD, Loop, joints, running

from lram_ros.safety import Mode, Reason, Request


@pytest.mark.parametrize("reason", CAUSES)
def test_every_cause_stops_latches_and_names_its_reason(reason):
    loop = running()
    asked = loop.asked
    decision = loop.tick(lambda: MIDDLE, **CAUSES[reason])
    assert not decision.moving
    assert decision.reason is reason
    assert loop.asked == asked  # the recurrent state was held
    decision = loop.until(Mode.HOLDING)
    assert decision.reason is reason
    for _ in range(20):  # the cause is gone: that alone re-arms nothing
        decision = loop.tick(lambda: MIDDLE)
        assert decision.mode is Mode.HOLDING
        assert decision.reason is reason
        assert decision.waiting_for == ()


@pytest.mark.parametrize(
    ("proposed", "reason", "words"),
    [
        ([math.nan] * 8, Reason.COMMAND_NOT_FINITE, "shoulder, finger"),
        ([0.0] * 7 + [math.inf], Reason.COMMAND_NOT_FINITE, "knob not finite"),
        ([0.0] * 7, Reason.COMMAND_SIZE, "shape (7,), expected (8,)"),
        ([[0.0] * 8], Reason.COMMAND_SIZE, "shape (1, 8)"),
        ([0.0, [1.0]], Reason.COMMAND_SIZE, "not 8 numbers"),
        (["a"] * 8, Reason.COMMAND_SIZE, "not 8 numbers"),
    ],
)
def test_unusable_proposal_stops(proposed, reason, words):
    for loop in (running(), Loop(proof_s=0.0)):
        decision = loop.tick(proposed, request=Request.ACTIVATE)
        assert decision.reason is reason
        assert words in str(decision.fault)


def test_late_tick_stops():
    loop = running()
    assert loop.tick(MIDDLE, dt=2.9 * PERIOD).mode is Mode.RUNNING
    decision = loop.tick(MIDDLE, dt=3.1 * PERIOD)
    assert decision.reason is Reason.LATE_TICK
    assert "0.062 s after the last one (at most 0.06 s)" in decision.fault.detail
    assert running(late_s=1.0).tick(MIDDLE, dt=0.9).mode is Mode.RUNNING


@pytest.mark.parametrize("dt", [0.0, -0.5, -1e6])
def test_tick_time_that_does_not_go_on_stops(dt):
    loop = running()
    decision = loop.tick(MIDDLE, dt=dt)
    assert decision.reason is Reason.TICK_TIME
    for _ in range(LIMITS.stop_ticks):  # it comes to rest on such a clock too
        decision = loop.tick(MIDDLE, dt=dt)
    assert decision.mode is Mode.HOLDING


def test_robot_that_does_not_follow_stops():
    loop = running(joints(2), proposed=[0.1, 0.1])
    blocked = np.array([loop.robot.position[0] - 0.51, loop.robot.position[1]])
    decision = loop.tick([0.1, 0.1], position=blocked)
    assert decision.reason is Reason.NOT_FOLLOWING
    assert decision.fault.detail.startswith("shoulder is 0.51 from its command (at most 0.5)")


def test_of_two_causes_the_first_of_the_list_is_named():
    loop = running()
    both = {**CAUSES[Reason.INPUT_STALE], **CAUSES[Reason.EXTERNAL_STOP]}
    assert loop.tick(MIDDLE, **both).reason is Reason.EXTERNAL_STOP
    loop = running()
    loop.tick(MIDDLE, **CAUSES[Reason.INPUT_STALE])
    decision = loop.until(Mode.HOLDING, **CAUSES[Reason.EXTERNAL_STOP])
    assert decision.reason is Reason.INPUT_STALE


def test_what_no_motion_means_for_each_kind():
    loop = running()
    before = loop.state.motion
    loop.tick(MIDDLE, external_stop=True)
    decision = loop.until(Mode.HOLDING)
    command = decision.command
    for name in ("wheel", "elbow", "ee_x", "yaw", "knob"):
        assert command[INDEX[name]] == 0.0
    assert command[INDEX["torque"]] == 1.5
    for name in ("shoulder", "finger"):
        way = before.velocity[INDEX[name]] ** 2 / (2 * LIMITS.acceleration[INDEX[name]])
        assert abs(command[INDEX[name]] - before.command[INDEX[name]]) <= way + 1e-12


def test_deceleration_takes_the_time_that_the_limit_says():
    loop = running(joints(1), proposed=[1.9])
    assert loop.state.motion.velocity[0] == pytest.approx(0.64, abs=0.4)
    for _ in range(20):
        loop.tick([1.9])
    assert loop.state.motion.velocity[0] == pytest.approx(1.0)
    loop.tick([1.9], external_stop=True)
    ticks = 1
    while loop.state.mode is Mode.STOPPING:
        loop.tick()
        ticks += 1
    assert ticks == pytest.approx(1.0 / (4.0 * PERIOD), abs=1.01)  # v / (a·dt)


def test_a_second_publisher_is_not_answered_once_the_robot_stands():
    loop = running()
    twice = CAUSES[Reason.SECOND_PUBLISHER]
    assert loop.tick(MIDDLE, **twice).command is not None  # decelerates
    loop.until(Mode.HOLDING, **twice)
    assert loop.tick(**twice).command is None
    assert loop.tick().command is None  # nor when it has gone: who knows where the robot is
    loop.robot.position[INDEX["shoulder"]] = 1.2
    loop.tick(request=Request.REARM)
    assert loop.until(Mode.BLENDING, MIDDLE).command[INDEX["shoulder"]] == 1.2
