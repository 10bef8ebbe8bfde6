"""The supervisor's modes: start, blend, stop, latch, re-arm; a reason for every stop."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from safety_rig import FINE, INDEX, LIMITS, MIDDLE, PERIOD, Loop, joints

from lram_core.errors import ContractError
from lram_ros.safety import (
    ClockState,
    ClockVerdict,
    Fault,
    Mode,
    Reason,
    Request,
    Rules,
    SafetyLimits,
    Source,
    State,
    Workspace,
    World,
    supervise,
    wants_proposal,
    wind_down,
)

CAUSES = {
    Reason.EXTERNAL_STOP: {"external_stop": True},
    Reason.RUNNER_FAILED: {"runner_error": "ValueError: no such joint"},
    Reason.WATCHDOG: {"watchdog": "no tick for 1 s"},
    Reason.TICK_TIME: {"now": math.nan},
    Reason.CLOCK_BACK: {"clock": ClockVerdict(ClockState.BACK, 2.0)},
    Reason.CLOCK_FORWARD: {"clock": ClockVerdict(ClockState.FORWARD, 2.0)},
    Reason.CLOCK_FROZEN: {"clock": ClockVerdict(ClockState.FROZEN, 0.7)},
    Reason.SECOND_PUBLISHER: {"command_publishers": 2},
    Reason.INPUT_AMBIGUOUS: {"ambiguous": ("camera",)},
    Reason.PUBLISHER_LOST: {"lost": ("camera",)},
    Reason.INPUT_MISSING: {"sources": (FINE[0], Source("camera", math.inf, math.inf))},
    Reason.INPUT_STALE: {"sources": (FINE[0], Source("camera", 0.201, 0.2))},
    Reason.INPUT_INVALID: {"invalid": "camera: 3 pixels"},
    Reason.OUTSIDE_LIMITS: {"position": np.full(LIMITS.size, 0.5)},  # ee_x: outside of its box
}


def running(limits=LIMITS, proposed=MIDDLE, **rules):
    """A loop in mode running, well on its way."""
    loop = Loop(limits, **rules)
    loop.tick(request=Request.ACTIVATE)
    loop.until(Mode.RUNNING, proposed)
    for _ in range(3):
        loop.tick(proposed)
    return loop


def holding(cause):
    loop = running()
    loop.tick(MIDDLE, **cause)
    loop.until(Mode.HOLDING)
    return loop


# Starting


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


# Stopping


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


# Re-arming


@pytest.mark.parametrize("reason", CAUSES)
def test_rearm_is_refused_while_the_cause_lasts(reason):
    loop = holding(CAUSES[reason])
    decision = loop.tick(request=Request.REARM, **CAUSES[reason])
    assert decision.mode is Mode.HOLDING
    assert any(reason.value in text for text in decision.waiting_for)
    decision = loop.tick(request=Request.REARM)
    assert decision.mode is Mode.WAITING
    assert decision.fault is None


def test_rearm_is_not_remembered():
    loop = holding(CAUSES[Reason.INPUT_STALE])
    loop.tick(request=Request.REARM, **CAUSES[Reason.INPUT_STALE])
    for _ in range(20):
        assert loop.tick(MIDDLE).mode is Mode.HOLDING
    loop = running()
    loop.tick(MIDDLE, request=Request.REARM, external_stop=True)
    loop.tick(request=Request.REARM)  # still decelerating
    loop.until(Mode.HOLDING)


def test_rearmed_robot_proves_life_and_blends_from_what_is_held():
    loop = holding(CAUSES[Reason.EXTERNAL_STOP])
    held = loop.state.motion.command
    loop.robot.position[INDEX["shoulder"]] += 0.03  # hangs a little: the held place is the place
    decision = loop.tick(request=Request.REARM)
    assert decision.command.tolist() == held.tolist()
    decision = loop.until(Mode.BLENDING, MIDDLE)
    assert decision.command[INDEX["shoulder"]] == held[INDEX["shoulder"]]
    loop.until(Mode.RUNNING, MIDDLE)


def test_rearmed_robot_that_was_moved_starts_from_where_it_is():
    loop = holding(CAUSES[Reason.EXTERNAL_STOP])
    loop.robot.position[INDEX["shoulder"]] += 0.6
    loop.tick(request=Request.REARM, obey=False)
    while (decision := loop.tick(MIDDLE, obey=False)).mode is Mode.WAITING:
        pass
    assert decision.command[INDEX["shoulder"]] == loop.robot.position[INDEX["shoulder"]]


def test_rearmed_robot_does_not_start_by_itself_later():
    loop = holding(CAUSES[Reason.EXTERNAL_STOP])
    loop.tick(request=Request.REARM)
    decision = loop.tick(MIDDLE, **CAUSES[Reason.INPUT_STALE])  # before life was proven
    assert (decision.mode, decision.reason) == (Mode.HOLDING, Reason.INPUT_STALE)
    for _ in range(50):
        assert loop.tick(MIDDLE).mode is Mode.HOLDING


def test_rearm_is_refused_where_no_start_is_possible():
    loop = holding(CAUSES[Reason.EXTERNAL_STOP])
    loop.robot.position[INDEX["shoulder"]] = 2.5
    decision = loop.tick(request=Request.REARM, obey=False)
    assert (decision.mode, decision.reason) == (Mode.HOLDING, Reason.EXTERNAL_STOP)
    assert "shoulder is at 2.5" in decision.waiting_for[0]


def test_time_without_ticks_proves_nothing():
    loop = Loop(proof_s=0.1)
    loop.tick(request=Request.ACTIVATE)
    assert loop.tick(MIDDLE, dt=60.0).mode is Mode.WAITING
    assert loop.until(Mode.BLENDING, MIDDLE, ticks=6).weight == 0.0


@pytest.mark.parametrize(
    "reason", [Reason.EXTERNAL_STOP, Reason.WATCHDOG, Reason.RUNNER_FAILED], ids=str
)
def test_these_latch_while_waiting_too(reason):
    loop = Loop()
    loop.tick(request=Request.ACTIVATE)
    decision = loop.tick(**CAUSES[reason])
    assert (decision.mode, decision.reason) == (Mode.HOLDING, reason)
    assert decision.command is None  # nothing was sent, nothing is held


# Pausing and leaving


def test_pause_comes_to_rest_without_a_latch_and_starts_anew():
    loop = running()
    decision = loop.tick(None)
    assert decision.mode is Mode.STOPPING
    assert decision.fault is None
    decision = loop.until(Mode.WAITING)
    assert decision.command is not None
    assert loop.tick(None).command is None  # somebody else may move the robot between episodes
    loop.robot.position[INDEX["shoulder"]] = -0.4
    assert loop.until(Mode.BLENDING, MIDDLE).command[INDEX["shoulder"]] == -0.4


def test_fault_during_a_pause_latches():
    loop = running()
    loop.tick(None)
    assert loop.tick(None, **CAUSES[Reason.INPUT_STALE]).reason is Reason.INPUT_STALE
    loop.until(Mode.HOLDING)


def test_deactivate_decelerates_and_ends_idle():
    loop = running()
    decision = loop.tick(MIDDLE, request=Request.DEACTIVATE)
    assert (decision.mode, decision.reason) == (Mode.STOPPING, Reason.DEACTIVATED)
    decision = loop.until(Mode.IDLE)
    assert decision.reason is Reason.DEACTIVATED
    assert decision.command[INDEX["wheel"]] == 0.0  # the safe command, last
    assert loop.tick(MIDDLE).command is None
    assert loop.tick(request=Request.ACTIVATE).fault is None


def test_deactivate_keeps_the_first_reason():
    loop = holding(CAUSES[Reason.INPUT_STALE])
    decision = loop.tick(request=Request.DEACTIVATE)
    assert (decision.mode, decision.reason) == (Mode.IDLE, Reason.INPUT_STALE)
    assert decision.command is not None


@pytest.mark.parametrize("stage", ["running", "stopping", "holding", "waiting", "idle", "silent"])
def test_wind_down_ends_with_the_safe_command(stage):
    loop = Loop() if stage in ("waiting", "idle") else running()
    if stage == "waiting":
        loop.tick(request=Request.ACTIVATE)
    if stage in ("stopping", "holding", "silent"):
        cause = Reason.SECOND_PUBLISHER if stage == "silent" else Reason.INPUT_STALE
        loop.tick(MIDDLE, **CAUSES[cause])
    if stage in ("holding", "silent"):
        loop.until(Mode.HOLDING, **CAUSES[cause])
        loop.tick(**CAUSES[cause])
    steps = list(wind_down(loop.rules, loop.state, Fault(Reason.SHUTDOWN)))
    assert 1 <= len(steps) <= LIMITS.stop_ticks
    assert [state.mode for state, _ in steps[:-1]] == [Mode.STOPPING] * (len(steps) - 1)
    state, last = steps[-1]
    assert state.mode is Mode.IDLE
    expected = {"stopping": Reason.INPUT_STALE, "holding": Reason.INPUT_STALE}
    expected["silent"] = Reason.SECOND_PUBLISHER
    assert last.reason is expected.get(stage, Reason.SHUTDOWN)
    if stage in ("waiting", "idle", "silent"):
        assert last.command is None
    else:
        assert last.command[INDEX["wheel"]] == 0.0
        assert last.command[INDEX["torque"]] == 1.5


def test_wind_down_of_a_watchdog_can_be_rearmed():
    loop = running()
    for stage in ("running", "waiting"):
        fault = Fault(Reason.WATCHDOG, "no tick for 1 s")
        *_, (loop.state, last) = wind_down(loop.rules, loop.state, fault, leave=False)
        assert (last.mode, last.reason) == (Mode.HOLDING, Reason.WATCHDOG)
        assert loop.tick(MIDDLE, dt=3.0).mode is Mode.HOLDING
        loop.tick(request=Request.REARM)
        loop.until(Mode.RUNNING, MIDDLE)
        loop.tick(None)
        loop.until(Mode.WAITING)
        loop.tick(None)
        assert (stage, loop.state.motion) == (stage, None)


# Walls


def test_cartesian_command_brakes_before_the_wall_of_the_box():
    loop = running()
    ask = MIDDLE.copy()
    ask[INDEX["ee_x"]] = 1.0
    for _ in range(400):
        decision = loop.tick(ask)
        assert decision.mode is Mode.RUNNING
        assert loop.robot.position[INDEX["ee_x"]] <= 0.2 + 1e-9
    assert loop.robot.position[INDEX["ee_x"]] == pytest.approx(0.2)
    assert decision.limited[INDEX["ee_x"]]


def test_pushed_beyond_a_wall_it_goes_back_only():
    loop = running()
    loop.robot.position[INDEX["ee_x"]] = 0.204  # within the margin
    ask = MIDDLE.copy()
    ask[INDEX["ee_x"]] = 1.0
    assert loop.tick(ask).command[INDEX["ee_x"]] == 0.0
    ask[INDEX["ee_x"]] = -1.0
    assert loop.tick(ask).command[INDEX["ee_x"]] < 0.0


def test_tool_outside_of_the_workspace_stops():
    box = Workspace((0.2, -0.3, 0.05), (0.7, 0.3, 0.6))
    loop = Loop(SafetyLimits(joints(1).fields, PERIOD, box), blend_s=0.0)
    loop.tick(request=Request.ACTIVATE, tool=(0.4, 0.0, 0.3))
    assert "tool missing" in loop.tick([0.1]).waiting_for[0]
    loop.until(Mode.RUNNING, [0.1], tool=(0.4, 0.0, 0.3))
    decision = loop.tick([0.1], tool=(0.4, 0.0, 0.02))
    assert decision.reason is Reason.OUTSIDE_LIMITS
    assert decision.fault.detail == "tool z is at 0.02 m (workspace 0.05 … 0.6)"


# Limits that were not given are refused or derived, never absent; and misuse is an error.


def test_position_of_another_size_is_an_error():
    with pytest.raises(ContractError, match=r"position has shape \(3,\), expected \(8,\)"):
        supervise(Rules(LIMITS), State(), World(0.0, position=np.zeros(3)))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"blend_s": -1.0}, "blend_s and proof_s"),
        ({"proof_s": math.nan}, "blend_s and proof_s"),
        ({"late_s": 0.01}, "longer than a period"),
    ],
)
def test_rules_that_make_no_sense(rules, words):
    with pytest.raises(ContractError, match=words):
        Rules(LIMITS, **rules)


def test_limited_marks_what_was_changed():
    loop = running(joints(2), proposed=[0.0, 0.0])
    decision = loop.tick([0.0, 5.0])
    assert decision.limited.tolist() == [False, True]
    decision = loop.tick([0.0005, loop.state.motion.command[1]])
    assert not decision.limited[0]


def test_wants_proposal_changes_nothing_and_agrees_with_what_follows():
    loop = running()
    world = replace(loop.world(), now=loop.now + PERIOD)
    assert wants_proposal(loop.rules, loop.state, world)
    assert not wants_proposal(loop.rules, loop.state, replace(world, external_stop=True))
    assert not wants_proposal(loop.rules, loop.state, replace(world, now=loop.now + 1.0))
    assert not wants_proposal(loop.rules, loop.state, replace(world, request=Request.DEACTIVATE))
    assert loop.state.mode is Mode.RUNNING
