"""The recorder as a real process: what was published is in the bag, readable by others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
import rclpy
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg
from std_msgs.msg import String

from lram_ros.bag_types import BagTypes
from lram_ros.msg import PolicyTick

RELIABLE = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@contextmanager
def recording(output):
    """A recorder process, with default signals as from a shell."""
    command = [sys.executable, "-m", "lram_ros.recorder", "--ros-args", "-p", f"output:={output}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def node(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("robot", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


def wait_for_subscribers(*publishers):
    deadline = time.monotonic() + 30
    while not all(p.get_subscription_count() for p in publishers):
        assert time.monotonic() < deadline, "the recorder did not subscribe"
        time.sleep(0.02)


def ticks(count):
    for number in range(count):
        message = PolicyTick(episode=2, tick=number, observation=[0.5, number])
        message.header.stamp.sec = number
        message.action_name = ["ee_dx", "gripper"]
        message.commanded_action = [0.25, -1.0]
        message.clipped = [False, True]
        yield message


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_bag_holds_every_message(node, tmp_path, stop):
    policy = node.create_publisher(PolicyTick, "policy/tick", RELIABLE)
    sensor = node.create_publisher(String, "sensor", BEST_EFFORT)
    latched = node.create_publisher(String, "description", LATCHED)
    latched.publish(String(data="published before the recorder started"))
    bag = tmp_path / "bag"
    with recording(bag) as process:
        wait_for_subscribers(policy, sensor, latched)
        for message in ticks(200):
            policy.publish(message)
            sensor.publish(String(data=f"reading {message.tick}"))
            time.sleep(0.001)
        for publisher in (policy, latched):
            assert publisher.wait_for_all_acked(Duration(seconds=60))  # arrived, maybe not written
        os.kill(process.pid, stop)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors

    types = BagTypes().store
    with Reader(bag) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
        assert counts["/policy/tick"] == 200
        assert counts["/description"] == 1
        assert 0 < counts["/sensor"] <= 200  # best effort
        found = []
        for connection, _, data in reader.messages():
            if connection.topic == "/policy/tick":
                definition = connection.msgdef.data
                types.register(get_types_from_msg(definition, connection.msgtype))
                found.append(types.deserialize_cdr(data, connection.msgtype))
    assert [message.tick for message in found] == list(range(200))
    assert found[7].header.stamp.sec == 7
    assert list(found[7].observation) == [0.5, 7]
    assert found[7].action_name == ["ee_dx", "gripper"]
    assert list(found[7].commanded_action) == [0.25, -1.0]
    assert list(found[7].clipped) == [False, True]

    # and by a reader that knows nothing but the file
    with next(bag.glob("*.mcap")).open("rb") as stream:
        decoded = [
            message
            for _, _, _, message in make_reader(
                stream, decoder_factories=[DecoderFactory()]
            ).iter_decoded_messages(topics=["/policy/tick"])
        ]
    assert [message.tick for message in decoded] == list(range(200))
    assert decoded[199].clipped == [False, True]


def test_type_hash_is_the_live_graphs(node):
    node.create_publisher(PolicyTick, "policy/tick", RELIABLE)
    deadline = time.monotonic() + 10
    while not (infos := node.get_publishers_info_by_topic("/policy/tick")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    _, type_hash = BagTypes().definition("lram_ros/msg/PolicyTick")
    assert type_hash == str(infos[0].topic_type_hash)


def test_existing_bag_is_refused(ros_domain, tmp_path):
    with recording(tmp_path) as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert errors == f"error: recorder: {tmp_path} exists already; a bag is never overwritten\n"
