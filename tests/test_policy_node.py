"""The policy node against a robot made of publishers: when it ticks, when it keeps still."""

from __future__ import annotations

import math
import threading
import time
from typing import ClassVar

import pytest
import yaml
from rclpy.parameter import Parameter
from ros_graph import CONTRACT, Peer, Robot, parameters, robot_messages
from scripted_policy import Script

from lram_core.errors import CommandError
from lram_core.policy import Policy
from lram_ros.msg import ActionCommand, EpisodeStatus, PolicyTick
from lram_ros.policy_node import PolicyNode
from lram_ros.process import spin

MAX_AGE = 2.0
"""Of the inputs, in seconds: more than a busy machine delays half a set by."""
QUIET = 0.4
"""Seconds in which a command would have come."""


@pytest.fixture
def peer(ros_domain):
    with Peer("robot") as peer:
        yield peer


class Setup:
    """A policy node and a robot in one process, with what the node sends."""

    def __init__(self, peer, bundle, contract, load=Policy.load, options=None, **topics):
        self.peer = peer
        self.robot = Robot(peer.node, **topics)
        self.commands = peer.listen(ActionCommand, "command")
        self.traces = peer.listen(PolicyTick, "policy/tick")
        self.node = PolicyNode(
            load,
            context=peer.context,
            parameter_overrides=parameters(
                bundle=str(bundle), contract=str(contract), **(options or {})
            ),
        )
        peer.add(self.node)
        assert self.node.bring_up()
        self.robot.wait_for_subscribers(peer)
        peer.until(lambda: self.node.count_subscribers("command") == 1)

    def send(self, messages):
        """Publish and return the command that answers."""
        before = len(self.commands)
        self.robot.publish(messages)
        self.peer.until(lambda: len(self.commands) > before)
        return self.commands[-1]

    def refuses(self, messages):
        """Publish; whether no command comes."""
        before = len(self.commands)
        self.robot.publish(messages)
        self.peer.spin(QUIET)
        return len(self.commands) == before


def contract_file(tmp_path, **changes):
    """The Meta-World contract with another maximum age, and other changes."""
    data = {**yaml.safe_load(CONTRACT.read_text()), **changes}
    for topic in (*data["inputs"], data["reward"], data["episode"]):
        if "topic" in topic:
            topic["max_age"] = MAX_AGE
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def setup(peer, tiny_bundle, tmp_path):
    made = Setup(peer, tiny_bundle, contract_file(tmp_path))
    yield made
    made.node.stop()


def test_command_and_trace_of_a_tick(setup):
    messages = robot_messages(3)
    command = setup.send(messages)
    assert command.header.stamp == messages["goal"].header.stamp
    assert (command.episode, command.tick) == (1, 3)
    assert command.name == ["ee_dx", "ee_dy", "ee_dz", "gripper"]
    assert all(-1 <= value <= 1 for value in command.value)
    setup.peer.until(lambda: setup.traces)
    trace = setup.traces[0]
    assert trace.header == command.header
    assert trace.action_name == command.name
    assert trace.commanded_action == command.value
    assert trace.raw_action == command.value
    assert list(trace.clipped) == [False] * 4
    assert trace.input_name == list(Robot.kinds)
    assert all(0 <= age < MAX_AGE for age in trace.input_age)
    assert trace.reward == 0.25
    assert trace.return_to_go == 1500.0
    assert len(trace.observation) == 39
    stages = [trace.observe_s, trace.tokenise_s, trace.step_s, trace.decode_s, trace.publish_s]
    assert all(stage > 0 for stage in stages)
    assert sum(stages) <= trace.total_s
    assert trace.deadline_missed == (trace.total_s > 0.0125)


def test_repeated_stamp_gets_the_same_command_and_no_new_tick(setup):
    first = setup.send(robot_messages(0))
    again = setup.send(robot_messages(0))
    assert again.header == first.header
    assert again.value == first.value
    setup.send(robot_messages(1))
    setup.peer.until(lambda: len(setup.traces) == 2)
    assert [trace.tick for trace in setup.traces] == [0, 1]


@pytest.mark.parametrize("topic", sorted(Robot.kinds))
def test_no_command_while_an_input_is_missing(setup, topic):
    messages = robot_messages(0)
    held = {topic: messages.pop(topic)}
    assert setup.refuses(messages)
    setup.send(held)


def test_no_command_on_old_inputs(setup):
    messages = robot_messages(0)
    late = {"goal": messages.pop("goal")}
    assert setup.refuses(messages)
    time.sleep(MAX_AGE)
    assert setup.refuses(late)
    setup.send(robot_messages(0))


def test_not_finite_input_gives_no_command(setup):
    setup.send(robot_messages(0))
    for value in (math.nan, math.inf):
        bad = robot_messages(1)
        bad["object_1/pose"].pose.position.x = value
        assert setup.refuses(bad)
    setup.send(robot_messages(1))
    setup.peer.until(lambda: len(setup.traces) == 2)
    assert [trace.tick for trace in setup.traces] == [0, 1]


def test_malformed_input_gives_no_command(setup):
    bad = robot_messages(0)
    bad["gripper/state"].name = ["gripper", "gripper"]
    bad["gripper/state"].position = [0.1, 0.2]
    assert setup.refuses(bad)
    setup.send(robot_messages(0))


def test_ended_episode_gets_no_command(setup):
    setup.send(robot_messages(0))
    last = robot_messages(1)
    last["episode"].state = EpisodeStatus.SUCCEEDED
    assert setup.refuses(last)
    setup.send(robot_messages(0, episode=2, stamp=10**9))


def test_target_return_holds_from_the_next_episode(setup):
    def set_to(value):
        return setup.node.set_parameters([Parameter("target_return", value=value)])[0]

    setup.send(robot_messages(0))
    assert set_to(700.0).successful
    setup.send(robot_messages(1))
    setup.send(robot_messages(0, episode=2, stamp=10**9))
    assert not set_to(math.inf).successful
    assert set_to(math.nan).successful
    setup.send(robot_messages(0, episode=3, stamp=2 * 10**9))
    setup.peer.until(lambda: len(setup.traces) == 4)
    assert [trace.return_to_go for trace in setup.traces] == [1500.0, 1499.75, 700.0, 1500.0]
    read_only = setup.node.set_parameters([Parameter("device", value="cuda")])[0]
    assert not read_only.successful


def test_a_constant_reward_is_taken_when_the_command_is_out(peer, tmp_path):
    policy = Script()
    contract = contract_file(tmp_path, reward={"constant": 0.25})
    made = Setup(peer, tmp_path, contract, load=lambda path, **options: policy, reward=None)
    for tick in range(2):
        messages = robot_messages(tick)
        del messages["reward"]
        made.send(messages)
        peer.until(lambda n=tick + 1: policy.early == [0.25] * n)
    assert [reward for _, reward in policy.calls] == [None, None]
    made.node.stop()


def test_action_is_clipped_or_refused(peer, tmp_path):
    policy = Script()
    made = Setup(peer, tmp_path, contract_file(tmp_path), load=lambda path, **options: policy)
    policy.next = [2.0, -3.0, 0.5, 0.0]
    assert list(made.send(robot_messages(0)).value) == [1.0, -1.0, 0.5, 0.0]
    policy.next = [0.0, math.nan, 0.0, 0.0]
    assert made.refuses(robot_messages(1))
    assert made.refuses(robot_messages(1))
    peer.until(lambda: len(made.traces) == 2)
    assert list(made.traces[0].raw_action) == [2.0, -3.0, 0.5, 0.0]
    assert list(made.traces[0].clipped) == [True, True, False, False]
    assert len(made.traces[1].commanded_action) == 0
    made.node.stop()


class TestClock:
    """Ticks from a clock, on a thread of their own."""

    # A busy machine delays ticks; here that is not to stop anything.
    options: ClassVar = {"proof_time": 0.1, "blend_time": 0.1, "late_after": 5.0, "watchdog": 9.0}

    @pytest.fixture
    def contract(self, tmp_path):
        return contract_file(tmp_path, tick_source="clock")

    def drive(self, made, done):
        """Publish fresh inputs until ``done()``."""
        tick = 0
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline
            now = made.peer.node.get_clock().now().nanoseconds
            made.robot.publish(robot_messages(tick, stamp=now))
            tick += 1
            made.peer.spin(0.02)

    def test_ticks_at_most_at_the_rate_on_fresh_inputs_only(self, peer, contract, tiny_bundle):
        made = Setup(peer, tiny_bundle, contract, options=self.options)
        incomplete = robot_messages(0, stamp=peer.node.get_clock().now().nanoseconds)
        del incomplete["object_2/pose"]
        assert made.refuses(incomplete)
        start = time.monotonic()
        self.drive(made, lambda: len(made.traces) >= 20)
        numbers = [trace.tick for trace in made.traces]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) <= 80 * (time.monotonic() - start) + 2  # never faster than 80 Hz

        def quiet():
            made.commands.clear()
            peer.spin(QUIET)
            return not made.commands

        peer.until(quiet, MAX_AGE + 60)  # inputs grow old
        made.node.stop()
        assert "control" not in [thread.name for thread in threading.enumerate()]

    def test_a_fault_ends_the_node_and_is_told(self, peer, contract, tmp_path):
        policy = Script()
        policy.next = RuntimeError("CUDA error:\n an illegal memory access")
        load = lambda path, **options: policy  # noqa: E731
        made = Setup(peer, tmp_path, contract, load=load, options=self.options)
        self.drive(made, lambda: made.node.failure is not None)
        with pytest.raises(CommandError, match=r"policy failed: RuntimeError.*illegal") as caught:
            spin(made.node, lambda: False)
        assert "\n" not in str(caught.value)
        made.node.stop()


def test_a_fault_in_a_callback_ends_the_node_and_is_told(peer, tmp_path):
    policy = Script()
    made = Setup(peer, tmp_path, contract_file(tmp_path), load=lambda path, **options: policy)
    policy.next = ZeroDivisionError("division by zero")
    made.robot.publish(robot_messages(0))
    with pytest.raises(CommandError, match="policy failed: ZeroDivisionError"):
        spin(made.node, lambda: False)
    made.node.stop()
