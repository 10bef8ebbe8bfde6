"""Recordings of a small arm, written message by message with the bag library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray

from lram_ros.bag_types import BagTypes
from lram_ros.bags.messages import to_bag
from lram_ros.robot_contract import RobotContract

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
JOINTS, DISTANCE, COMMANDS = "/joint_states", "/distance", "/arm/commands"
KINDS = {
    JOINTS: "sensor_msgs/msg/JointState",
    DISTANCE: "std_msgs/msg/Float64",
    COMMANDS: "std_msgs/msg/Float64MultiArray",
}
CONTRACT = {
    "format_version": 1,
    "robot": "two_joint_arm",
    "gripper": "none",
    "control_rate": 10.0,
    "tick_source": "clock",
    "inputs": [
        {
            "topic": "joint_states",
            "type": KINDS[JOINTS],
            "max_age": 0.15,
            "fields": {
                "joint_position": {"path": "position", "names": ["a", "b"], "unit": "rad"},
            },
        },
        {
            "topic": "distance",
            "type": KINDS[DISTANCE],
            "max_age": 0.5,
            "fields": {"distance": {"path": "data", "unit": "m"}},
        },
    ],
    "commands": [
        {
            "adapter": "forward_position",
            "topic": "arm/commands",
            "fields": {
                "shoulder": {"joint": "a", "unit": "rad", "low": -10.0, "high": 10.0},
                "elbow": {"joint": "b", "unit": "rad", "low": -10.0, "high": 10.0},
            },
        }
    ],
}

Record = tuple[int, str, Any]  # time in ns, topic, message


def arm() -> RobotContract:
    return RobotContract.from_dict(CONTRACT, "arm.yaml")


def recording(seconds: float = 2.0) -> list[Record]:
    """What the arm says: joints at 50 Hz, a distance at 5 Hz, commands at 12.5 Hz."""
    records: list[Record] = []
    for tick in range(round(seconds * 50)):
        time = START + tick * SECOND // 50
        message = JointState(name=["b", "other", "a"], position=[-tick / 10, 9.0, tick / 10])
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(time - 2_000_000, SECOND)
        records.append((time, JOINTS, message))
    for tick in range(round(seconds * 5)):
        records.append((START + tick * SECOND // 5, DISTANCE, Float64(data=float(tick))))
    for tick in range(round(seconds * 12.5)):
        time = START + 5_000_000 + tick * SECOND * 2 // 25
        records.append((time, COMMANDS, Float64MultiArray(data=[0.5 * tick, -0.25 * tick])))
    return sorted(records, key=lambda record: record[0])


def write_bag(
    path: Path,
    records: list[Record],
    storage: str = "mcap",
    publishers: int = 1,
    change: Callable[[str, str], str] = lambda topic, definition: definition,
    kinds: dict[str, str] | None = None,
) -> Path:
    """Write records in the order given.

    Args:
        path: folder of the bag.
        records: time, topic, message.
        storage: mcap or sqlite3.
        publishers: how many of the command topic the recorder saw.
        change: (topic, definition) → the definition to record instead.
        kinds: topic → type of further topics.
    """
    types, connections = BagTypes(), {}
    known = {**KINDS, **(kinds or {})}
    with Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()]) as bag:
        for time, topic, message in records:
            kind = known[topic]
            if topic not in connections:
                definition, digest = types.definition(kind)
                changed = change(topic, definition)
                connections[topic] = bag.add_connection(
                    topic,
                    kind,
                    msgdef=changed,
                    rihs01=digest if changed == definition else "RIHS01_" + "0" * 64,
                    offered_qos_profiles=[QOS] * (publishers if topic == COMMANDS else 1),
                )
            if not isinstance(message, types.store.types[kind]):  # one that a bag gave is as it is
                message = to_bag(types.store, kind, message)
            data = types.store.serialize_cdr(message, kind)
            bag.write(connections[topic], time, data)
    return path


def expected(records: list[Record], ticks: list[int], hold: float = 0.25) -> tuple[Any, Any]:
    """Observation and action at each time, found by looking through the whole recording."""
    observations, actions = [], []
    for tick in ticks:
        joints = [m for t, topic, m in records if topic == JOINTS and t <= tick][-1]
        place = dict(zip(joints.name, joints.position, strict=True))
        distance = [m for t, topic, m in records if topic == DISTANCE and t <= tick][-1]
        observations.append([place["a"], place["b"], distance.data])
        commands = [m for t, topic, m in records if topic == COMMANDS and t < tick + SECOND // 10]
        actions.append(list(commands[-1].data))
    return np.array(observations, np.float32), np.array(actions, np.float32)


QOS = Qos(
    history=QosHistory.KEEP_LAST,
    depth=10,
    reliability=QosReliability.RELIABLE,
    durability=QosDurability.VOLATILE,
    deadline=QosTime(0, 0),
    lifespan=QosTime(0, 0),
    liveliness=QosLiveliness.AUTOMATIC,
    liveliness_lease_duration=QosTime(0, 0),
    avoid_ros_namespace_conventions=False,
)
