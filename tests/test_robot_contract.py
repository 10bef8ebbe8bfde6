"""Robot contracts: reading them, and comparing them with a bundle's contract."""

from __future__ import annotations

import copy
import dataclasses
import math
import re

import pytest
import yaml
from ros_graph import CONTRACT

from lram_core.contract import ObservationField
from lram_core.errors import ContractError
from lram_ros.adapters.kinds import KINDS
from lram_ros.adapters.table import ADAPTERS
from lram_ros.contract_check import check_contract, check_types
from lram_ros.robot_contract import RobotContract
from lram_ros.units import TABLE
from lram_sim.metaworld import policy_contract


@pytest.fixture
def data():
    return yaml.safe_load(CONTRACT.read_text())


@pytest.fixture
def policy():
    return policy_contract(target_returns={"default": 1500.0}, context=50)


def write(tmp_path, data):
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def put(data, path, value):
    """Set ``a.0.b`` in nested lists and mappings; the value ... deletes."""
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in parents:
        data = data[key]
    if value is ...:
        del data[last]
    else:
        data[last] = value


def test_shipped_contract_fits_metaworld(policy):
    robot = RobotContract.load(CONTRACT)
    check_contract(robot, policy)
    assert set(robot.observation_fields) == set(policy.sensors)
    assert [topic.topic for topic in robot.topics[-2:]] == ["reward", "episode"]


def test_a_robot_may_have_no_reward(tmp_path, data, policy):
    robot = RobotContract.load(write(tmp_path, {**data, "reward": {"constant": 0}}))
    check_contract(robot, policy)
    assert robot.reward == 0.0
    assert [topic.topic for topic in robot.topics[-2:]] == ["goal", "episode"]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("robot", ..., ["key 'robot' is missing", "gripper"]),
        ("robot", 3, ["robot: expected a non-empty text, found 3"]),
        ("color", "red", ["unknown key color", "control_rate"]),
        ("format_version", 2, ["format_version: expected 1", "found 2"]),
        ("control_rate", 0, ["control_rate: expected a positive number", "found 0"]),
        ("control_rate", float("nan"), ["control_rate: expected a number"]),
        ("control_rate", True, ["control_rate: expected a number, found True"]),
        ("tick_source", "timer", ["tick_source: expected one of observation, clock", "'timer'"]),
        ("inputs", [], ["inputs: expected a non-empty list"]),
        ("inputs.0.type", "PoseStamped", ["inputs[0]: type: expected a message type"]),
        ("inputs.0.max_age", -1, ["inputs[0]: max_age: expected a positive number, found -1"]),
        ("inputs.0.reliability", "sure", ["reliability: expected one of reliable, best_effort"]),
        ("inputs.1.fields.gripper_opening.names", [], ["names: expected a non-empty list"]),
        ("inputs.1.fields.gripper_opening.names", ["a", "a"], ["name a is given more than once"]),
        ("inputs.0.fields.ee_position.unit", ..., ["ee_position: key 'unit' is missing"]),
        ("inputs.2.topic", "goal", ["topic goal is given more than once"]),
        ("inputs.4.fields.ee_position", {"path": "point", "unit": "m"}, ["field ee_position"]),
        ("command.fields.ee_dx.low", 2, ["command: fields: ee_dx: low 2 must be below high 1"]),
        ("reward", None, ["reward: expected a mapping, found None"]),
        ("reward", {"constant": "0"}, ["reward: constant: expected a number, found '0'"]),
        ("reward", {"constant": math.inf}, ["reward: constant must be finite, found inf"]),
        ("reward.constant", 0, ["unknown key max_age, path, topic, type; expected constant"]),
    ],
)
def test_malformed_contract_is_one_clear_error(tmp_path, data, path, value, words):
    put(data, path, value)
    path = write(tmp_path, data)
    with pytest.raises(ContractError) as caught:
        RobotContract.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unreadable_file(tmp_path):
    with pytest.raises(ContractError, match="No such file"):
        RobotContract.load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("robot: [unclosed")
    with pytest.raises(ContractError, match="not valid YAML"):
        RobotContract.load(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContractError, match="not a text file"):
        RobotContract.load(broken)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("robot", "panda", ["robot is 'panda'", "'sawyer'"]),
        ("gripper", "robotiq85", ["gripper is 'robotiq85'", "'metaworld_parallel'"]),
        ("control_rate", 50.0, ["50 Hz", "80 Hz"]),
        ("inputs.0.fields.ee_position.path", "pose", ["gives 7 values", "expects 3"]),
        ("inputs.0.fields.ee_position.unit", "deg", ["unit is 'deg'", "expects 'm'", "m, cm, mm"]),
        ("inputs.0.fields.ee_position.path", "pose.place", ["no field 'place'", "orientation"]),
        ("inputs.0.fields.ee_position.path", "header.frame_id", ["not a set of numbers"]),
        ("inputs.0.type", "geometry_msgs/msg/Poze", ["Poze is unknown", "PoseStamped"]),
        ("inputs.0.type", "no_such_msgs/msg/Pose", ["package no_such_msgs is not"]),
        ("inputs.0.type", "geometry_msgs/msg/Pose", ["has no header", "tick_source"]),
        ("inputs.0.fields.ee_position.names", ["x"], ["names need a sequence"]),
        ("inputs.1.fields.gripper_opening.names", ["a", "b"], ["gives 2 values", "expects 1"]),
        ("command.type", "std_msgs/msg/Header", ["command: type is std_msgs/msg/Header"]),
        ("episode.type", "std_msgs/msg/Header", ["expected lram_ros/msg/EpisodeStatus"]),
        ("reward.path", "header.stamp", ["expected one number, found 2"]),
        ("command.fields.ee_dx.unit", "m", ["unit is 'm'", "'0.01 m'"]),
        ("command.fields.ee_dx", {"unit": "0.01 m", "low": 2, "high": 3}, ["do not overlap"]),
        ("command.fields.gripper", ..., ["gripper is missing", "ee_dx, ee_dy, ee_dz"]),
    ],
)
def test_misfit_names_both_sides(tmp_path, data, policy, path, value, words):
    put(data, path, value)
    robot = RobotContract.load(write(tmp_path, data))
    with pytest.raises(ContractError) as caught:
        check_contract(robot, policy)
    for word in [str(tmp_path), *words]:
        assert word in str(caught.value)


def test_field_of_another_name(tmp_path, data, policy):
    fields = data["inputs"][0]["fields"]
    fields["hand_position"] = fields.pop("ee_position")
    robot = RobotContract.load(write(tmp_path, data))
    with pytest.raises(ContractError) as caught:
        check_contract(robot, policy)
    assert "ee_position is missing and hand_position is not in the bundle" in str(caught.value)
    assert "gripper_opening" in str(caught.value)


def test_bundle_that_wants_more(policy):
    robot = RobotContract.load(CONTRACT)
    more = (*policy.observation, ObservationField("wrist_force", 3, "N"))
    with pytest.raises(ContractError, match="wrist_force is missing"):
        check_contract(robot, dataclasses.replace(policy, observation=more))


def test_delayed_fields_need_no_topic_of_their_own(policy):
    robot = RobotContract.load(CONTRACT)
    now = tuple(field for field in policy.observation if field.delay == 0)
    check_contract(robot, dataclasses.replace(policy, observation=now))


def test_contract_is_not_changed_by_reading(data):
    before = copy.deepcopy(data)
    RobotContract.from_dict(data)
    assert data == before


def test_robot_without_reward_and_episode(data):
    del data["reward"], data["episode"]
    robot = RobotContract.from_dict(data)
    assert robot.reward == 0.0
    assert robot.episode is None
    assert robot.topics == robot.inputs


def test_one_native_command_is_a_sink_like_others(data):
    robot = RobotContract.from_dict(data)
    assert robot.sinks == (robot.command,)
    assert (robot.command.adapter, robot.command.quantity) == ("native", "native")
    sink = {**data.pop("command"), "adapter": "native"}
    assert RobotContract.from_dict({**data, "commands": [sink]}) == robot


def test_command_of_a_robot_with_other_sinks_is_an_error():
    robot = RobotContract.load(CONTRACT.with_name("panda_joint_position.yaml"))
    assert robot.action_names == [*(f"joint_{i}" for i in range(1, 8)), "gripper"]
    with pytest.raises(ContractError, match=r"expected one native command, found .*_trajectory\)"):
        _ = robot.command


def test_example_in_the_manual_is_a_contract():
    manual = (CONTRACT.parents[1] / "docs" / "contract.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", manual, flags=re.DOTALL)
    robot = RobotContract.from_dict(yaml.safe_load(example))
    assert robot.action_names == ["ee_dx", "ee_dy", "ee_dz"]
    check_types(robot)


def test_manual_names_every_adapter_and_unit():
    manual = (CONTRACT.parents[1] / "docs" / "contract.md").read_text()
    for name in (*ADAPTERS, *KINDS, *(unit for units in TABLE.values() for unit in units)):
        assert f"`{name}`" in manual


def test_command_and_commands_exclude_each_other(data):
    with pytest.raises(ContractError, match="both 'command' and 'commands'"):
        RobotContract.from_dict({**data, "commands": [{}]})
    del data["command"]
    with pytest.raises(ContractError, match="key 'command' is missing"):
        RobotContract.from_dict(data)


def test_two_sinks_share_neither_topic_nor_field(data):
    del data["command"]
    joint = {"unit": "rad", "low": -1, "high": 1}
    sink = {"adapter": "forward_position", "topic": "a", "fields": {"j1": joint}}
    for other, words in (({"topic": "a"}, "topic a"), ({"topic": "b"}, "field j1")):
        fields = {"j1" if other["topic"] == "b" else "j2": joint}
        with pytest.raises(ContractError, match=f"commands: {words} is given more than once"):
            RobotContract.from_dict(
                {**data, "commands": [sink, {**sink, **other, "fields": fields}]}
            )


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"history": 0}, "history: expected a whole number of at least 1, found 0"),
        ({"range": [1, 1]}, "range: expected [low, high], finite and low below high"),
        ({"range": []}, "range: expected [low, high]"),
        ({"range": [[0, 1], [0]]}, "range: expected [low, high]"),
        ({"normalised": [0, 1]}, "unknown key normalised"),
        ({"joint": "a"}, "unknown key joint"),
    ],
)
def test_malformed_field(data, keys, words):
    data["inputs"][0]["fields"]["ee_position"].update(keys)
    with pytest.raises(ContractError) as caught:
        RobotContract.from_dict(data)
    assert words in str(caught.value)


def test_pictures(data):
    camera = {"topic": "camera", "type": "sensor_msgs/msg/Image", "max_age": 0.2}
    picture = {"height": 84, "width": 96}
    fields = {"view": {**picture, "colour": "mono"}}
    robot = RobotContract.from_dict({**data, "inputs": [{**camera, "fields": fields}]})
    assert robot.inputs[0].image.values == 84 * 96
    for fields, words in (
        ({"view": {"height": 84}}, "key 'width' is missing"),
        ({"view": {**picture, "unit": "m"}}, "unknown key unit"),
        ({"a": picture, "b": picture}, "one picture is one field, found a, b"),
    ):
        with pytest.raises(ContractError, match=words):
            RobotContract.from_dict({**data, "inputs": [{**camera, "fields": fields}]})
