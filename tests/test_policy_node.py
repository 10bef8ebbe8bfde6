"""The policy node against a robot made of publishers: when it refuses, when it keeps still."""

from __future__ import annotations

import math
import signal
import time

import pytest
import yaml
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import CONTRACT, Peer, Robot, parameters, processes, robot_messages
from test_control import Script

from lram_core.errors import ContractError, LramError
from lram_core.policy import Policy
from lram_ros.live_check import wait_for_topics
from lram_ros.msg import ActionCommand, EpisodeStatus, PolicyTick
from lram_ros.policy_node import PolicyNode
from lram_ros.robot_contract import RobotContract

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

    def __init__(self, peer, bundle, contract, load=Policy.load):
        self.peer = peer
        self.robot = Robot(peer.node)
        self.commands = peer.listen(ActionCommand, "command")
        self.traces = peer.listen(PolicyTick, "policy/tick")
        self.node = PolicyNode(
            load,
            context=peer.context,
            parameter_overrides=parameters(bundle=str(bundle), contract=str(contract)),
        )
        peer.add(self.node)
        assert self.node.configure()
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


class Warm(Script):
    def warm_up(self):
        return 0.0


def test_action_is_clipped_or_refused(peer, tmp_path):
    policy = Warm()
    made = Setup(peer, tmp_path, contract_file(tmp_path), load=lambda path, device: policy)
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


def test_clock_ticks_at_the_rate_on_fresh_inputs_only(peer, tmp_path, tiny_bundle):
    made = Setup(peer, tiny_bundle, contract_file(tmp_path, tick_source="clock"))

    def now_stamped(tick):
        return robot_messages(tick, stamp=peer.node.get_clock().now().nanoseconds)

    incomplete = now_stamped(0)
    del incomplete["object_2/pose"]
    assert made.refuses(incomplete)
    start = time.monotonic()
    tick = 0
    while time.monotonic() - start < 1.5:
        made.robot.publish(now_stamped(tick))
        tick += 1
        peer.spin(0.02)
    numbers = [trace.tick for trace in made.traces]
    elapsed = time.monotonic() - start
    assert numbers == list(range(len(numbers)))
    assert 20 < len(numbers) <= 80 * elapsed + 2  # 80 Hz, less where the machine is busy
    peer.spin(MAX_AGE)  # inputs grow old
    made.commands.clear()
    peer.spin(QUIET)
    assert made.commands == []
    start = time.monotonic()
    made.node.stop()
    assert time.monotonic() - start < 2


class TestLiveCheck:
    robot = RobotContract.load(CONTRACT)

    def test_fits(self, peer):
        Robot(peer.node)
        assert wait_for_topics(peer.node, self.robot, 10)

    def test_missing_topic_is_named_with_those_there_are(self, peer):
        Robot(peer.node, object_1__pose=None)
        with pytest.raises(ContractError) as caught:
            wait_for_topics(peer.node, self.robot, 1)
        message = str(caught.value)
        assert "no publisher of /object_1/pose within 1 s" in message
        assert "/object_2/pose (geometry_msgs/msg/PoseStamped)" in message

    def test_it_waits(self, peer):
        asked = []

        def stopped():
            if not asked:
                Robot(peer.node)
            asked.append(1)
            return False

        assert wait_for_topics(peer.node, self.robot, 20, stopped)
        assert asked

    def test_stop_ends_the_wait(self, peer):
        assert not wait_for_topics(peer.node, self.robot, 60, lambda: True)

    def test_wrong_type_names_both(self, peer):
        Robot(peer.node, goal=Vector3Stamped)
        with pytest.raises(ContractError) as caught:
            wait_for_topics(peer.node, self.robot, 5)
        for word in ("/goal", "geometry_msgs/msg/Vector3Stamped", "expects", "PointStamped"):
            assert word in str(caught.value)

    def test_wrong_command_type_names_both(self, peer):
        Robot(peer.node)
        peer.listen(PointStamped, "command")
        with pytest.raises(ContractError, match=r"PointStamped .*sends lram_ros/msg/ActionCommand"):
            wait_for_topics(peer.node, self.robot, 5)

    def test_reliability_that_would_receive_nothing(self, peer):
        Robot(peer.node, goal=None)
        unsure = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        peer.node.create_publisher(PointStamped, "goal", unsure)
        with pytest.raises(ContractError, match="/goal is published as best_effort"):
            wait_for_topics(peer.node, self.robot, 5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["parameter bundle is not set"]),
        ({"bundle": "nowhere"}, ["nowhere"]),
        ({"bundle": "nowhere", "contract": "none.yaml"}, ["none.yaml", "No such file"]),
        ({"bundle": 3}, ["parameter bundle"]),
        ({"bundle": "nowhere", "torch_threads": 0}, ["torch_threads: at least 1"]),
        ({"bundle": "nowhere", "target_return": math.inf}, ["target_return"]),
        ({"bundle": "nowhere", "topic_timeout": -1.0}, ["topic_timeout"]),
    ],
)
def test_bad_parameters(peer, values, words):
    node = PolicyNode(context=peer.context, parameter_overrides=parameters(**values))
    peer.add(node)
    with pytest.raises(LramError) as caught:
        node.configure()
    for word in words:
        assert word in str(caught.value)


def misnamed(data):
    fields = data["inputs"][0]["fields"]
    fields["hand"] = fields.pop("ee_position")


def missized(data):
    data["inputs"][0]["fields"]["ee_position"]["path"] = "pose"


@pytest.mark.parametrize(
    ("change", "words"),
    [(misnamed, ["ee_position is missing"]), (missized, ["gives 7 values", "expects 3"])],
)
def test_process_refuses_with_code_2(ros_domain, tmp_path, tiny_bundle, change, words):
    data = yaml.safe_load(CONTRACT.read_text())
    change(data)
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    with processes(tmp_path) as start:
        node = start("lram_ros.policy_node", bundle=tiny_bundle, contract=path)
        assert node.wait() == 2
    assert node.output.startswith("error: ")
    assert len(node.output.splitlines()) == 1
    for word in [str(path), *words]:
        assert word in node.output


def test_process_refuses_a_topic_of_another_type(peer, tmp_path, tiny_bundle):
    Robot(peer.node, goal=Vector3Stamped)
    with processes(tmp_path) as start:
        node = start("lram_ros.policy_node", bundle=tiny_bundle, contract=CONTRACT)
        assert node.wait() == 2
    assert "/goal is published as geometry_msgs/msg/Vector3Stamped" in node.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_stops_while_it_waits_for_topics(ros_domain, tmp_path, tiny_bundle, number):
    with processes(tmp_path) as start, Peer() as peer:
        node = start(
            "lram_ros.policy_node", bundle=tiny_bundle, contract=CONTRACT, topic_timeout=60.0
        )
        peer.until(lambda: peer.node.count_publishers("policy/tick"), 60)
        assert node.stop(number) == 0
    assert "error" not in node.output


def test_node_is_a_ros_node_with_described_parameters(peer):
    node = PolicyNode(
        context=peer.context, parameter_overrides=parameters(bundle="x", contract="y")
    )
    peer.add(node)
    with pytest.raises(LramError):
        node.configure()
    assert isinstance(node, Node)
    for name in ("bundle", "contract", "device", "torch_threads", "target_return"):
        assert node.describe_parameter(name).description
    assert node.describe_parameter("bundle").read_only
