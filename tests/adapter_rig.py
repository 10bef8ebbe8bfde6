"""Contracts for tests of command sinks: a bundle's actions and a robot's sinks, written short."""

from __future__ import annotations

import copy
from pathlib import Path

from lram_core.contract import ActionField, ObservationField, PolicyContract, RewardSpec
from lram_ros.robot_contract import RobotContract

RATE = 20.0
PERIOD = 1.0 / RATE
DATA = Path(__file__).parent / "data"
JOINTS = ["shoulder", "elbow", "wrist"]
ARM = {name: {"unit": "rad", "low": -3.0, "high": 2.0} for name in JOINTS}
STATES = {
    "topic": "joint_states",
    "type": "sensor_msgs/msg/JointState",
    "max_age": 0.1,
    "fields": {"joint_position": {"path": "position", "names": JOINTS, "unit": "rad"}},
}


def policy(kind, names=JOINTS, unit="rad", low=-1e3, high=1e3, observation=None):
    """A bundle's contract whose action fields are all of one kind."""
    return PolicyContract(
        suite="bench",
        robot="arm",
        gripper="finger",
        control_rate=RATE,
        observation=observation or (ObservationField("joint_position", 3, "rad"),),
        action=tuple(ActionField(name, unit, kind, low, high) for name in names),
        reward=RewardSpec("none", 1.0),
        target_returns={"default": 1.0},
        context=10,
        max_episode_steps=100,
    )


def contract_data(*sinks, inputs=(STATES,), **changes):
    """A robot contract as plain data."""
    return copy.deepcopy(
        {
            "format_version": 1,
            "robot": "arm",
            "gripper": "finger",
            "control_rate": RATE,
            "tick_source": "clock",
            "inputs": list(inputs),
            "commands": list(sinks),
            **changes,
        }
    )


def sink_data(adapter, fields=ARM, **keys):
    """One item of ``commands``."""
    return {"adapter": adapter, "topic": f"{adapter}/commands", "fields": fields, **keys}


def robot(*sinks, **changes):
    """A robot contract; a Cartesian model is looked for in tests/data."""
    return RobotContract.from_dict(contract_data(*sinks, **changes), str(DATA / "robot.yaml"))
