"""robosuite as suites: repeatable, its sensors are its observation, its steps are robosuite's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lram_core.errors import TaskError
from lram_core.observation import ObservationAssembler
from lram_sim.robosuite_control import Stepper
from lram_sim.robosuite_env import ARMS, ENVIRONMENTS, EpisodeSource, build_env
from lram_sim.robosuite_names import suite_names
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks
from lram_sim.topics import check_topics


def wander(size: int, ticks: int) -> np.ndarray:
    """Smooth random actions within the limits."""
    drift, actions = np.zeros(size), []
    for noise in np.random.default_rng(1).normal(size=(ticks, size)):
        drift = 0.9 * drift + 0.4 * noise
        actions.append(np.clip(drift, -1, 1))
    return np.array(actions)


@pytest.mark.parametrize(
    ("suite", "task"),
    [
        ("robosuite-panda", "lift"),
        ("robosuite-panda-osc", "stack"),
        ("robosuite-iiwa", "pick-place-can"),
        ("robosuite-sawyer", "nut-assembly-round"),
        ("robosuite-kinova3-osc", "door"),
    ],
)
def test_an_episode_depends_on_task_and_seed_alone(suite: str, task: str) -> None:
    """Also: the sensors are the observation, in the declared layout."""
    found = get_suite(suite)
    fresh, used = found.make(task), found.make(task)
    actions = wander(len(found.action_fields), 30)
    for seed in (3, 4):
        used.reset(seed)
        np.random.seed(seed)
        for action in actions[::-1]:
            used.step(action)
    first = fresh.reset(7)
    np.testing.assert_array_equal(first, used.reset(7))
    assembler = ObservationAssembler(found.observation_fields)
    for action in actions:
        result, other = fresh.step(action), used.step(action)
        np.testing.assert_array_equal(result.observation, other.observation)
        assert result == result.__class__(
            result.observation, other.reward, other.success, other.truncated, other.failure
        )
        np.testing.assert_array_equal(
            assembler.assemble(fresh.sensors()), result.observation.astype(np.float32)
        )
        sizes = {name: len(value) for name, value in fresh.sensors().items()}
        assert sizes == {field.name: field.size for field in found.observation_fields}
    assert not np.array_equal(fresh.reset(8), first)
    fresh.close()
    used.close()


# Robotiq's linked fingers amplify a rounding error a billion times within a tick, in robosuite too.
@pytest.mark.parametrize(
    ("task", "robot", "controller"),
    [("lift", "panda", "joint"), ("nut-assembly-square", "panda", "osc"), ("door", "jaco", "osc")],
)
def test_trajectories_are_robosuites(task: str, robot: str, controller: str) -> None:
    arm = ARMS[robot]
    envs = [build_env(task, arm, controller) for _ in range(2)]
    for env in envs:
        EpisodeSource(env).reset(5)
    theirs, ours = envs
    stepper = Stepper(ours, controller)
    stepper.start()
    for action in wander(theirs.action_dim, 40):
        theirs.step(action)
        assert stepper.step(action) == ""
        np.testing.assert_allclose(
            ours.sim.data._data.qpos, theirs.sim.data._data.qpos, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_says_how_it_is_driven(name: str) -> None:
    suite = get_suite(name)
    assert suite.name == name
    check_topics(name, suite.topics, suite.observation_fields)
    assert suite.drive is not None
    assert len(suite.drive.steps) == len(suite.action_fields) - 1
    task = suite.make("lift")
    task.reset(0)
    joints, positions, velocities = task.joint_state()
    assert len(joints) == len(set(joints)) == len(positions) == len(velocities)
    assert suite.drive.gripper_joint in joints
    assert set(suite.drive.joints) <= set(joints)
    part = task._env.robots[0].part_controllers["right"]
    np.testing.assert_allclose(
        np.broadcast_to(part.output_max, len(suite.drive.steps)), suite.drive.steps
    )
    assert suite.controller.endswith(f"kp{float(np.ravel(part.kp)[0]):g}")
    assert suite.drive.lag == pytest.approx(np.ravel(part.kd / part.kp)[0])
    task.close()


@pytest.mark.parametrize("robot", sorted(ARMS))
def test_gripper_closes_and_opens(robot: str) -> None:
    task = get_suite(f"robosuite-{robot}").make("lift")
    task.reset(0)
    for command, expected in ((1.0, 0.0), (-1.0, 1.0)):
        for _ in range(30):
            task.step([*[0.0] * len(task.arm.joints), command])
        assert task.scene.opening() == pytest.approx(expected, abs=0.1)


def test_sawyers_first_joint_moves() -> None:
    """In robosuite 1.5.2 it rubs against its own base."""
    task = get_suite("robosuite-sawyer").make("lift")
    start = task.reset(0)[0]
    for _ in range(20):
        observation = task.step([1.0, *[0.0] * 7]).observation
    assert observation[0] - start > 0.1


def test_actions_are_clipped_and_checked() -> None:
    task = get_suite("robosuite-panda").make("lift")
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(8))
    task.reset(1)
    far = task.step([5.0, -7.0, 3.0, 2.0, 0, 0, 0, 9.0]).observation
    task.reset(1)
    np.testing.assert_array_equal(far, task.step([1.0, -1.0, 1.0, 1.0, 0, 0, 0, 1.0]).observation)
    for wrong in ([0.0] * 7, [np.nan] * 8):
        with pytest.raises(TaskError, match="8 finite action values"):
            task.step(wrong)


def test_an_unstable_simulation_ends_the_episode_with_its_reason() -> None:
    task = get_suite("robosuite-panda").make("lift")
    task.reset(1)
    task.data.qvel[0] = 1e12
    result = task.step(np.zeros(8))
    assert (result.truncated, result.success) == (True, False)
    assert "unstable (BADQ" in result.failure
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(8))
    task.reset(1)
    assert task.step(np.zeros(8)).failure == ""


def forward(description: ElementTree.Element, joints: dict[str, float], link: str) -> np.ndarray:
    """Pose (4, 4) of a link in the root's frame, by the URDF alone."""
    pose = np.eye(4)
    if (joint := description.find(f".//joint/child[@link='{link}']/..")) is None:
        return pose
    origin = joint.find("origin")
    xyz, rpy = (np.array(origin.get(key).split(), dtype=float) for key in ("xyz", "rpy"))
    pose[:3, :3] = Rotation.from_euler("xyz", rpy).as_matrix()
    pose[:3, 3] = xyz
    if joint.get("type") != "fixed":
        axis = np.array(joint.find("axis").get("xyz").split(), dtype=float)
        way, moved = joints[joint.get("name")], np.eye(4)
        if joint.get("type") == "prismatic":
            moved[:3, 3] = axis * way
        else:
            moved[:3, :3] = Rotation.from_rotvec(axis * way).as_matrix()
        pose = pose @ moved
    return forward(description, joints, joint.find("parent").get("link")) @ pose


# robosuite mounts Franka's fingers 6.5 mm deeper than the description does.
@pytest.mark.parametrize(
    ("robot", "tip", "body", "within"),
    [
        ("panda", "panda_link7", "robot0_link7", 1e-4),
        ("panda", "panda_leftfinger", "gripper0_right_leftfinger", 7e-3),
        ("panda", "panda_rightfinger", "gripper0_right_rightfinger", 7e-3),
        ("sawyer", "right_l6", "robot0_right_l6", 1e-3),
    ],
)
def test_description_and_joint_states_give_the_simulated_pose(
    robot: str, tip: str, body: str, within: float
) -> None:
    suite = get_suite(f"robosuite-{robot}")
    text = suite.robot_description()
    meshes = re.findall(r'<mesh filename="([^"]+)"', text)
    assert meshes
    for address in meshes:
        assert address.startswith("file:///")
        assert Path(address.removeprefix("file://")).is_file()
    task = suite.make("lift")
    task.reset(3)
    for action in wander(8, 15):
        task.step(action)
    names, positions, _ = task.joint_state()
    position, orientation = task.frames()[task.arm.base]
    base = np.eye(4)
    base[:3, 3], base[:3, :3] = position, Rotation.from_quat(orientation).as_matrix()
    joints = dict(zip(names, positions, strict=True))
    found = base @ forward(ElementTree.fromstring(text), joints, tip)
    np.testing.assert_allclose(found[:3, 3], task.data.body(body).xpos, atol=within)
    if robot == "panda":
        cube = task.frames()["object_1"][0]
        np.testing.assert_array_equal(cube, task.data.body("cube_main").xpos)
        assert get_suite("robosuite-ur5e").robot_description() == ""


def test_robosuite_is_silent() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from lram_sim.suite_registry import get_suite;"
            "get_suite('robosuite-panda').make('lift')",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(TaskError, match=r"unknown suite 'robosuite'; .*robosuite-\{.*panda-osc"):
        get_suite("robosuite")
    suite = get_suite("robosuite-ur5e")
    with pytest.raises(TaskError, match=r"unknown task 'pour'.*tasks: lift, stack"):
        suite.make("pour")
    assert resolve_tasks(suite, "all") == list(ENVIRONMENTS)
    assert resolve_tasks(suite, "nut-assembly") == ["nut-assembly-square", "nut-assembly-round"]
