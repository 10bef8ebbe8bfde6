"""The start of the policy node: what it refuses, and how it ends as a process."""

from __future__ import annotations

import math
import signal

import pytest
import yaml
from geometry_msgs.msg import Vector3Stamped
from rclpy.node import Node
from ros_graph import CONTRACT, Peer, Robot, parameters, processes

from lram_core.errors import LramError
from lram_ros.policy_node import PolicyNode
from lram_ros.policy_parameters import PARAMETERS


@pytest.fixture
def peer(ros_domain):
    with Peer("robot") as peer:
        yield peer


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["parameter bundle is not set"]),
        ({"bundle": "nowhere"}, ["nowhere"]),
        ({"bundle": "nowhere", "contract": "none.yaml"}, ["none.yaml", "No such file"]),
        ({"bundle": 3}, ["parameter bundle"]),
        ({"bundle": "nowhere", "threads": 0}, ["parameter threads: expected 1 to 256"]),
        ({"bundle": "nowhere", "target_return": math.inf}, ["target_return"]),
        ({"bundle": "nowhere", "topic_timeout": -1.0}, ["topic_timeout"]),
    ],
)
def test_bad_parameters(peer, values, words):
    with pytest.raises(LramError) as caught:
        PolicyNode(context=peer.context, parameter_overrides=parameters(**values)).bring_up()
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
        assert node.wait(120) == 2
    assert node.output.startswith("error: ")
    assert len(node.output.splitlines()) == 1
    for word in [str(path), *words]:
        assert word in node.output


def test_process_refuses_a_topic_of_another_type(peer, tmp_path, tiny_bundle):
    Robot(peer.node, goal=Vector3Stamped)
    with processes(tmp_path) as start:
        node = start("lram_ros.policy_node", bundle=tiny_bundle, contract=CONTRACT)
        assert node.wait(120) == 2
    assert "/goal is published as geometry_msgs/msg/Vector3Stamped" in node.output


def test_process_refuses_while_a_topic_is_missing(peer, tmp_path, tiny_bundle):
    Robot(peer.node, object_1__pose=None)
    with processes(tmp_path) as start:
        node = start(
            "lram_ros.policy_node", bundle=tiny_bundle, contract=CONTRACT, topic_timeout=8.0
        )
        assert node.wait(120) == 2
    assert node.output.startswith("error: ")
    assert len(node.output.splitlines()) == 1
    missing, there = node.output.split("; published are ")
    assert missing.endswith("no publisher of /object_1/pose within 8 s")
    for topic in Robot.kinds:
        assert (f"/{topic} (" in there) == (topic != "object_1/pose")


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
        node.bring_up()
    assert isinstance(node, Node)
    for name in PARAMETERS:
        described = node.describe_parameter(name)
        assert described.description
        assert described.read_only == (name not in ("bundle", "target_return"))
        numbers = isinstance(PARAMETERS[name][0], (int, float)) and name != "target_return"
        ranges = [*described.floating_point_range, *described.integer_range]
        assert bool(ranges) == (numbers and not isinstance(PARAMETERS[name][0], bool))
