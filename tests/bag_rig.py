"""Bags for tests: written message by message, and read back as traces."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path

import yaml
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from lram_core.testing import random_bundle
from lram_ros.bag_types import BagTypes
from lram_ros.msg import PolicyTick
from lram_ros.qos import data_qos
from lram_ros.recorder import bag_qos

MILLISECOND = 1_000_000


@cache
def _definition(type_name):
    return BagTypes().definition(type_name)


def type_name(message):
    package, kind, name = type(message).__module__.split(".")[0], "msg", type(message).__name__
    return f"{package}/{kind}/{name}"


def write_bag(path, messages, storage=StoragePlugin.MCAP, publishers=None):
    """Write (time in ns, topic, message); ``publishers``: topic → how many a recorder saw."""
    with Writer(path, version=8, storage_plugin=storage) as bag:
        links = {}
        for time, topic, message in messages:
            name = type_name(message)
            if topic not in links:
                text, digest = _definition(name)
                seen = [bag_qos(data_qos())] * (publishers or {}).get(topic, 1)
                links[topic] = bag.add_connection(
                    topic, name, msgdef=text, rihs01=digest, offered_qos_profiles=seen
                )
            bag.write(links[topic], time, serialize_message(message))
    return Path(path)


def set_hash(bag, topic, digest):
    """Change what a bag says of how a topic's type was defined; empty: as bags before Iron."""
    path = bag / "metadata.yaml"
    data = yaml.safe_load(path.read_text())
    for entry in data["rosbag2_bagfile_information"]["topics_with_message_count"]:
        if entry["topic_metadata"]["name"] == topic:
            entry["topic_metadata"]["type_description_hash"] = digest
    path.write_text(yaml.safe_dump(data))


def read_traces(path, topic="/policy/tick"):
    """Every PolicyTick of a bag, in order."""
    with Reader(path) as bag:
        links = [link for link in bag.connections if link.topic == topic]
        return [deserialize_message(bytes(m), PolicyTick) for _, _, m in bag.messages(links)]


def record_demo(folder, episodes=2, max_steps=40):
    """Run ``lram demo`` with a random policy; returns (its bundle, its bag)."""
    from lram_sim.metaworld import policy_contract

    contract = policy_contract(target_returns={"default": 1500.0}, context=50)
    bundle = random_bundle(folder / "bundle", contract)
    command = [
        *(sys.executable, "-m", "lram_core.cli", "demo", "--no-video", "--tasks", "reach-v3"),
        *("--bundle", str(bundle), "--out", str(folder / "demo")),
        *("--episodes", str(episodes), "--max-steps", str(max_steps), "--seed", "7"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return bundle, folder / "demo" / "bag"


def other_bundle(folder, seed=1):
    """Another random policy for the robot of :func:`record_demo`."""
    from lram_sim.metaworld import policy_contract

    contract = policy_contract(target_returns={"default": 1500.0}, context=50)
    return random_bundle(folder / "another", contract, seed=seed)


def said(traces):
    """What a policy was asked and answered, without times: (episode, tick) → numbers."""
    return {
        (trace.episode, trace.tick): (
            list(trace.observation),
            trace.reward,
            trace.return_to_go,
            list(trace.raw_action),
            list(trace.commanded_action),
        )
        for trace in traces
    }
