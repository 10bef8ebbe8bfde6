"""How the supervisor starts a robot: proof of life, blending in, what keeps it still."""

from __future__ import annotations

import math

import numpy as np
import pytest
from safety_rig import CAUSES, INDEX, LIMITS, MIDDLE, PERIOD, Loop, joints

from lram_ros.safety import Mode, Reason, Request


def test_nothing_is_sent_before_activation():
    loop = Loop()
    for _ in range(3):
        decision = loop.tick(lambda: MIDDLE)
        assert decision.mode is Mode.IDLE
        assert decision.command is None
    assert loop.asked == 0


@pytest.mark.parametrize("reason", CAUSES)
def test_activation_waits_until_everything_is_fine(reason):
    loop = Loop()
    loop.tick(request=Request.ACTIVATE)
    for _ in range(10):
        decision = loop.tick(lambda: MIDDLE, **CAUSES[reason])
        assert decision.command is None
        assert any(reason.value in text for text in decision.waiting_for)
    assert loop.asked == 0


def test_proof_of_life_is_continuous():
    loop = Loop(proof_s=0.1)
    loop.tick(request=Request.ACTIVATE)
    for _ in range(4):
        decision = loop.tick(lambda: MIDDLE)
        assert decision.waiting_for[0].startswith("proof of life")
    loop.tick(lambda: MIDDLE, **CAUSES[Reason.INPUT_STALE])
    for _ in range(5):
        assert loop.tick(lambda: MIDDLE).mode is Mode.WAITING
    assert loop.tick(lambda: MIDDLE).mode is Mode.BLENDING
    assert loop.asked == 1


def test_first_command_is_the_measured_pose():
    loop = Loop()
    loop.robot.position = np.where(LIMITS.position, 0.7, 0.01)
    loop.tick(request=Request.ACTIVATE)
    decision = loop.until(Mode.BLENDING, MIDDLE)
    command = decision.command
    assert command[[INDEX["shoulder"], INDEX["finger"]]].tolist() == [0.7, 0.7]
    assert not command[[INDEX["wheel"], INDEX["elbow"], INDEX["ee_x"], INDEX["yaw"]]].any()
    assert command[INDEX["torque"]] == 1.5  # rest
    assert decision.weight == 0.0


def test_blend_takes_the_time_that_was_set():
    free = joints(1, max_velocity=1e6, max_acceleration=math.inf, max_step=1e6)
    loop = Loop(free, blend_s=10 * PERIOD)
    loop.tick(request=Request.ACTIVATE)
    decision = loop.until(Mode.BLENDING, [1.0])
    found = [decision.command[0]]
    while decision.mode is Mode.BLENDING:
        decision = loop.tick([1.0], dt=PERIOD, obey=True, position=np.zeros(1) + found[-1])
        found.append(decision.command[0])
    assert decision.weight == 1.0
    assert found[5] == pytest.approx(0.5)
    assert found == sorted(found)
    assert 10 <= len(found) - 1 <= 11  # a sum of periods may fall short of ten by rounding
    assert found[-1] == 1.0


def test_blend_scales_deltas_and_velocities():
    loop = Loop(blend_s=1.0)
    loop.tick(request=Request.ACTIVATE)
    decision = loop.until(Mode.BLENDING, MIDDLE)
    since = loop.now
    while decision.mode is Mode.BLENDING:
        part = min(loop.now - since, 1.0)
        weight = part * part * (3 - 2 * part)
        for name in ("wheel", "elbow"):
            expected = weight * MIDDLE[INDEX[name]]
            assert decision.command[INDEX[name]] == pytest.approx(expected, abs=1e-12)
        decision = loop.tick(MIDDLE)


def test_robot_outside_its_limits_is_not_started():
    loop = Loop()
    loop.robot.position[INDEX["shoulder"]] = 2.5
    loop.tick(request=Request.ACTIVATE)
    for _ in range(10):
        decision = loop.tick(MIDDLE)
    assert decision.mode is Mode.WAITING
    assert "shoulder is at 2.5 (limits -1 … 2)" in decision.waiting_for[0]
    loop.robot.position[INDEX["shoulder"]] = 2.01  # less than a step: the encoder's noise
    decision = loop.until(Mode.BLENDING, MIDDLE)
    assert decision.command[INDEX["shoulder"]] == 2.0


def test_gripper_that_is_not_measured_starts_where_it_is_sent():
    loop = Loop()
    loop.robot.position[INDEX["finger"]] = math.nan
    loop.tick(request=Request.ACTIVATE)
    assert loop.until(Mode.BLENDING, MIDDLE).command[INDEX["finger"]] == 0.5
