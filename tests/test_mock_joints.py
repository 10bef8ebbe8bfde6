"""Joints and sensors of the mock robot: what moves by which command, and what is then read."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mock_rig import ARM, SHIPPED, mock_arm, read_set

from lram_ros.adapters.registry import make_adapters
from lram_ros.assembly import InputReader, stamp_of
from lram_ros.mock.joints import Joint, Joints, joint_names
from lram_ros.mock.sensors import MessageMaker
from lram_ros.robot_contract import RobotContract


@pytest.fixture
def arm():
    return mock_arm()


def made(contract, index, seconds=0.0, stamp=7, joints=None):
    maker = MessageMaker(contract.topics[index], {})
    return maker, maker.make(seconds, stamp, joints or Joints(contract, 0.02))


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


def test_joints_of_a_contract_are_named_once(arm):
    assert joint_names(arm) == ["shoulder", "elbow"]


# Sensors.


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
