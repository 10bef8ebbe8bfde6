"""A mock arm of three joints, a policy node and a listener, over DDS in one process."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import yaml
from adapter_rig import JOINTS, RATE, STATES, contract_data, policy, sink_data
from ros_graph import parameters
from scripted_policy import TIMINGS
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from lram_core.policy import Action
from lram_core.testing import random_bundle
from lram_ros.mock.node import MockRobot
from lram_ros.mock.options import MockOptions
from lram_ros.policy_node import PolicyNode
from lram_ros.robot_contract import RobotContract

COMMANDS = "forward_position/commands"
MIDDLE = -0.5
"""Where the mock's joints rest: in the middle of their limits, -3 to 2 rad."""
LOW, HIGH = -1.0, 1.0
STEP = 1.0 / RATE
"""Most that a joint may move a tick: 1 rad/s where the contract says nothing."""
PATIENT = {"late_after": 3.0, "watchdog": 6.0, "proof_time": 0.2, "blend_time": 0.5}
"""A busy machine delays ticks; only tests of lateness may mind."""


def joint_policy():
    return policy("joint_position", low=LOW, high=HIGH)


def arm_contract(folder, **changes):
    """Write the contract of an arm whose joints are commanded by position."""
    # Deep: a recorder that was not scheduled for a tenth of a second must not miss a reading.
    states = {**STATES, "max_age": 1.0, "depth": 1000}
    path = folder / "arm.yaml"
    data = contract_data(sink_data("forward_position"), inputs=[states], **changes)
    path.write_text(yaml.safe_dump(data, sort_keys=False))  # their order is that of the wire
    return path


def arm_bundle(folder, name="bundle", seed=0):
    return random_bundle(folder / name, joint_policy(), seed=seed)


class ArmScript:
    """A policy for the arm that does as told."""

    contract = joint_policy()
    return_to_go = 1.0
    runtime = SimpleNamespace(describe=lambda: "a script")

    def __init__(self):
        self.resets, self.next, self.calls = 0, np.array([0.5, -0.9, 0.2]), 0

    def warm_up(self):
        return 0.0

    def reset(self, task=None, target_return=None):
        self.resets += 1

    def observe_reward(self, reward):
        pass

    def act(self, observation, reward):
        self.calls += 1
        if isinstance(self.next, Exception):
            raise self.next
        values = np.asarray(self.next, dtype=np.float64)
        return Action(values, np.zeros(3, dtype=np.int64), dict.fromkeys(TIMINGS, 0.0))


class Arm:
    """The mock, the node (unconfigured) and what the node commands.

    ``mock`` is False (a publisher that says nothing) or MockOptions; ``values`` are parameters.
    """

    def __init__(self, peer, folder, script=None, mock=True, **values):
        self.peer, self.script = peer, script or ArmScript()
        contract = arm_contract(folder)
        self.mock = None
        if mock:
            options = MockOptions() if mock is True else mock
            self.mock = MockRobot(RobotContract.load(contract), options, context=peer.context)
            peer.add(self.mock)
        else:
            self.silent = peer.node.create_publisher(JointState, "joint_states", 10)
        self.messages = peer.listen(Float64MultiArray, COMMANDS)
        given = {"bundle": "scripted", "contract": str(contract), "topic_timeout": 20.0}
        given |= {"black_box": str(folder / "boxes"), **PATIENT, **values}
        self.node = PolicyNode(
            lambda path, **options: self.script,
            context=peer.context,
            parameter_overrides=parameters(**given),
        )
        peer.add(self.node)

    @property
    def commands(self):
        return np.array([list(message.data) for message in self.messages])

    @property
    def mode(self):
        runner = self.node.runner
        return "none" if runner is None else runner.mode.value

    @property
    def fault(self):
        runner = self.node.runner
        return "" if runner is None or runner.fault is None else runner.fault.reason.value

    def until_mode(self, mode, timeout=30):
        self.peer.until(lambda: self.mode == mode, timeout)

    def silence(self, seconds=0.3):
        """Spin; whether no command comes, but for those on their way."""
        self.peer.spin(0.2)
        before = len(self.messages)
        self.peer.spin(seconds)
        return len(self.messages) == before

    def end(self):
        self.node.stop()
        if self.mock is not None:
            self.mock.stop()


def within_limits(commands):
    """Whether no joint of (ticks, joints) moved faster than it may, or out of its limits."""
    inside = (commands >= -3.0).all() and (commands <= 2.0).all()
    return bool(inside and (np.abs(np.diff(commands, axis=0)) <= STEP + 1e-9).all())


__all__ = [
    "COMMANDS",
    "HIGH",
    "JOINTS",
    "LOW",
    "MIDDLE",
    "STEP",
    "Arm",
    "ArmScript",
    "arm_bundle",
    "arm_contract",
    "within_limits",
]
