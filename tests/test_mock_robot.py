"""The mock robot as a node: it serves a contract, follows its commands, fails as it is told."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from mock_rig import CONFIG, mock_arm
from rclpy.parameter import Parameter
from ros_graph import LISTEN_QOS, Peer

from lram_core.errors import CommandError
from lram_ros.adapters.registry import make_adapter
from lram_ros.assembly import stamp_of
from lram_ros.message_fields import message_class
from lram_ros.mock.node import MockRobot
from lram_ros.mock.options import MockOptions
from lram_ros.robot_contract import RobotContract
from lram_ros.ticker import TickTime


@pytest.fixture
def arm():
    return mock_arm()


@pytest.fixture
def peer(ros_domain):
    with Peer("policy") as peer:
        yield peer


@pytest.fixture
def start(peer):
    """Start a mock robot that the peer serves; it is stopped at the end."""
    robots = []

    def start(contract, **options):
        robot = MockRobot(contract, MockOptions(**options), context=peer.context)
        robots.append(robot)
        peer.add(robot)
        return robot

    yield start
    for robot in robots:
        robot.stop()


def test_stamps_tell_when_a_tick_was_due_even_if_the_first_came_late(peer, start, arm, monkeypatch):
    ticks = []

    class Still:
        """A ticker that leaves its ticks to the test."""

        missed = 0

        def __init__(self, rate, tick, on_failure, name):
            ticks.append(tick)

        def start(self):
            pass

        stop = start

    monkeypatch.setattr("lram_ros.mock.node.Ticker", Still)
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    robot = start(arm)
    peer.until(lambda: robot.count_subscribers("joint_states"))
    before = robot.get_clock().now().nanoseconds
    due = time.monotonic() - 0.3
    ticks[0](TickTime(0, due, 0.3, 0))
    ticks[0](TickTime(1, due + 0.02, 0.28, 0))
    peer.until(lambda: len(states) == 2)
    first, second = map(stamp_of, states)
    assert before - 301_000_000 <= first < before
    assert second - first == 20_000_000


def test_a_contract_is_served_and_its_commands_are_followed(peer, start, arm):
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    poses = peer.listen(message_class("geometry_msgs/msg/PoseStamped"), "tool/pose")
    echoes = peer.listen(message_class("lram_ros/msg/ActionCommand"), "mock_robot/received")
    robot = start(arm, command_timeout=0.3)
    assert robot.get_name() == "mock_robot"
    adapter = make_adapter(arm.sinks[0], 0.02)
    commands = peer.node.create_publisher(adapter.message_type, "arm/commands", LISTEN_QOS)
    peer.until(lambda: states and poses and commands.get_subscription_count() == 1)
    assert list(states[0].name) == ["shoulder", "elbow"]
    assert states[0].position[0] == pytest.approx(math.degrees(0.5))

    def send(values):
        commands.publish(adapter.encode(values, 0))

    def reached(wanted):
        send([wanted, 0.0])
        peer.spin(0.02)
        return states[-1].position[0] == pytest.approx(math.degrees(wanted), abs=0.1)

    peer.until(lambda: reached(1.2))
    peer.until(lambda: echoes)
    assert (list(echoes[0].name), list(echoes[0].value)) == (["shoulder", "elbow"], [1.2, 0.0])
    assert echoes[0].header.frame_id == "arm/commands"
    # The stamps of one set are one, and they rise by the period.
    by_stamp = {stamp_of(state) for state in states} & {stamp_of(pose) for pose in poses}
    assert len(by_stamp) >= 10
    gaps = np.diff(sorted(stamp_of(state) for state in states)) / 20e6
    assert np.allclose(gaps, np.round(gaps), atol=1e-4)

    bad = adapter.encode([1.0, 1.0], 0)
    bad.data = [float("nan"), 1.0]
    commands.publish(bad)  # refused, and nothing else
    send([-1.0, 0.0])
    peer.spin(0.08)
    count = len(states)
    peer.until(lambda: len(states) > count + 25)  # half a second without a command
    held = states[-1].position[0]
    assert math.degrees(-1.0) < held < math.degrees(1.2)  # on the way, and there it stays
    assert {state.position[0] for state in states[-5:]} == {held}


def test_metaworld_is_served_as_a_running_episode_that_can_be_reset(peer, start):
    from lram_ros.msg import ActionCommand, EpisodeStatus, Reward
    from lram_ros.srv import ResetEpisode

    contract = RobotContract.load(CONFIG / "metaworld.yaml")
    statuses = peer.listen(EpisodeStatus, "episode")
    rewards = peer.listen(Reward, "reward")
    hands = peer.listen(message_class("geometry_msgs/msg/PoseStamped"), "end_effector/pose")
    start(contract, task="reach-v3")
    commands = peer.node.create_publisher(ActionCommand, "command", LISTEN_QOS)
    peer.until(lambda: len(statuses) > 5 and rewards and hands)
    assert all(status.state == EpisodeStatus.RUNNING for status in statuses)
    assert (statuses[0].suite, statuses[0].task) == ("mock_robot", "reach-v3")
    ticks = [status.tick for status in statuses]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    peer.until(lambda: commands.get_subscription_count() == 1)
    begin = hands[-1].pose.position.x
    command = ActionCommand(name=["ee_dx", "ee_dy", "ee_dz", "gripper"], value=[1.0, 0, 0, 1])

    def moved():
        commands.publish(command)
        peer.spin(0.0125)
        return hands[-1].pose.position.x > begin + 0.05

    peer.until(moved)
    answer = peer.call(ResetEpisode, "reset_episode", task="reach-v3", seed=0, max_steps=0)
    assert (answer.success, answer.episode) == (True, 2)
    peer.until(lambda: statuses[-1].episode == 2)
    first = next(status for status in statuses if status.episode == 2)
    assert first.tick == 0


def test_simulated_time_runs_and_freezes_while_messages_go_on(peer, start, arm):
    clock = peer.listen(message_class("rosgraph_msgs/msg/Clock"), "/clock")
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    start(arm, sim_time=True, faults=("freeze_clock@600ms",))
    peer.until(lambda: len(states) > 60 and len(clock) > 60)
    times = [tick.clock.sec * 10**9 + tick.clock.nanosec for tick in clock]
    assert times == sorted(times)
    assert times[0] >= 1_000_000_000
    assert 1_600_000_000 <= times[-1] <= 1_700_000_000  # later where the machine left ticks out
    assert times.count(times[-1]) > 10
    assert stamp_of(states[-1]) == times[-1]


def test_a_stale_topic_falls_silent_and_the_others_go_on(peer, start, arm):
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    poses = peer.listen(message_class("geometry_msgs/msg/PoseStamped"), "tool/pose")
    robot = start(arm, faults=("stale:joint_states@500ms",))
    peer.until(lambda: robot.ticks > 60)
    peer.spin(0.2)
    assert 0 < len(states) <= 25
    assert len(poses) > len(states) + 20


def test_a_second_publisher_is_another_node(peer, start, arm):
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    robot = start(arm, faults=("second_publisher:joint_states@200ms",))
    peer.until(lambda: len(states) > 40)
    names = {p.node_name for p in peer.node.get_publishers_info_by_topic("joint_states")}
    assert names == {"mock_robot", "mock_second_publisher"}
    robot.stop()
    assert len({round(state.position[0], 3) for state in states}) == 2


def set_faults(robot, text):
    return robot.set_parameters([Parameter("faults", value=text)])[0]


def test_faults_are_set_while_it_runs_and_end_when_they_are_taken_away(peer, start, arm, capfd):
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    robot = start(arm)
    peer.until(lambda: len(states) > 5)
    assert set_faults(robot, "nan:joint_states@0s").successful
    peer.until(lambda: math.isnan(states[-1].position[0]))
    refused = set_faults(robot, "stale:camera@0s")
    assert not refused.successful
    assert "it has joint_states, tool/pose" in refused.reason
    assert robot.get_parameter("faults").value == "nan:joint_states@0s"
    assert set_faults(robot, "").successful
    peer.until(lambda: states[-1].position[0] == pytest.approx(math.degrees(0.5)))
    assert "mock: fault begins: nan:joint_states@0.0s" in capfd.readouterr().err


def test_what_a_delay_held_back_comes_when_it_ends(peer, start, arm):
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    robot = start(arm)
    peer.until(lambda: len(states) > 5)
    assert set_faults(robot, "delay:joint_states=300s@0s").successful
    ticks = robot.ticks
    peer.until(lambda: robot.ticks > ticks + 8)
    peer.spin(0.2)
    count, now = len(states), robot.get_clock().now().nanoseconds
    assert set_faults(robot, "").successful
    peer.until(lambda: len(states) > count + 20)
    stamps = [stamp_of(state) for state in states]
    assert stamps == sorted(stamps)
    assert sum(stamp < now for stamp in stamps[count:]) >= 5


def test_a_second_publisher_comes_and_goes(peer, start, arm):
    robot = start(arm)
    count = lambda: peer.node.count_publishers("joint_states")  # noqa: E731
    peer.until(lambda: robot.ticks > 5 and count() == 1)
    set_faults(robot, "second_publisher:joint_states@100ms")
    peer.until(lambda: count() == 2)
    set_faults(robot, "")
    peer.until(lambda: count() == 1)


def test_faults_given_as_a_parameter_at_the_start_hold(peer, start, arm):
    states = peer.listen(message_class("sensor_msgs/msg/JointState"), "joint_states")
    override = [Parameter("faults", value="nan:joint_states@0s")]
    robot = MockRobot(arm, context=peer.context, parameter_overrides=override)
    peer.add(robot)
    peer.until(lambda: states)
    robot.stop()
    assert math.isnan(states[0].position[0])


def test_what_does_not_fit_is_refused_before_anything_is_published(arm):
    for options, words in (
        ({"faults": ("melt@1s",)}, "kind 'melt' is unknown"),
        ({"faults": ("stale:camera@1s",)}, "joint_states, tool/pose"),
        ({"faults": ("reorder:tool/pose@1s",)}, "has no names"),
        ({"rate": 0.0}, "rate: expected above 0"),
        ({"command_timeout": 0.0}, "command_timeout > 0"),
    ):
        with pytest.raises(CommandError, match=words):
            MockRobot(arm, MockOptions(**options))
