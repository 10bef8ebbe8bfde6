"""The mock robot serves a contract, follows its commands, and fails exactly as it is told."""

from __future__ import annotations

import copy
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rclpy.parameter import Parameter
from ros_graph import LISTEN_QOS, Peer, Process, default_signals

from lram_core.errors import CommandError, LramError
from lram_ros.adapters.registry import make_adapter, make_adapters
from lram_ros.assembly import InputReader, InputSet, stamp_of
from lram_ros.message_fields import message_class
from lram_ros.mock.command import find_contract, mock_robot
from lram_ros.mock.faults import KINDS, Fault, describe_kinds, parse_fault
from lram_ros.mock.injector import ClockFaults, TopicFaults, kill_at
from lram_ros.mock.joints import Joint, Joints, joint_names
from lram_ros.mock.node import MockOptions, MockRobot
from lram_ros.mock.sensors import MessageMaker
from lram_ros.robot_contract import RobotContract
from lram_ros.ticker import TickTime

CONFIG = Path(__file__).parents[1] / "config"
SHIPPED = sorted(CONFIG.glob("*.yaml"))
TOPICS = ["joint_states", "/wrist/force", "goal"]
ARM = {
    "format_version": 1,
    "robot": "two_joint_arm",
    "gripper": "none",
    "control_rate": 50.0,
    "tick_source": "clock",
    "inputs": [
        {
            "topic": "joint_states",
            "type": "sensor_msgs/msg/JointState",
            "max_age": 0.1,
            "fields": {
                "angles": {"path": "position", "names": ["shoulder", "elbow"], "unit": "deg"},
                "speeds": {"path": "velocity", "names": ["shoulder", "elbow"], "unit": "rad/s"},
            },
        },
        {
            "topic": "tool/pose",
            "type": "geometry_msgs/msg/PoseStamped",
            "max_age": 0.1,
            "frame": "base",
            "fields": {
                "tool": {"path": "pose.position", "unit": "m"},
                "turn": {"path": "pose.orientation", "unit": "1"},
            },
        },
    ],
    "commands": [
        {
            "topic": "arm/commands",
            "adapter": "forward_position",
            "fields": {
                "a": {"joint": "shoulder", "unit": "rad", "low": -1.0, "high": 2.0},
                "b": {
                    "joint": "elbow",
                    "unit": "deg",
                    "low": -90.0,
                    "high": 90.0,
                    "max_velocity": 45.0,
                },
            },
        },
    ],
}


@pytest.fixture
def arm():
    return RobotContract.from_dict(copy.deepcopy(ARM))


def made(contract, index, seconds=0.0, stamp=7, joints=None):
    maker = MessageMaker(contract.topics[index], {})
    return maker, maker.make(seconds, stamp, joints or Joints(contract, 0.02))


# The grammar of faults.

NUMBERS = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def faults(draw):
    name = draw(st.sampled_from(sorted(KINDS)))
    kind = KINDS[name]
    value = {
        "": st.just(0.0),
        "count": st.integers(1, 10**6),
        "seconds": POSITIVE if kind.default > 0 else NUMBERS,
        "number": NUMBERS,
    }[kind.value]
    return Fault(
        name,
        draw(st.sampled_from(TOPICS)) if kind.topic else "",
        draw(value),
        draw(st.floats(0, 1e6)),
        draw(st.one_of(POSITIVE, st.just(math.inf))),
    )


@given(faults())
def test_a_fault_in_words_is_the_same_fault(fault):
    assert parse_fault(str(fault), TOPICS) == fault


@given(
    st.one_of(
        st.text(max_size=40),
        st.text(st.sampled_from("stale:dropkinfuzz_@=+-.019sme/ \n"), max_size=40),
        st.tuples(st.sampled_from(sorted(KINDS)), st.text(max_size=20)).map("".join),
    )
)
def test_any_text_is_a_fault_or_one_line(text):
    refusal = ""
    try:
        fault = parse_fault(text, TOPICS)
    except CommandError as error:
        refusal = str(error)
    if refusal:
        assert len(refusal.splitlines()) == 1
    else:
        assert parse_fault(str(fault), TOPICS) == fault


def test_faults_of_the_manual():
    assert parse_fault("stale:joint_states@3s", TOPICS) == Fault("stale", "joint_states", 0.0, 3.0)
    assert parse_fault("drop:goal=4@2s+500ms", TOPICS) == Fault("drop", "goal", 4, 2.0, 0.5)
    assert parse_fault("drop:goal@2", TOPICS).value == 2
    assert parse_fault("delay:goal=80ms@2", TOPICS).value == pytest.approx(0.08)
    assert parse_fault("nan:wrist/force@1e1", TOPICS) == Fault("nan", "/wrist/force", 0.0, 10.0)
    assert parse_fault("jump_clock=-2.5s@4s", TOPICS) == Fault("jump_clock", "", -2.5, 4.0)
    assert parse_fault("kill@10s", TOPICS) == Fault("kill", "", 0.0, 10.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stale", ["expected KIND[:TOPIC][=VALUE]@START[+DURATION]", "stale, frozen, drop"]),
        ("melt:goal@1s", ["kind 'melt' is unknown", "stale, frozen, drop", "kill"]),
        ("stale:camera@1s", ["topic 'camera'", "joint_states, /wrist/force, goal"]),
        ("stale@1s", ["needs a topic", "joint_states, /wrist/force, goal"]),
        ("kill:goal@1s", ["takes no topic"]),
        ("stale:goal=3@1s", ["takes no value, found '3'"]),
        ("drop:goal=0@1s", ["a count from 1 on, found '0'"]),
        ("drop:goal=2.5@1s", ["a count from 1 on, found '2.5'"]),
        ("delay:goal=0s@1s", ["a time above 0"]),
        ("extreme:goal=nan@1s", ["a finite number, found 'nan'"]),
        ("jump_clock@1s", ["needs a value in seconds"]),
        ("stale:goal@-1s", ["a start of at least 0"]),
        ("stale:goal@1s+0s", ["a duration above 0"]),
        ("stale:goal@soon", ["start: expected a finite number, found 'soon'"]),
        ("stale:goal@1_0s", ["found '1_0'"]),
    ],
)
def test_a_wrong_fault_names_what_there_is(text, words):
    with pytest.raises(CommandError) as caught:
        parse_fault(text, TOPICS)
    for word in words:
        assert word in str(caught.value)


def test_every_kind_is_in_the_help():
    assert len(describe_kinds().splitlines()) == len(KINDS)
    done = CliRunner().invoke(mock_robot, ["--help"])
    assert done.exit_code == 0
    assert all(name in done.output for name in KINDS)


# Joints.


def test_a_joint_follows_its_target_with_a_lag_and_within_its_limits():
    joint = Joint(low=-1.0, high=1.0)
    joint.target = 5.0
    course = []
    for _ in range(200):
        joint.step(0.01, lag=0.1)
        course.append(joint.position)
    assert course[9] == pytest.approx(1.0, abs=1e-9)  # 5 (1 - 1/e) is beyond the limit
    assert max(course) == 1.0
    assert joint.velocity == 0.0
    joint = Joint()
    joint.target = 1.0
    for _ in range(10):
        joint.step(0.01, lag=0.1)
    assert joint.position == pytest.approx(1 - math.exp(-1))


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.booleans()), min_size=1, max_size=30),
    st.floats(0.0, 1.0),
    st.floats(0.1, 5.0),
)
def test_no_command_moves_a_joint_out_of_its_limits_or_too_fast(commands, lag, fastest):
    joint = Joint(low=-0.5, high=0.7, fastest=fastest)
    for value, by_position in commands:
        joint.target, joint.wanted = (value, 0.0) if by_position else (None, value)
        before = joint.position
        joint.step(0.01, lag)
        assert -0.5 <= joint.position <= 0.7
        assert abs(joint.position - before) <= fastest * 0.01 * (1 + 1e-9)
        assert joint.velocity * 0.01 == pytest.approx(joint.position - before)
    joint.hold()
    held = joint.position
    joint.step(0.01, lag)
    assert joint.position == held


def test_commands_move_joints_by_name_and_unit(arm):
    joints = Joints(arm, 0.02, lag=0.0)
    assert joints.by_name["shoulder"].position == 0.5  # the middle of its limits
    joints.command(arm.sinks[0], [1.5, 45.0])
    joints.step()
    assert joints.by_name["shoulder"].position == pytest.approx(1.5)
    assert joints.by_name["elbow"].velocity == pytest.approx(math.radians(45))  # its fastest
    for _ in range(60):
        joints.step()
    assert joints.by_name["elbow"].position == pytest.approx(math.radians(45))
    values = InputReader(arm).sensors(read_set(arm, joints=joints))
    assert values["angles"] == pytest.approx([math.degrees(1.5), 45.0])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_contract_moves_when_commanded(path):
    contract = RobotContract.load(path)
    joints = Joints(contract, 1 / contract.control_rate)
    before = {name: joint.position for name, joint in joints.by_name.items()}
    for _ in range(20):
        for adapter in make_adapters(contract):
            middle = [f.low + 0.9 * (f.high - f.low) for f in adapter.sink.fields]
            message = adapter.encode(middle, 0)
            joints.command(adapter.sink, adapter.decode(message).tolist())
        joints.step()
    moved = [name for name, joint in joints.by_name.items() if joint.position != before[name]]
    assert len(moved) >= sum(len(sink.fields) for sink in contract.sinks)
    joints.hold()
    held = {name: joint.position for name, joint in joints.by_name.items()}
    joints.step()
    assert {name: joint.position for name, joint in joints.by_name.items()} == held


@pytest.mark.parametrize(
    ("name", "unit", "value", "expected"),
    [
        ("shoulder", "rad", 0.1, 0.2),  # two steps
        ("shoulder", "deg/s", 90.0, math.pi / 2 * 0.04),  # for two periods
        ("shoulder", "N m", 2.0, 0.04),  # at its fastest
        ("gripper", "1", 0.0, 0.5),
        ("tool_dx", "0.01 m", 1.0, 0.02),
    ],
)
def test_a_native_command_moves_by_its_unit(name, unit, value, expected):
    data = copy.deepcopy(ARM)
    field = {"unit": unit, "low": -abs(value) or -1.0, "high": abs(value) or 1.0}
    del data["commands"]
    data["command"] = {
        "topic": "command",
        "type": "lram_ros/msg/ActionCommand",
        "fields": {name: field},
    }
    contract = RobotContract.from_dict(data)
    joints = Joints(contract, 0.02, lag=0.0)
    assert joints.moves_tool == (name == "tool_dx")
    for _ in range(2):
        joints.command(contract.sinks[0], [value])
        joints.step()
    moved = joints.by_name["x" if name == "tool_dx" else name]
    assert moved.position == pytest.approx(expected)


# Sensors.


def read_set(contract, seconds=0.0, stamp=7, joints=None):
    joints = joints or Joints(contract, 0.02)
    messages = tuple(
        MessageMaker(topic, {}).make(seconds, stamp, joints) for topic in contract.topics
    )
    return InputSet(stamp, messages, (0.0,) * len(messages))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_contract_is_served_with_smooth_values(path):
    contract = RobotContract.load(path)
    joints = Joints(contract, 1 / contract.control_rate)
    reader = InputReader(contract)
    before = None
    for tick in range(100):
        values = reader.sensors(read_set(contract, tick / contract.control_rate, tick, joints))
        joints.step()
        flat = np.concatenate(list(values.values()))
        assert np.isfinite(flat).all()
        if before is not None:
            assert np.abs(flat - before).max() < 0.05
        before = flat


def test_turns_are_unit_quaternions_and_frames_those_of_the_contract(arm):
    for seconds in (0.0, 1.7, 30.0):
        maker, message = made(arm, 1, seconds)
        turn = message.pose.orientation
        assert math.hypot(turn.x, turn.y, turn.z, turn.w) == pytest.approx(1.0)
        assert message.header.frame_id == "base"
        assert stamp_of(message) == 7
        assert not maker.names


def kind_of(type_name, fields):
    """A contract with one more input."""
    data = copy.deepcopy(ARM)
    data["inputs"].append({"topic": "extra", "type": type_name, "max_age": 1.0, "fields": fields})
    return RobotContract.from_dict(data)


@pytest.mark.parametrize(
    ("type_name", "fields"),
    [
        (
            "geometry_msgs/msg/WrenchStamped",
            {"w": {"path": "wrench.force", "unit": "N"}},
        ),
        ("sensor_msgs/msg/Imu", {"w": {"path": "angular_velocity", "unit": "rad/s"}}),
        ("sensor_msgs/msg/Imu", {"w": {"path": "orientation_covariance", "unit": "1"}}),
        ("std_msgs/msg/Float64MultiArray", {"w": {"path": "data", "unit": "m"}}),
        ("std_msgs/msg/Bool", {"w": {"path": "data", "unit": "1"}}),
        ("std_msgs/msg/UInt8", {"w": {"path": "data", "unit": "1"}}),
        ("geometry_msgs/msg/TwistStamped", {"w": {"path": "twist", "unit": "m/s"}}),
        ("sensor_msgs/msg/Image", {"w": {"height": 24, "width": 32}}),
        ("sensor_msgs/msg/CompressedImage", {"w": {"height": 24, "width": 32}}),
        (
            "std_msgs/msg/Float64MultiArray",
            {"w": {"path": "data", "unit": "rad", "range": [-0.2, 0.1]}},
        ),
    ],
)
def test_other_kinds_of_sensors_are_readable(type_name, fields):
    contract = kind_of(type_name, fields)
    values = InputReader(contract).sensors(read_set(contract, 3.3))["w"]
    assert len(values) >= 1
    assert np.isfinite(values).all()


def test_the_size_of_an_open_array_can_be_given():
    contract = kind_of("std_msgs/msg/Float64MultiArray", {"w": {"path": "data", "unit": "m"}})
    topic = contract.topics[2]
    assert len(MessageMaker(topic, {"w": 9}).make(0.0, 0, Joints(contract, 0.02)).data) == 9


# Faults in messages.


def injected(contract, index, *texts):
    maker = MessageMaker(contract.topics[index], {})
    names = [topic.topic for topic in contract.topics]
    return maker, TopicFaults(maker, [parse_fault(text, names) for text in texts])


def course(contract, index, *texts, ticks=40, period=0.1):
    """Publish for 4 s; returns (time, stamp) of what arrived."""
    maker, topic_faults = injected(contract, index, *texts)
    joints = Joints(contract, period)
    arrived = []
    for tick in range(ticks):
        elapsed = round(tick * period, 6)
        message = maker.make(elapsed, tick, joints)
        arrived += [(elapsed, stamp_of(found)) for found in topic_faults.apply(message, elapsed)]
    return arrived


def test_without_an_active_fault_everything_arrives(arm):
    expected = [(round(n * 0.1, 6), n) for n in range(40)]
    assert course(arm, 0) == expected
    assert course(arm, 0, "stale:joint_states@9s", "nan:tool/pose@0s") == expected


def test_stale_ends_with_its_duration(arm):
    assert [n for _, n in course(arm, 0, "stale:joint_states@1s+500ms")] == [
        *range(10),
        *range(15, 40),
    ]


def test_frozen_repeats_the_last_message(arm):
    stamps = [n for _, n in course(arm, 0, "frozen:joint_states@1s+1s")]
    assert stamps == [*range(10), *([9] * 10), *range(20, 40)]


def test_drop_loses_every_nth(arm):
    stamps = [n for _, n in course(arm, 0, "drop:joint_states=3@1s+1s")]
    assert stamps == [n for n in range(40) if n not in (12, 15, 18)]


def test_delay_is_late_in_order_and_loses_nothing(arm):
    arrived = course(arm, 0, "delay:joint_states=300ms@1s+1s")
    assert [n for _, n in arrived] == list(range(40))
    late = {n: when - n * 0.1 for when, n in arrived}
    assert late[5] == 0
    assert all(late[n] == pytest.approx(0.3, abs=0.11) for n in range(10, 20))
    assert all(late[n] == pytest.approx(0, abs=1e-6) for n in range(23, 40))


def test_faults_of_a_topic_add_up(arm):
    stamps = [n for _, n in course(arm, 0, "stale:joint_states@3s", "drop:joint_states=2@0s")]
    assert stamps == list(range(0, 30, 2))


def change(contract, index, text):
    """What the contract's reader says of a message with a fault that holds now."""
    maker, topic_faults = injected(contract, index, text)
    joints = Joints(contract, 0.02)
    joints.command(contract.sinks[0], [1.0, 20.0])
    joints.step()
    sound = maker.make(1.0, 7, joints)
    (broken,) = topic_faults.apply(maker.make(1.0, 7, joints), 1.0)
    messages = list(read_set(contract, 1.0, joints=joints).messages)
    messages[index] = sound
    expected = InputReader(contract).sensors(InputSet(7, tuple(messages), (0.0,) * len(messages)))
    messages[index] = broken
    return InputSet(7, tuple(messages), (0.0,) * len(messages)), expected, sound, broken


def test_reordered_names_are_harmless(arm):
    orders = set()
    maker, topic_faults = injected(arm, 0, "reorder:joint_states@0s")
    joints = Joints(arm, 0.02)
    joints.command(arm.sinks[0], [1.0, 20.0])
    joints.step()
    expected = InputReader(arm).sensors(read_set(arm, joints=joints))
    for tick in range(20):
        (message,) = topic_faults.apply(maker.make(0.0, tick, joints), 0.0)
        orders.add(tuple(message.name))
        messages = (message, read_set(arm).messages[1])
        found = InputReader(arm).sensors(InputSet(7, messages, (0.0, 0.0)))
        assert found["angles"].tolist() == expected["angles"].tolist()
        assert found["speeds"].tolist() == expected["speeds"].tolist()
    assert len(orders) == 2


@pytest.mark.parametrize(
    ("index", "text", "words"),
    [
        (0, "nan:joint_states@0s", "not finite"),
        (1, "nan:tool/pose@0s", "not finite"),
        (0, "wrong_size:joint_states@0s", "2 names, but 1 values"),
        (0, "duplicate_names:joint_states@0s", "no elbow"),
    ],
)
def test_broken_messages_are_refused_by_the_reader(arm, index, text, words):
    inputs, _, _, _ = change(arm, index, text)
    with pytest.raises(LramError, match=words):
        InputReader(arm).sensors(inputs)


def test_extreme_values_are_finite_and_elsewhere_nothing_changes(arm):
    inputs, expected, _, _ = change(arm, 1, "extreme:tool/pose=-500@0s")
    found = InputReader(arm).sensors(inputs)
    assert found["tool"].tolist() == [-500.0] * 3
    assert found["angles"].tolist() == expected["angles"].tolist()


@pytest.mark.parametrize(
    ("index", "text", "words"),
    [
        (1, "reorder:tool/pose@1s", ["tool/pose (geometry_msgs/msg/PoseStamped) has no names"]),
        (1, "duplicate_names:tool/pose@1s", ["has no names", "pose.position, pose.orientation"]),
        (1, "wrong_size:tool/pose@1s", ["has no arrays without a fixed size"]),
    ],
)
def test_a_fault_that_a_topic_cannot_have_is_refused(arm, index, text, words):
    with pytest.raises(CommandError) as caught:
        injected(arm, index, text)
    for word in words:
        assert word in str(caught.value)


def test_an_episode_has_no_numbers_to_spoil():
    contract = RobotContract.load(CONFIG / "metaworld.yaml")
    for kind in ("nan", "extreme"):
        with pytest.raises(CommandError, match=r"has no .*numbers"):
            injected(contract, -1, f"{kind}:episode@1s")


def test_a_second_publisher_says_something_else_at_the_same_time(arm):
    maker, topic_faults = injected(arm, 0, "second_publisher:joint_states@1s")
    message = maker.make(1.0, 7, Joints(arm, 0.02))
    assert topic_faults.intrusion(message, 0.5) is None
    other = topic_faults.intrusion(message, 1.0)
    assert other.header == message.header
    assert np.subtract(other.position, message.position) == pytest.approx([0.5, 0.5])


# Faults of the clock.


def test_the_clock_freezes_and_catches_up():
    clock = ClockFaults([parse_fault("freeze_clock@1s+1s", [])])
    shown = [clock.read(n * 100, n * 0.1) for n in range(40)]
    assert shown == [n * 100 if not 10 <= n < 20 else 1000 for n in range(40)]


def test_the_clock_jumps_and_never_shows_less_than_nothing():
    clock = ClockFaults([parse_fault("jump_clock=-1s@1s+1s", [])])
    assert clock.read(5 * 10**9, 0.9) == 5 * 10**9
    assert clock.read(5 * 10**9, 1.5) == 4 * 10**9
    assert clock.read(5 * 10**8, 1.5) == 0
    assert clock.read(5 * 10**9, 2.0) == 5 * 10**9


def test_the_first_kill_counts():
    assert kill_at([parse_fault("kill@9s", []), parse_fault("kill@4s", [])]) == 4.0
    assert kill_at([]) is None


# The node.


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


# The command.


class Command(Process):
    """``lram mock-robot`` as a process."""

    def __init__(self, folder, *arguments):
        self.log = folder / "mock.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lram_core.cli", "mock-robot", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=default_signals,
            )


@pytest.fixture
def command(tmp_path, ros_domain):
    started = []

    def command(*arguments):
        started.append(Command(tmp_path, *arguments))
        return started[-1]

    yield command
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(command, number):
    mock = command("metaworld", "--", "--ros-args", "-r", "__ns:=/left")
    mock.wait_for("MOCK ROBOT, no hardware: sawyer")
    time.sleep(0.5)
    assert mock.stop(number) == 0
    assert "Traceback" not in mock.output
    assert "left.mock_robot" in mock.output


def test_kill_is_a_kill(command):
    mock = command("metaworld", "--fault", "kill@300ms")
    assert mock.wait() == -signal.SIGKILL
    assert "mock: fault begins: kill@0.3s" in mock.output


def test_a_wrong_command_line_is_one_line(command):
    for arguments, words in (
        (("metaworld", "--fault", "melt@3s"), "kind 'melt' is unknown"),
        (("metaworld", "--size", "w"), "expected FIELD=N"),
        (("nowhere",), "config/nowhere.yaml is not part of this installation"),
        (("./nowhere.yaml",), "nowhere.yaml: No such file"),
    ):
        mock = command(*arguments)
        assert mock.wait() == 2
        (line,) = mock.output.splitlines()
        assert line.startswith("error: ")
        assert words in line


def test_a_shipped_contract_is_found_by_name():
    assert find_contract("metaworld") == CONFIG / "metaworld.yaml"
    assert find_contract("some/arm.yaml") == Path("some/arm.yaml")


def test_joints_of_a_contract_are_named_once(arm):
    assert joint_names(arm) == ["shoulder", "elbow"]
