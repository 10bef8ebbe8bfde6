"""Random sequences of faults, tick by tick: no crash, no unsafe command, and always a way back."""

from __future__ import annotations

import numpy as np
import pytest
from virtual_robot import PERIOD, VirtualRobot, WireWitness

from lram_ros.safety import Mode, Reason

TICKS = 10_000
KINDS = (
    *("stale:{}", "frozen:{}", "drop:{}=2", "drop:{}=1", "delay:{}=80ms", "delay:{}=300ms"),
    *("nan:{}", "extreme:{}=1e6", "extreme:{}=-1e300", "extreme:{}=1e30"),
    *("reorder:joint_states", "wrong_size:joint_states", "duplicate_names:joint_states"),
    *("freeze_clock", "jump_clock=2.5s", "jump_clock=-2.5s", "jump_clock=-1s", "jump_clock=0.05s"),
)
GLITCHES = (np.nan, np.inf, -np.inf, 1e308, -1e308)
EXPECTED = {
    *(Reason.EXTERNAL_STOP, Reason.WATCHDOG, Reason.LATE_TICK, Reason.SECOND_PUBLISHER),
    *(Reason.INPUT_AMBIGUOUS, Reason.PUBLISHER_LOST, Reason.INPUT_STALE, Reason.INPUT_INVALID),
    *(Reason.NOT_FOLLOWING, Reason.COMMAND_NOT_FINITE),
}
OF_SIMULATED_TIME = {Reason.CLOCK_BACK, Reason.CLOCK_FORWARD, Reason.CLOCK_FROZEN}


def begin(robot, rng):
    """Let something happen; returns the ticks that it lasts."""
    runner, kind = robot.runner, rng.random()
    if kind < 0.6:
        texts = rng.choice(KINDS, rng.integers(1, 3))
        topics = rng.choice(["joint_states", "goal"], len(texts))
        robot.set_faults(*(f"{t.format(o)}@0s" for t, o in zip(texts, topics, strict=True)))
    elif kind < 0.66:
        robot.gone = True
        runner.lost = ("joint_states", "goal") if rng.random() < 0.5 else ()
    elif kind < 0.72:
        runner.command_publishers = 2
    elif kind < 0.76:
        runner.ambiguous = ("goal",)
    elif kind < 0.80:
        runner.lost = ("joint_states",)
    elif kind < 0.86:
        robot.policy.glitch = rng.choice(GLITCHES)
    elif kind < 0.92:
        runner.external_stop(True)
        if rng.random() < 0.5:  # a pulse
            runner.external_stop(False)
    elif kind < 0.96:
        runner.reset_episode()
    else:
        robot.tick(rng.choice([2.5, 3.5, 9.0, 50.0]))  # late, or a hang
    return int(rng.integers(1, 60))


def end(robot):
    """Put everything right again, but for re-arming."""
    robot.runner.external_stop(False)
    robot.runner.command_publishers, robot.runner.lost, robot.runner.ambiguous = 1, (), ()
    robot.policy.glitch = None
    if robot.gone:
        robot.boot()
    robot.set_faults()


@pytest.mark.parametrize("clock", ["wall", "sim"])
def test_random_faults_in_lockstep(clock, monkeypatch, tmp_path):
    rng = np.random.default_rng(11 if clock == "sim" else 7)
    robot = VirtualRobot(monkeypatch, tmp_path, clock == "sim")
    witness, seen, reasons, starts = WireWitness(robot.limits), 0, set(), 0
    assert robot.until(Mode.RUNNING)
    left, last, total = 0, Mode.RUNNING, 0
    while total < TICKS:
        if left == 0 and rng.random() < 0.05:
            left = begin(robot, rng)
        elif left == 1:
            end(robot)
            for _ in range(20):  # what is right again has to arrive, what moves to come to rest
                robot.tick()
            if robot.mode is Mode.HOLDING:
                accepted, why = robot.runner.rearm()
                assert accepted, why
            assert robot.until(Mode.RUNNING), (robot.mode, robot.runner.fault)
        left = max(left - 1, 0)
        if robot.mode is Mode.HOLDING and rng.random() < 0.1:
            robot.runner.rearm()  # may be refused
        robot.tick(rng.choice([1.0, 1.0, 1.0, 1.2, 2.0]))
        for entry in robot.sent[seen:]:
            witness.see(*entry)
            reasons.add(entry[2].reason if entry[2] else None)
        total += len(robot.sent) - seen
        seen = len(robot.sent)
        starts += last is not Mode.RUNNING and robot.mode is Mode.RUNNING
        last = robot.mode
        assert not robot.failures
    assert witness.count > TICKS / 2
    assert starts > 50
    wanted = EXPECTED | (OF_SIMULATED_TIME if clock == "sim" else set())
    assert wanted - reasons == set()


WATCHDOG = 0.1
STOPPED_BY = {
    **{"stale:joint_states": "input_stale", "frozen:goal": "input_stale"},
    **{"delay:goal=300ms": "input_stale", "nan:goal": "input_invalid"},
    **{"extreme:joint_states=1e6": "not_following", "extreme:goal=1e300": "input_invalid"},
    **{"wrong_size:joint_states": "input_invalid", "duplicate_names:joint_states": "input_invalid"},
}
CLOCKS = {
    "wall": dict.fromkeys(("freeze_clock", "jump_clock=2s", "jump_clock=-2s"), "input_stale"),
    "sim": {
        **{"freeze_clock": "clock_frozen", "jump_clock=2s": "clock_forward"},
        "jump_clock=-2s": "clock_back",
    },
}


@pytest.mark.parametrize("offset", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("clock", CLOCKS)
def test_the_safe_command_comes_in_time(clock, offset, monkeypatch, tmp_path):
    """Two periods and the watchdog's deadline, by a clock that nothing delays.

    Readings come ``offset`` of a period before the tick.
    """
    robot = VirtualRobot(monkeypatch, tmp_path, clock == "sim", offset)
    for text, reason in {**STOPPED_BY, **CLOCKS[clock]}.items():
        assert robot.until(Mode.RUNNING), text
        robot.set_faults(f"{text}@0s")
        begin = robot.now + (1 - offset) * PERIOD  # of the first reading that is not sound
        while robot.mode is Mode.RUNNING:
            robot.tick()
        assert robot.now - begin <= 2 * PERIOD + WATCHDOG + 1e-9, text
        assert robot.runner.fault.reason.value == reason, text
        end(robot)
        for _ in range(20):
            robot.tick()
        assert robot.runner.rearm()[0], text


def test_a_hang_of_a_robot_that_is_stopped_is_no_other_stop(monkeypatch, tmp_path):
    robot = VirtualRobot(monkeypatch, tmp_path, simulated=False)
    assert robot.until(Mode.RUNNING)
    robot.runner.external_stop(True)
    assert robot.until(Mode.HOLDING)
    robot.tick(50.0)
    assert [fault.reason for fault in robot.faults] == [Reason.EXTERNAL_STOP]
    assert robot.runner.fault.reason is Reason.EXTERNAL_STOP
    robot.runner.external_stop(False)
    robot.tick()
    assert robot.runner.rearm()[0]
    assert robot.until(Mode.RUNNING)
    robot.tick(50.0)
    assert robot.faults[-1].reason is Reason.WATCHDOG
