"""Limits of a robot contract's commands, as the supervisor gets them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ros_graph import CONTRACT
from safety_rig import Loop
from scripted_policy import POLICY

from lram_core.contract import ActionField
from lram_core.errors import ContractError
from lram_ros.adapters.sink import CommandField, CommandSink
from lram_ros.robot_contract import RobotContract
from lram_ros.safety import Mode, Request, contract_limits


def sink(adapter, quantity, *fields, **more):
    return CommandSink(adapter, "any", tuple(fields), adapter, quantity, **more)


ARM = sink(
    "forward_position",
    "position",
    CommandField("shoulder", "rad", -1.0, 2.0, max_velocity=0.5, max_acceleration=3.0),
    CommandField("rail", "m", 0.0, 1.0),
)
HAND = sink("gripper", "effort", CommandField("hand", "N", -20.0, 20.0))
BASE = sink("twist", "twist", CommandField("forward", "m/s", -0.4, 0.8, joint="x"))
WHEELS = sink("forward_velocity", "velocity", CommandField("wheel", "rad/s", -3.0, 3.0))
FINGER = sink("forward_effort", "effort", CommandField("finger", "N m", -1.0, 1.0))


def test_all_sinks_are_one_command():
    limits = contract_limits([ARM, HAND, BASE, WHEELS, FINGER], [], 50.0)
    found = [(f.name, f.kind, f.max_velocity, f.max_acceleration) for f in limits.fields]
    assert found == [
        ("shoulder", "joint_position", 0.5, 3.0),
        ("rail", "joint_position", 0.25, 1.0),
        ("hand", "gripper", 80.0, math.inf),
        ("forward", "twist", 0.8, pytest.approx(3.2)),
        ("wheel", "joint_velocity", 3.0, 12.0),
        ("finger", "joint_effort", 4.0, math.inf),
    ]
    assert limits.period == 0.02
    assert limits.unlimited() == []
    assert limits.measured.tolist() == [True, True, False, False, False, False]


def test_native_commands_are_stopped_by_kind_and_not_slowed():
    robot = RobotContract.load(CONTRACT)
    limits = contract_limits(robot.sinks, POLICY.action, robot.control_rate)
    assert [f.kind for f in limits.fields] == ["cartesian_delta"] * 3 + ["gripper"]
    assert limits.unlimited()[:2] == ["ee_dx: velocity", "ee_dx: acceleration"]
    loop = Loop(limits, proof_s=0.0, blend_s=0.0)
    rng = np.random.default_rng(1)
    request = Request.ACTIVATE
    for _ in range(200):
        proposed = rng.choice([-1.0, 1.0, 1 / 3, rng.uniform(-1, 1)], 4)
        decision = loop.tick(proposed, dt=1 / 80, position=None, request=request)
        assert decision.command.tolist() == proposed.tolist()
        request = Request.NONE
    decision = loop.tick(proposed, dt=1 / 80, position=None, external_stop=True)
    assert decision.mode is Mode.HOLDING  # deltas stand at once, the gripper keeps its grip
    assert decision.command.tolist() == [0.0, 0.0, 0.0, proposed[3]]


def test_native_limits_are_the_narrower_of_both_sides():
    action = [ActionField("push", "1", "magic", -0.5, 3.0)]
    native = sink("native", "native", CommandField("push", "1", -1.0, 1.0))
    (field,) = contract_limits([native], action, 10.0).fields
    assert (field.kind, field.low, field.high) == ("native", -0.5, 1.0)


@pytest.mark.parametrize("name", ["panda_joint_position.yaml", "ur5e_joint_velocity.yaml"])
def test_shipped_contracts_have_usable_limits(name):
    robot = RobotContract.load(CONTRACT.parent / name)
    limits = contract_limits(robot.sinks, [], robot.control_rate)
    assert limits.unlimited() == []
    assert limits.stop_ticks * limits.period < 3.0


def test_a_field_on_two_topics_is_refused():
    with pytest.raises(ContractError, match="shoulder is commanded on more than one topic"):
        contract_limits([ARM, replace(ARM, topic="b")], [], 50.0)


def test_endless_joints_are_refused():
    endless = replace(ARM, fields=(CommandField("turret", "rad", -math.inf, math.inf),))
    with pytest.raises(ContractError, match="turret: expected finite limits"):
        contract_limits([endless], [], 50.0)
