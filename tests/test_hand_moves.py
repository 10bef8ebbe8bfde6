"""A policy that moves the hand, on an arm that takes joint commands: inverse kinematics between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
import yaml
from rich.console import Console
from ros_graph import Peer, parameters, processes
from scripted_policy import TIMINGS
from sensor_msgs.msg import JointState

from lram_core.errors import CommandError, ContractError
from lram_core.policy import Action
from lram_core.testing import random_bundle
from lram_ros.adapters.inverse_kinematics import InverseKinematics
from lram_ros.contract_check import check_contract
from lram_ros.demo import DemoOptions, run_demo
from lram_ros.msg import EpisodeStatus
from lram_ros.policy_node import PolicyNode
from lram_ros.robot_contract import RobotContract
from lram_ros.srv import ResetEpisode
from lram_sim.arm_model import arm_model
from lram_sim.rotations import rotation, rotation_vector
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite

CONFIG = Path(__file__).parents[1] / "config"
ARM = "robosuite-panda"
POLICY = dataset_schema(get_suite(f"{ARM}-osc")).contract({"default": 1.0}, context=50)
CONTRACTS = ("robosuite_panda_ik", "robosuite_panda_ik_lockstep")
JOINTS = [f"panda_joint{i}" for i in range(1, 8)]
WAY, TURN = np.array([0.06, -0.08, 0.05]), np.array([0.1, 0.0, 0.3])
"""Where the script wants the hand, m and rad from where it is at the start."""


def matrix(quaternion):
    """Rotation matrix of x, y, z, w."""
    found = np.zeros(9)
    mujoco.mju_quat2Mat(found, np.roll(quaternion, 1))
    return found.reshape(3, 3)


class Script:
    """Asks for what is left of the way, in the hand's deltas, and closes the gripper there."""

    contract = POLICY
    return_to_go = 0.0
    runtime = SimpleNamespace(describe=lambda: "a script")

    def __init__(self):
        ends = np.cumsum([0, *(field.size for field in POLICY.observation)])
        names = [field.name for field in POLICY.observation]
        self._at = {n: slice(a, b) for n, a, b in zip(names, ends, ends[1:], strict=False)}
        self.reset()

    def warm_up(self):
        return 0.0

    def reset(self, task=None, target_return=None):
        self.goal, self.left, self.opening = None, np.ones(6), 1.0

    def observe_reward(self, reward):
        pass

    def act(self, observation, reward):
        position = observation[self._at["ee_position"]].astype(np.float64)
        turn = matrix(observation[self._at["ee_orientation"]].astype(np.float64))
        self.opening = float(observation[self._at["gripper_opening"]][0])
        if self.goal is None:
            self.goal = position + WAY, rotation(TURN) @ turn
        self.left = np.concatenate(
            [self.goal[0] - position, rotation_vector(self.goal[1] @ turn.T)]
        )
        moves = np.clip(self.left / [*[0.05] * 3, *[0.5] * 3], -1.0, 1.0)
        there = np.abs(self.left).max() < 0.01
        values = np.append(moves, 1.0 if there else -1.0)
        return Action(values, np.zeros(7, dtype=np.int64), dict.fromkeys(TIMINGS, 0.0))


def test_the_hand_arrives_where_it_was_asked_to(ros_domain, tmp_path):
    script = Script()
    with processes(tmp_path) as start, Peer() as peer:
        bridge = start("lram_sim.bridge_node", suite=ARM)
        commands = peer.listen(JointState, "joint_commands")
        statuses = peer.listen(EpisodeStatus, "episode")
        node = PolicyNode(
            lambda path, **options: script,
            context=peer.context,
            parameter_overrides=parameters(
                bundle="scripted",
                contract=str(CONFIG / "robosuite_panda_ik_lockstep.yaml"),
                topic_timeout=60.0,
            ),
        )
        peer.add(node)
        bridge.wait_for("ready")
        assert node.bring_up()
        peer.until(lambda: peer.node.count_subscribers("joint_commands") > 1)
        for seed in (1, 2):  # from rest again, after an episode that was cut off
            ticks = 120
            statuses.clear()
            commands.clear()
            answer = peer.call(
                ResetEpisode, "reset_episode", task="lift", seed=seed, max_steps=ticks
            )
            assert answer.success, answer.message
            peer.until(lambda: statuses and statuses[-1].state > EpisodeStatus.RUNNING, 60)
            assert statuses[-1].tick == ticks
            assert np.abs(script.left[:3]).max() < 0.002
            assert np.abs(script.left[3:]).max() < 0.01
            assert script.opening < 0.1
            peer.until(lambda n=ticks: len(commands) >= n)
            assert len(commands) == ticks  # one a tick, answered by its stamp
            assert commands[-1].name == JOINTS
            assert len({(m.header.stamp.sec, m.header.stamp.nanosec) for m in commands}) == ticks
        node.stop()
        assert bridge.stop() == 0, bridge.output


@pytest.mark.parametrize("stem", CONTRACTS)
def test_contract_fits_a_bundle_of_hand_moves(stem):
    check_contract(RobotContract.load(CONFIG / f"{stem}.yaml"), POLICY)


def test_the_arms_model_is_the_simulators():
    """The same joints take the tool to the same place, and turn it the same way."""
    path = CONFIG / "models/robosuite_panda.xml"
    assert path.read_text() == arm_model(ARM), f"python -m lram_sim.arm_model {ARM}"
    solver = InverseKinematics(RobotContract.load(CONFIG / f"{CONTRACTS[0]}.yaml").sinks[0], 0.05)
    task = get_suite(ARM).make("lift")
    task.reset(1)
    scene = task.scene
    base = scene.model.body("robot0_base").id
    low, high = scene.arm_range.T
    for q in np.random.default_rng(0).uniform(low, high, (20, 7)):
        scene.data.qpos[scene.arm_qpos] = q
        mujoco.mj_kinematics(scene.model, scene.data)
        position, turn = solver.pose(q)
        np.testing.assert_allclose(
            position, scene.data.site_xpos[scene.grip_site] - scene.data.xpos[base], atol=1e-6
        )
        np.testing.assert_allclose(
            turn, scene.data.site_xmat[scene.grip_site].reshape(3, 3), atol=1e-6
        )
    task.close()


def test_a_spare_joint_is_drawn_back_unseen():
    """Moves to and fro: the tool is where they say, the elbow on its way to the posture."""
    sink = RobotContract.load(CONFIG / "robosuite_panda_ik.yaml").sinks[0]
    posture = np.array(sink.cartesian.posture)
    loose = replace(sink, cartesian=replace(sink.cartesian, posture=None))
    begin = posture + np.array([0.3, 0.0, -0.3, 0.0, 0.2, 0.0, 0.0])
    away = []
    for solver in (InverseKinematics(sink, 0.05), InverseKinematics(loose, 0.05)):
        q = begin
        for tick in range(60):
            move = np.array([0.0, 0.0, 0.01 * (-1) ** tick, 0.0, 0.0, 0.0])
            before, q = q, solver(q, move)
            moved = solver.pose(q)[0] - solver.pose(before)[0]
            np.testing.assert_allclose(moved, move[:3], atol=2e-4)
        away.append(float(np.linalg.norm(q - posture)))
    assert away[0] < 0.7 * away[1]


def options(tmp_path, stem, **changes):
    bundle = random_bundle(tmp_path / "bundle", POLICY)
    contract = CONFIG / f"{stem}.yaml"
    given = {"tasks": ("lift",), "episodes": 1, "max_steps": 5, "video": False, "robot_suite": ARM}
    return DemoOptions(
        out=tmp_path / "demo", bundle=bundle, **{**given, "contract": contract, **changes}
    )


def test_demo_of_a_bundle_of_hand_moves(tmp_path):
    (result,) = run_demo(options(tmp_path, "robosuite_panda_ik_lockstep"), Console(quiet=True))
    assert (result.task, result.ticks) == ("lift", 5)


@pytest.mark.parametrize(
    ("stem", "changes", "words"),
    [
        ("robosuite_panda_ik", {}, "found tick_source 'clock' and forward_position, gripper"),
        ("robosuite_panda_ik", {"contract": None}, "expected a --contract as well"),
    ],
)
def test_demo_refuses_a_contract_that_does_not_fit(tmp_path, stem, changes, words):
    with pytest.raises(CommandError, match=words):
        run_demo(options(tmp_path, stem, **changes), Console(quiet=True))


@pytest.mark.parametrize(
    ("stem", "changes", "words"),
    [
        ("robosuite_panda_ik", {"lockstep": True}, "lockstep needs tick_source 'observation'"),
        (
            "robosuite_panda_ik",
            {"lockstep": True, "tick_source": "observation"},
            "lockstep needs commands that carry the stamp .*; found std_msgs",
        ),
        ("robosuite_panda_ik_lockstep", {"lockstep": "yes"}, "expected true or false, found 'yes'"),
    ],
)
def test_lockstep_that_cannot_be(stem, changes, words):
    data = yaml.safe_load((CONFIG / f"{stem}.yaml").read_text()) | changes
    with pytest.raises(ContractError, match=words):
        RobotContract.from_dict(data, str(CONFIG / f"{stem}.yaml"))
