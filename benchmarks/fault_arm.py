"""An arm of three joints for the fault campaign: its robot contract, and a policy for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lram_core.contract import ActionField, ObservationField, PolicyContract, RewardSpec
from lram_core.testing import random_bundle

JOINTS = ("shoulder", "elbow", "wrist")
RATE = 50.0
REACH = 2.8  # rad, of a joint to either side
TARGETS = 2.0  # rad, of the policy's
VELOCITY, ACCELERATION = 1.0, 4.0  # rad/s, rad/s²
COMMANDS = "arm_controller/commands"
SEED = 3  # of the policy's weights


@dataclass(frozen=True)
class Patience:
    """How long readings and ticks may take, in seconds.

    Attributes:
        max_age: of the inputs.
        watchdog: parameter of the policy node; ROS time may stand still for as long.
        late: parameter of the policy node; 0: three periods.
    """

    max_age: float = 0.1
    watchdog: float = 0.1
    late: float = 0.0


MEASURED = Patience()
PATIENT = Patience(0.6, 0.6, 0.55)
"""Where other programs take the processor for a while: in tests."""


def contract(max_age: float, motion: str = "position") -> dict[str, Any]:
    """Return the robot contract as plain data; ``motion`` is ``position`` or ``velocity``."""
    limits: dict[str, Any] = {"unit": "rad", "low": -REACH, "high": REACH, "max_velocity": VELOCITY}
    if motion == "velocity":
        limits = {"unit": "rad/s", "low": -VELOCITY, "high": VELOCITY}
    limits["max_acceleration"] = ACCELERATION
    joints = {"names": list(JOINTS)}
    return {
        "format_version": 1,
        "robot": "three_joint_arm",
        "gripper": "none",
        "control_rate": RATE,
        "tick_source": "clock",
        "inputs": [
            {
                "topic": "joint_states",
                "type": "sensor_msgs/msg/JointState",
                "max_age": max_age,
                "fields": {
                    "joint_position": {"path": "position", **joints, "unit": "rad"},
                    "joint_velocity": {"path": "velocity", **joints, "unit": "rad/s"},
                },
            },
            {
                "topic": "goal",
                "type": "geometry_msgs/msg/PointStamped",
                "max_age": max_age,
                "fields": {"goal": {"path": "point", "unit": "m"}},
            },
        ],
        "commands": [
            {
                "adapter": f"forward_{motion}",
                "topic": COMMANDS,
                "fields": {name: dict(limits) for name in JOINTS},
            }
        ],
    }


def policy(motion: str = "position") -> PolicyContract:
    """Return the contract of a bundle for the arm."""
    most, unit = (TARGETS, "rad") if motion == "position" else (VELOCITY, "rad/s")
    return PolicyContract(
        suite="fault campaign",
        robot="three_joint_arm",
        gripper="none",
        control_rate=RATE,
        observation=(
            ObservationField("joint_position", len(JOINTS), "rad"),
            ObservationField("joint_velocity", len(JOINTS), "rad/s"),
            ObservationField("goal", 3, "m"),
        ),
        action=tuple(ActionField(name, unit, f"joint_{motion}", -most, most) for name in JOINTS),
        reward=RewardSpec("none", 1.0),
        target_returns={"default": 1.0},
        context=16,
        max_episode_steps=1000,
    )


def write(folder: Path, patience: Patience, motion: str = "position") -> tuple[Path, Path]:
    """Write contract and bundle; returns their paths.

    The weights are random, and of many tried those that keep the arm in motion.
    """
    file = folder / f"arm_{motion}.yaml"
    data = contract(patience.max_age, motion)
    file.write_text(yaml.safe_dump(data, sort_keys=False))  # their order is that of the wire
    return file, random_bundle(folder / f"bundle_{motion}", policy(motion), seed=SEED)
