"""How a stopped robot is re-armed: not while the cause lasts, and never by itself."""

from __future__ import annotations

import pytest
from safety_rig import CAUSES, INDEX, MIDDLE, Loop, holding, running

from lram_ros.safety import Mode, Reason, Request


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
