"""Command adapters: the messages controllers take, against recorded ones and over the wire."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message
from ros_graph import Peer

from lram_core.errors import ContractError
from lram_ros.adapters.base import CommandValueError
from lram_ros.adapters.registry import make_adapter, make_adapters
from lram_ros.adapters.sink import CommandSink, read_sink
from lram_ros.adapters.table import ADAPTERS, DIMENSIONS, SAFE
from lram_ros.message_fields import InputError, message_class
from lram_ros.qos import command_qos
from lram_ros.robot_contract import RobotContract
from lram_ros.yaml_section import Section

DATA = Path(__file__).parent / "data" / "commands"
EXAMPLES = {path.stem: json.loads(path.read_text()) for path in sorted(DATA.glob("*.json"))}
STAMP = 1_700_000_000_250_000_000
PERIOD = 0.05
CONFIG = Path(__file__).parents[1] / "config"


def make(example, **changes):
    data = {**example["sink"], **changes}
    return make_adapter(read_sink(Section(data, "robot.yaml: commands[0]"), CONFIG), PERIOD)


def encode(adapter, values):
    return adapter.encode(values, STAMP, episode=3, tick=41)


def recorded(example):
    return deserialize_message(bytes.fromhex(example["cdr"]), message_class(example["type"]))


def filled(message, fields):
    """Write nested plain data into a message."""
    for name, value in fields.items():
        if isinstance(value, dict):
            filled(getattr(message, name), value)
        elif name == "points":
            point = message_class("trajectory_msgs/msg/JointTrajectoryPoint")
            message.points = [filled(point(), item) for item in value]
        else:
            setattr(message, name, value)
    return message


@pytest.fixture(params=EXAMPLES)
def example(request):
    return EXAMPLES[request.param]


def test_every_adapter_has_an_example():
    assert {example["sink"]["adapter"] for example in EXAMPLES.values()} == set(ADAPTERS)
    used = {(e["sink"]["adapter"], e["type"]) for e in EXAMPLES.values()}
    assert used == {(name, kind) for name, spec in ADAPTERS.items() for kind in spec.types}


def test_message_is_the_recorded_one(example):
    message = encode(make(example), example["values"])
    assert message == recorded(example)
    assert message == filled(message_class(example["type"])(), example["message"])


def test_recorded_message_is_read_back(example):
    assert make(example).decode(recorded(example)).tolist() == example["values"]


@settings(deadline=None)
@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_decode_undoes_encode(name, data):
    adapter = make(EXAMPLES[name])
    values = [
        data.draw(st.floats(allow_nan=False, allow_infinity=False)) for _ in adapter.sink.fields
    ]
    assert adapter.decode(encode(adapter, values)).tolist() == values


@settings(deadline=None)
@given(st.permutations(["shoulder", "elbow", "wrist", "finger"]))
def test_named_commands_are_read_in_any_order(order):
    values = {"shoulder": 1.0, "elbow": 2.0, "wrist": 3.0, "finger": 4.0}
    states, trajectory = (
        make(EXAMPLES[name]) for name in ("joint_state_command", "joint_trajectory")
    )
    message = states.message_type(name=list(order), position=[values[n] for n in order])
    assert states.decode(message).tolist() == [1.0, 2.0, 3.0]
    message = encode(trajectory, [0.0, 0.0, 0.0])
    message.joint_names = list(order)
    message.points[0].positions = [values[n] for n in order]
    assert trajectory.decode(message).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("bad", [[], [0.0] * 9, [math.nan], [math.inf]])
def test_values_that_are_no_command_are_refused(example, bad):
    adapter = make(example)
    if bad and not math.isfinite(bad[0]):
        bad = [*example["values"][1:], *bad]
        words = "not finite"
    else:
        words = f"{len(bad)} values, expected {len(adapter.sink.fields)}: "
    with pytest.raises(CommandValueError, match=words) as caught:
        encode(adapter, bad)
    assert f"{adapter.sink.topic} ({adapter.sink.adapter})" in str(caught.value)


def test_messages_that_a_controller_would_refuse():
    forward = make(EXAMPLES["forward_position"])
    with pytest.raises(InputError, match="2 values, expected 3: shoulder, elbow, wrist"):
        forward.decode(forward.message_type(data=[1.0, 2.0]))
    with pytest.raises(InputError, match="not finite"):
        forward.decode(forward.message_type(data=[1.0, 2.0, math.nan]))
    states = make(EXAMPLES["joint_state_command"])
    for names, values, words in (
        (["shoulder", "elbow"], [1.0, 2.0], "no wrist; it has shoulder, elbow"),
        (["shoulder", "elbow", "wrist", "wrist"], [1.0] * 4, "wrist given more than once"),
        (["shoulder", "elbow", "wrist"], [], "3 names, but 0 values"),
    ):
        with pytest.raises(InputError, match=words):
            states.decode(states.message_type(name=names, position=values))
    trajectory = make(EXAMPLES["joint_trajectory"])
    message = encode(trajectory, [0.0, 0.0, 0.0])
    message.points = []
    with pytest.raises(InputError, match="0 points, expected one"):
        trajectory.decode(message)


def test_trajectory_takes_one_control_period_unless_told():
    data = {k: v for k, v in EXAMPLES["joint_trajectory"]["sink"].items() if k != "time_from_start"}
    message = encode(make({"sink": data}), [0.0, 0.0, 0.0])
    assert message.points[0].time_from_start.nanosec == 50_000_000
    # "From now on": a stamp in the past would have the controller drop the point.
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)


def test_messages_do_not_share_what_they_hold():
    adapter = make(EXAMPLES["forward_position"])
    first = encode(adapter, [1.0, 2.0, 3.0])
    encode(adapter, [4.0, 5.0, 6.0])
    assert list(first.data) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("forward_position", {"adapter": "servo"}, ["one of forward_position", "'servo'"]),
        ("forward_position", {"type": "std_msgs/msg/Float64"}, ["sends std_msgs/msg/Float64Multi"]),
        ("forward_position", {"time_from_start": 1.0}, ["unknown key time_from_start"]),
        ("forward_position", {"safe": "zero"}, ["one of hold, decelerate, none", "'zero'"]),
        ("forward_position", {"safe": "decelerate"}, ["needs max_acceleration in every field"]),
        ("forward_velocity", {"delta_reference": "command"}, ["unknown key delta_reference"]),
        ("joint_trajectory", {"time_from_start": 0}, ["expected a positive number", "found 0"]),
        ("joint_state_command", {"quantity": "force"}, ["one of position, velocity, effort"]),
        ("joint_state_command", {"quantity": "velocity"}, ["'rad' is a unit of angle", "velocity"]),
        ("gripper", {"max_effort": 3.0}, ["max_effort goes with a position in a sensor_msgs"]),
        ("native", {"frame": "base"}, ["unknown key frame"]),
    ],
)
def test_sink_that_makes_no_sense_is_one_clear_error(name, changes, words):
    with pytest.raises(ContractError) as caught:
        make(EXAMPLES[name], **changes)
    for word in ["robot.yaml: commands[0]", *words]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "field", "words"),
    [
        ("forward_position", {"unit": "rad/s"}, ["'rad/s' is a unit of angular velocity", "angle"]),
        ("forward_velocity", {"unit": "rad"}, ["'rad' is a unit of angle", "takes velocity"]),
        ("forward_effort", {"unit": "rad"}, ["torque, force, current"]),
        ("forward_position", {"unit": "degrees"}, ["unit 'degrees' is unknown"]),
        ("forward_position", {"unit": "1"}, ["'1' is a unit of plain number"]),
        ("forward_position", {"low": 4.0}, ["low 4 must be below high 3"]),
        ("forward_velocity", {"max_velocity": 1.0}, ["unknown key max_velocity"]),
        ("forward_position", {"range": [1.0, 0.0]}, ["range: expected [low, high]"]),
        ("forward_position", {"joint": "elbow"}, ["joint or axis elbow is given more than once"]),
    ],
)
def test_field_that_does_not_fit_its_sink(name, field, words):
    fields = {k: dict(v) for k, v in EXAMPLES[name]["sink"]["fields"].items()}
    fields["shoulder"].update(field)
    with pytest.raises(ContractError) as caught:
        make(EXAMPLES[name], fields=fields)
    for word in words:
        assert word in str(caught.value)


def test_twist_axes():
    fields = EXAMPLES["twist"]["sink"]["fields"]
    with pytest.raises(ContractError, match="one of x, y, z, rx, ry, rz"):
        make(EXAMPLES["twist"], fields={"a": {**fields["ee_vx"], "axis": "yaw"}})
    with pytest.raises(ContractError, match="a unit of angular velocity"):
        make(EXAMPLES["twist"], fields={"a": {**fields["ee_vx"], "axis": "rx"}})
    slow = {**fields["ee_vx"], "unit": "mm/s", "low": -200, "high": 200}
    adapter = make(EXAMPLES["twist"], fields={"ee_vx": slow})
    message = encode(adapter, [125.0])
    assert message.twist.linear.x == pytest.approx(0.125)  # a TwistStamped is in m/s
    assert adapter.decode(message) == pytest.approx([125.0])


def test_gripper_takes_one_field():
    fields = EXAMPLES["forward_position"]["sink"]["fields"]
    with pytest.raises(ContractError, match="adapter gripper takes one field, found 3"):
        make(EXAMPLES["gripper"], fields=fields)


def test_unknown_adapter_lists_those_there_are():
    with pytest.raises(ContractError, match="'servo' is unknown; there are forward_position, "):
        make_adapter(CommandSink("t", "std_msgs/msg/Float64", (), adapter="servo"), PERIOD)


def test_table_is_complete():
    for spec in ADAPTERS.values():
        assert set(spec.quantities) <= set(SAFE)
        assert set(spec.quantities) <= {*DIMENSIONS, "native"}


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_contracts_have_adapters(path):
    robot = RobotContract.load(path)
    for adapter in make_adapters(robot):
        values = [(field.low + field.high) / 2 for field in adapter.sink.fields]
        assert adapter.decode(encode(adapter, values)).tolist() == values


def test_every_message_through_dds(ros_domain):
    with Peer("adapters") as peer:
        lines = []
        for name, example in EXAMPLES.items():
            adapter = make(example)
            topic = f"{name}/{adapter.sink.topic}"
            found = []
            peer.node.create_subscription(
                adapter.message_type, topic, found.append, command_qos(adapter.sink)
            )
            publisher = peer.node.create_publisher(
                adapter.message_type, topic, command_qos(adapter.sink)
            )
            lines.append((adapter, example, publisher, found))
        peer.until(lambda: all(p.get_subscription_count() for _, _, p, _ in lines))
        for adapter, example, publisher, _ in lines:
            publisher.publish(encode(adapter, example["values"]))
        peer.until(lambda: all(found for _, _, _, found in lines))
        for adapter, example, _, found in lines:
            assert found == [recorded(example)]
            assert adapter.decode(found[0]).tolist() == example["values"]
