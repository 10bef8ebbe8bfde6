"""A bag played to a live policy node: the same actions, nothing it must not say, clear refusals."""

from __future__ import annotations

import math
import shutil
import signal
from dataclasses import replace

import pytest
import rclpy
import yaml
from bag_rig import MILLISECOND, read_traces, said, set_hash, write_bag
from builtin_interfaces.msg import Time
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from loop_rig import COMMANDS, JOINTS, PATIENT, arm_bundle, arm_contract
from ros_graph import CONTRACT, Peer, Robot, processes, robot_messages
from rosbags.rosbag2 import StoragePlugin
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String

from lram_core.errors import CommandError, DataError
from lram_ros.bag_player import BagPlayer, PlayOptions
from lram_ros.bag_player_node import read_parameters
from lram_ros.bag_tracks import input_tracks, other_tracks
from lram_ros.bags.recording import Bag
from lram_ros.msg import ActionCommand, PolicyTick
from lram_ros.qos import data_qos
from lram_ros.robot_contract import RobotContract

PLAYER, POLICY = "lram_ros.bag_player_node", "lram_ros.policy_node"


@pytest.fixture
def graph(ros_domain, tmp_path):
    with processes(tmp_path) as start, Peer() as peer:
        yield start, peer


def sets(count, **changes):
    """A bag's messages: ``count`` sets of the Meta-World robot, 10 ms apart."""
    for tick in range(count):
        for topic, message in robot_messages(tick).items():
            if changes.get(topic.replace("/", "__"), True):
                yield tick * 10 * MILLISECOND, f"/{topic}", message


def test_the_actions_are_those_that_were_recorded(recorded_demo, graph, tmp_path):
    bundle, bag = recorded_demo
    start, peer = graph
    found = peer.listen(PolicyTick, "policy/tick")
    times = peer.listen(Clock, "/clock")
    policy = start(POLICY, bundle=bundle, contract=CONTRACT, use_sim_time=True)
    peer.until(lambda: peer.node.count_publishers("policy/tick"))  # it waits for its inputs
    player = start(
        PLAYER, bag=bag, contract=CONTRACT, recorded_under="recorded", allow_listeners=True
    )  # fmt: skip
    commands = peer.listen(ActionCommand, "command")
    before = peer.listen(ActionCommand, "recorded/command")
    peer.until(lambda: player.process.poll() is not None, 120)
    assert player.wait() == 0, player.output
    peer.spin(0.2)

    expected = read_traces(bag)
    assert len(expected) == 80
    assert said(found) == said(expected)
    assert [trace.header.stamp for trace in found] == [trace.header.stamp for trace in expected]
    assert "80 sets answered" in player.output
    # No set comes earlier after another than it was recorded; a busy machine may be later.
    words = player.output.split("played ")[1].split()
    recording, wall = float(words[5]), float(words[-2])
    assert wall >= recording - 0.2
    # What the recorded policy said comes out under other names alone.
    assert len({message.header.stamp.nanosec for message in before}) > 40
    assert len(commands) == 80
    stamps = [message.clock.sec * 10**9 + message.clock.nanosec for message in times]
    assert stamps == sorted(set(stamps))
    assert policy.stop() == 0
    assert "rror" not in policy.output, policy.output


def arm_messages(seconds, clock=False):
    """A recording of an arm that does not move; stamps of a system clock, a little older."""
    begin = 1_700_000_000 * 10**9
    for number in range(int(seconds * 100)):
        now = begin + number * 10 * MILLISECOND
        sec, nanosec = divmod(now - MILLISECOND, 10**9)
        message = JointState(name=JOINTS, position=[-0.5] * 3, velocity=[0.0] * 3)
        message.header.stamp = Time(sec=sec, nanosec=nanosec)
        if clock:
            yield now, "/clock", Clock(clock=message.header.stamp)
        yield now, "/joint_states", message


@pytest.mark.parametrize("clock", [False, True])
def test_a_robot_ticked_by_the_clock_sees_the_recordings_time(graph, tmp_path, clock):
    """Whether the bag has /clock or not; at the end the policy is put to rest without a fault."""
    start, peer = graph
    contract, bundle = arm_contract(tmp_path), arm_bundle(tmp_path)
    data = yaml.safe_load(contract.read_text())
    data["inputs"][0]["max_age"] = 20.0  # a busy machine may be late
    contract.write_text(yaml.safe_dump(data, sort_keys=False))
    bag = write_bag(tmp_path / "bag", arm_messages(3, clock))
    traces = peer.listen(PolicyTick, "policy/tick")
    commands = peer.listen(Float64MultiArray, COMMANDS)
    times = peer.listen(Clock, "/clock")
    policy = start(
        POLICY, bundle=bundle, contract=contract, use_sim_time=True, black_box=tmp_path / "boxes",
        **PATIENT,
    )  # fmt: skip
    player = start(PLAYER, bag=bag, contract=contract, allow_listeners=True)
    peer.until(lambda: player.process.poll() is not None, 120)
    assert player.wait() == 0, player.output
    state = peer.call(GetState, "policy/get_state").current_state.id
    assert state == State.PRIMARY_STATE_INACTIVE
    assert traces
    assert commands
    inside = [1_700_000_000 <= trace.header.stamp.sec <= 1_700_000_003 for trace in traces]
    assert all(inside)
    stamps = [message.clock.sec * 10**9 + message.clock.nanosec for message in times]
    assert stamps == sorted(set(stamps))
    assert stamps[0] >= 1_699_999_999 * 10**9
    assert "stopped: " in policy.output
    assert "input_" not in policy.output, policy.output
    assert "publisher_lost" not in policy.output, policy.output
    assert policy.stop() == 0


def test_ctrl_c_ends_it_in_the_middle(recorded_demo, graph):
    bundle, bag = recorded_demo
    start, peer = graph
    found = peer.listen(PolicyTick, "policy/tick")
    start(POLICY, bundle=bundle, contract=CONTRACT)
    player = start(PLAYER, bag=bag, contract=CONTRACT, rate=0.05)
    peer.until(lambda: found, 60)
    assert player.stop(signal.SIGINT) == 0
    assert "stopped by SIGINT" in player.output
    assert len(found) < 80


# Refusals


def refusal(bag, **options):
    """What a player in this process says when it does not play."""
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("bag_player", context=context)
    player = BagPlayer(node, bag, RobotContract.load(CONTRACT), PlayOptions(**options))

    def play():
        player.wait_ready()
        player.play()

    try:
        with pytest.raises(CommandError) as error:
            play()
    finally:
        player.close()
        node.destroy_node()
        rclpy.shutdown(context=context)
    return str(error.value)


def test_without_a_policy_it_says_so(ros_domain, tmp_path):
    bag = write_bag(tmp_path / "bag", sets(1))
    text = refusal(bag, ready_timeout=0.5)
    assert text == "not ready after 0.5 s; missing: a policy node (a publisher of /policy/tick)"


def test_refusals_beside_a_policy(graph, tmp_path, tiny_bundle):
    start, peer = graph
    messages = [list(message) for message in sets(3)]
    for time, topic, message in messages:
        if topic == "/end_effector/pose" and time == 10 * MILLISECOND:
            message.pose.position.x = math.nan  # the node refuses it
    bag = write_bag(tmp_path / "bag", messages)
    start(POLICY, bundle=tiny_bundle, contract=CONTRACT, topic_timeout=60.0)
    text = refusal(bag, answer_timeout=1.5)
    assert text.startswith("the policy did not answer the set of stamp 0.025 s within")

    # A robot that takes the commands would be moved by what answers the recording.
    kind = ActionCommand
    robot = peer.node.create_subscription(kind, "command", lambda message: None, data_qos())
    text = refusal(bag)
    assert text.startswith("/peer takes the commands on /command: what answers the recording")
    peer.node.destroy_subscription(robot)

    # The sensors of one that is on would be mixed with the recording.
    Robot(peer.node)
    text = refusal(bag)
    assert text.startswith("/end_effector/pose is published by /peer too; a bag is not played")


def test_a_bag_must_be_named(ros_domain):
    with Peer() as peer, pytest.raises(CommandError, match="parameter bag is not set; give the"):
        read_parameters(peer.node)


@pytest.mark.parametrize("name", ["/", "a b", "recorded/"])
def test_no_prefix_gives_the_live_names(name):
    with pytest.raises(CommandError, match="recorded_under: expected a name"):
        PlayOptions(recorded_under=name)


# The bag alone, without a graph


def tracks(path, **options):
    with Bag(path) as bag:
        return input_tracks(bag, RobotContract.load(CONTRACT), **options)


@pytest.mark.parametrize("storage", StoragePlugin)
def test_both_storages_are_read(tmp_path, storage):
    bag = write_bag(tmp_path / "bag", sets(2), storage)
    found = tracks(bag)
    assert [track.topic for track in found] == list(Robot.kinds)
    assert [track.source for track in found] == [f"/{topic}" for topic in Robot.kinds]
    with Bag(bag) as reader:
        messages = list(reader.messages(["/goal", "/reward"]))
    assert [message.topic for message in messages] == ["/goal", "/reward"] * 2


def test_a_bag_of_another_namespace(tmp_path):
    messages = [(time, f"/left{topic}", message) for time, topic, message in sets(1)]
    bag = write_bag(tmp_path / "bag", messages)
    assert tracks(bag, namespace="/left")[0].source == "/left/end_effector/pose"
    with pytest.raises(DataError, match="no messages on /end_effector/pose"):
        tracks(bag)


def test_topics_that_the_contract_needs_are_named(tmp_path):
    bag = write_bag(tmp_path / "bag", sets(1, goal=False, object_1__pose=False))
    with pytest.raises(DataError) as error:
        tracks(bag)
    text = str(error.value)
    assert "no messages on /object_1/pose, /goal, which " in text
    assert "it has /end_effector/pose, " in text


def test_another_type_is_named(tmp_path):
    messages = [*sets(1, goal=False), (0, "/goal", String(data="there"))]
    bag = write_bag(tmp_path / "bag", messages)
    expected = r"/goal is std_msgs/msg/String \(first at .*says geometry_msgs/msg/PointSt"
    with pytest.raises(DataError, match=expected):
        tracks(bag)


def test_another_definition_of_a_type_is_named(tmp_path):
    bag = write_bag(tmp_path / "bag", sets(1))
    set_hash(bag, "/goal", "")  # as in bags before Iron: nothing to compare
    assert tracks(bag)
    set_hash(bag, "/goal", "RIHS01_" + "0" * 64)
    expected = r"/goal \(first at .*its geometry_msgs/msg/PointStamped has ano"
    with pytest.raises(DataError, match=expected):
        tracks(bag)


def test_other_topics_get_names_of_their_own(tmp_path):
    more = [(0, "/command", ActionCommand()), (0, "/policy/tick", PolicyTick())]
    own = [(0, "/clock", Clock()), (0, "/rosout", String())]
    bag = write_bag(tmp_path / "bag", [*sets(1), *more, *own])
    with Bag(bag) as reader:
        found, left = other_tracks(reader, RobotContract.load(CONTRACT), "recorded")
    assert {track.topic for track in found} == {"recorded/command", "recorded/policy/tick"}
    assert left == []


def test_nothing_recorded_comes_out_as_a_command(tmp_path):
    bag = write_bag(tmp_path / "bag", [*sets(1), (0, "/command", ActionCommand())])
    robot = RobotContract.load(CONTRACT)
    robot = replace(robot, sinks=(replace(robot.sinks[0], topic="live/command"),))
    with Bag(bag) as reader, pytest.raises(DataError, match="out as live/command, which is"):
        other_tracks(reader, robot, "live")


def test_a_missing_bag_is_named(tmp_path):
    with pytest.raises(DataError) as error:
        Bag(tmp_path / "absent")
    assert str(error.value) == f"{tmp_path / 'absent'}: no such bag"


def test_damaged_bags_are_named(tmp_path):
    bag = write_bag(tmp_path / "bag", sets(1))
    broken = shutil.copytree(bag, tmp_path / "broken")
    (broken / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
    with pytest.raises(DataError, match="broken: "):
        Bag(broken)
    next(bag.glob("*.mcap")).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bag\.mcap: "):
        Bag(bag)
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(DataError, match=r"text\.txt: "):
        Bag(tmp_path / "text.txt")
