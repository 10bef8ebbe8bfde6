"""A contract of a two-jointed arm for the mock robot, and what a reader gets of it."""

from __future__ import annotations

import copy
from pathlib import Path

from lram_ros.assembly import InputSet
from lram_ros.mock.joints import Joints
from lram_ros.mock.sensors import MessageMaker
from lram_ros.robot_contract import RobotContract

CONFIG = Path(__file__).parents[1] / "config"
SHIPPED = sorted(CONFIG.glob("*.yaml"))


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


def mock_arm():
    """The contract; each time another, as a test may change it."""
    return RobotContract.from_dict(copy.deepcopy(ARM))


def read_set(contract, seconds=0.0, stamp=7, joints=None):
    """One set of a contract's messages as the mock would send them at a time."""
    joints = joints or Joints(contract, 0.02)
    messages = tuple(
        MessageMaker(topic, {}).make(seconds, stamp, joints) for topic in contract.topics
    )
    return InputSet(stamp, messages, (0.0,) * len(messages))
