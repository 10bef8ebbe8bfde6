"""The supervisor beside start and stop: pausing, leaving, walls, misuse."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from safety_rig import CAUSES, INDEX, LIMITS, MIDDLE, PERIOD, Loop, holding, joints, running

from lram_core.errors import ContractError
from lram_ros.safety import (
    Fault,
    Mode,
    Reason,
    Request,
    Rules,
    SafetyLimits,
    State,
    Workspace,
    World,
    supervise,
    wants_proposal,
    wind_down,
)

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
