"""The control tick without ROS: what advances the policy, and what may leave as a command."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ros_graph import CONTRACT, robot_messages
from scripted_policy import POLICY, Script

from lram_core.errors import LramError
from lram_core.policy import Policy
from lram_ros.adapters.sink import CommandField
from lram_ros.assembly import InputSet, stamp_of
from lram_ros.control import CommandLimits, ControlLoop
from lram_ros.msg import EpisodeStatus
from lram_ros.robot_contract import RobotContract

ROBOT = RobotContract.load(CONTRACT)


def inputs(messages):
    return InputSet(stamp_of(messages["episode"]), tuple(messages.values()), (0.0,) * 7)


@pytest.fixture
def policy():
    return Script()


@pytest.fixture
def loop(policy):
    return ControlLoop(policy, ROBOT)


def test_each_stamp_advances_once(loop, policy):
    first, fresh = loop.tick(inputs(robot_messages(0)))
    assert fresh
    assert policy.resets == [("reach-v3", None)]
    policy.next = np.ones(4)
    again, fresh = loop.tick(inputs(robot_messages(0)))
    assert again is first
    assert not fresh
    assert len(policy.calls) == 1
    second, fresh = loop.tick(inputs(robot_messages(1)))
    assert fresh
    assert second.commanded.tolist() == [1, 1, 1, 1]
    assert policy.calls[1][1] == 0.25
    # Delayed fields hold the reading of the tick before.
    assert policy.calls[1][0][18:21] == pytest.approx(policy.calls[0][0][0:3])
    assert loop.take_notes() == []


def test_new_episode_resets(loop, policy):
    for tick in range(3):
        loop.tick(inputs(robot_messages(tick)))
    loop.target_return = 900.0
    loop.tick(inputs(robot_messages(0, episode=2, stamp=10**9)))
    assert policy.resets == [("reach-v3", None), ("reach-v3", 900.0)]
    observation = policy.calls[-1][0]
    assert observation[18:36].tolist() == observation[:18].tolist()  # no past


@pytest.mark.parametrize(
    "state", [EpisodeStatus.IDLE, EpisodeStatus.SUCCEEDED, EpisodeStatus.TRUNCATED, 4]
)
def test_no_command_unless_running(loop, policy, state):
    messages = robot_messages(0)
    messages["episode"].state = state
    assert loop.tick(inputs(messages)) == (None, False)
    assert policy.calls == []


@pytest.mark.parametrize("where", ["end_effector/pose", "reward"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_input_that_is_not_finite_leaves_the_state(loop, policy, where, value):
    loop.tick(inputs(robot_messages(0)))
    bad = robot_messages(1)
    if where == "reward":
        bad["reward"].value = value
    else:
        bad[where].pose.position.z = value
    with pytest.raises(LramError, match=where):
        loop.tick(inputs(bad))
    assert len(policy.calls) == 1
    _, fresh = loop.tick(inputs(robot_messages(1)))  # the same stamp, sound now
    assert fresh
    assert len(policy.calls) == 2
    assert loop.take_notes() == []


def test_bad_start_of_an_episode_is_still_a_start(loop, policy):
    bad = robot_messages(0)
    bad["goal"].point.x = math.nan
    with pytest.raises(LramError):
        loop.tick(inputs(bad))
    loop.tick(inputs(robot_messages(0)))
    assert len(policy.resets) == 1


def test_missed_ticks_and_late_joining_are_noted(loop):
    loop.tick(inputs(robot_messages(5)))
    assert "joined episode 1 at tick 5" in loop.take_notes()[0]
    loop.tick(inputs(robot_messages(8)))
    assert loop.take_notes() == ["ticks 6 to 7 were missed"]


def test_stamp_that_went_back_starts_anew(loop, policy):
    for tick in range(3):
        loop.tick(inputs(robot_messages(tick)))
    loop.tick(inputs(robot_messages(0)))
    assert "went back by 0.025 s" in loop.take_notes()[0]
    assert len(policy.resets) == 2


@pytest.mark.parametrize(("field", "value"), [("task", "push-v3"), ("seed", 8)])
def test_restarted_source_with_the_same_first_stamp_is_another_episode(loop, policy, field, value):
    loop.tick(inputs(robot_messages(0)))
    policy.next = np.ones(4)
    other = robot_messages(0)
    setattr(other["episode"], field, value)
    tick, fresh = loop.tick(inputs(other))
    assert fresh
    assert tick.commanded.tolist() == [1, 1, 1, 1]
    assert policy.resets == [("reach-v3", None), (other["episode"].task, None)]


def test_check_of_the_limits_belongs_to_publishing(loop, policy, monkeypatch):
    checked = []
    apply = loop.limits.apply

    def slow(values):
        checked.append(time.perf_counter())
        return apply(values)

    monkeypatch.setattr(loop.limits, "apply", slow)
    start = time.perf_counter()
    tick, _ = loop.tick(inputs(robot_messages(0)), start)
    assert start + tick.observe_s <= tick.acted <= checked[0]


def test_observing_counts_from_when_the_inputs_were_complete(loop):
    tick, _ = loop.tick(inputs(robot_messages(0)), time.perf_counter() - 7.0)
    assert tick.observe_s >= 7.0


def test_action_that_is_not_finite_is_never_commanded(loop, policy):
    policy.next = [0.0, math.nan, 0.0, 0.0]
    tick, fresh = loop.tick(inputs(robot_messages(0)))
    assert fresh
    assert tick.commanded is None


def test_clock_counts_its_own_ticks(policy):
    loop = ControlLoop(policy, replace(ROBOT, tick_source="clock"))
    messages = robot_messages(0)
    numbers = [
        loop.tick(InputSet(stamp, tuple(messages.values()), (0.0,) * 7))[0].number
        for stamp in (10, 20, 30)
    ]
    assert numbers == [0, 1, 2]
    assert len(policy.resets) == 1


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=4, max_size=4))
def test_limits_hold_whatever_comes(values):
    tight = {"ee_dx": (-0.5, 0.25), "gripper": (-2.0, 0.5)}
    fields = tuple(
        CommandField(f.name, f.unit, *tight.get(f.name, (f.low, f.high)))
        for f in ROBOT.command.fields
    )
    command = replace(ROBOT.command, fields=fields)
    limits = CommandLimits(replace(ROBOT, sinks=(command,)), POLICY)
    assert limits.low.tolist() == [-0.5, -1, -1, -1]
    assert limits.high.tolist() == [0.25, 1, 1, 0.5]
    limited = limits.apply(values)
    if not np.isfinite(values).all():
        assert limited is None
        return
    commanded, clipped = limited
    assert (commanded >= limits.low).all()
    assert (commanded <= limits.high).all()
    assert clipped.tolist() == [c != v for c, v in zip(commanded, values, strict=True)]
    inside = ~clipped
    assert (commanded[inside] == np.array(values)[inside]).all()


CONSTANT = replace(ROBOT, reward=0.25)


def without_reward(messages):
    del messages["reward"]
    return InputSet(stamp_of(messages["episode"]), tuple(messages.values()), (0.0,) * 6)


def test_a_constant_reward_is_taken_between_the_ticks(policy):
    loop = ControlLoop(policy, CONSTANT)
    tick, _ = loop.tick(without_reward(robot_messages(0)))
    assert (policy.early, tick.reward) == ([], 0.25)
    loop.settle()
    loop.settle()
    assert policy.early == [0.25]
    loop.tick(without_reward(robot_messages(0)))  # the same stamp again
    loop.settle()
    assert policy.early == [0.25]
    loop.tick(without_reward(robot_messages(1)))
    loop.tick(without_reward(robot_messages(2)))  # where nobody settled, the tick does
    assert policy.early == [0.25, 0.25]
    loop.tick(without_reward(robot_messages(0, episode=2, stamp=10**9)))
    assert policy.early == [0.25, 0.25]  # of the episode before: of no meaning
    assert [reward for _, reward in policy.calls] == [None] * 4


def test_an_early_reward_makes_no_difference_to_a_real_policy(tiny_bundle):
    measured = ControlLoop(Policy.load(tiny_bundle), ROBOT)
    constant = ControlLoop(Policy.load(tiny_bundle), CONSTANT)
    for tick in range(20):
        expected = measured.tick(inputs(robot_messages(tick)))[0]
        found = constant.tick(without_reward(robot_messages(tick)))[0]
        constant.settle()
        assert found.commanded.tolist() == expected.commanded.tolist()
        assert found.return_to_go == expected.return_to_go


def test_repeated_sets_do_not_change_a_real_policy(tiny_bundle):
    once, twice = (ControlLoop(Policy.load(tiny_bundle), ROBOT) for _ in range(2))
    for tick in range(5):
        expected = once.tick(inputs(robot_messages(tick)))[0]
        for _ in range(3):
            found = twice.tick(inputs(robot_messages(tick)))[0]
            assert found.commanded.tolist() == expected.commanded.tolist()
            assert found.return_to_go == expected.return_to_go


def test_robot_without_reward_and_episode(policy):
    loop = ControlLoop(policy, replace(ROBOT, reward=0.0, episode=None))
    messages = list(robot_messages(0).values())[:-2]
    for stamp in (10, 20, 20, 30):
        loop.tick(InputSet(stamp, tuple(messages), (0.0,) * 5))
        loop.settle()
    assert policy.resets == [(None, None)]
    assert [reward for _, reward in policy.calls] == [None, None, None]
    assert loop.take_notes() == []
