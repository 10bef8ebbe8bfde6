"""robosuite's core tasks as suites: one robot, gripper and controller each, several tasks.

Names are ``robosuite-<robot>`` (joint position deltas) and ``robosuite-<robot>-osc`` (deltas of the
hand's pose). A control tick is 0.05 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.errors import TaskError, listed
from lram_sim.drive import Drive
from lram_sim.robosuite_control import Stepper
from lram_sim.robosuite_description import urdf
from lram_sim.robosuite_env import (
    ARMS,
    CONTROL_RATE,
    ENVIRONMENTS,
    MAX_EPISODE_STEPS,
    STIFFNESS,
    Arm,
    EpisodeSource,
    build_env,
)
from lram_sim.robosuite_experts import make_expert
from lram_sim.robosuite_names import split_name
from lram_sim.robosuite_scene import Scene, finger_name
from lram_sim.robosuite_subtasks import SUBTASKS, Signals
from lram_sim.subtasks import Pose, Subtask
from lram_sim.suite import (
    Array,
    Expert,
    StepResult,
    check_seed,
    clipped_action,
    package_versions,
)
from lram_sim.topics import JOINT_STATE, JOINT_STATES, POINT, SensorField, SensorTopic, pose_topic

REWARD = RewardSpec(
    definition=(
        "1 at the control tick that reaches the task's success, 0 before. The return of a "
        "demonstration counts a success as lasting to the end of a 500-step horizon, so that a "
        "faster success has the higher return."
    ),
    scale=100.0,
    ceiling=1.0,
    horizon=MAX_EPISODE_STEPS,
)
_GRIPPER = ActionField("gripper", unit="1", kind="gripper", low=-1.0, high=1.0)
CONTROLLER_NAMES = {"joint": "joint_position_delta_kp150", "osc": "osc_pose_delta_kp150"}
# Steps of robosuite's default configuration; a test compares them.
_STEPS = {"joint": (0.05,), "osc": (0.05, 0.05, 0.05, 0.5, 0.5, 0.5)}


def observation_fields(arm: Arm) -> tuple[ObservationField, ...]:
    """Return the layout that all tasks of an arm share."""
    count = len(arm.joints)
    sizes = (
        ("joint_position", count, "rad"),
        ("joint_velocity", count, "rad/s"),
        ("gripper_opening", 1, "1"),
        ("ee_position", 3, "m"),
        ("ee_orientation", 4, "1"),
        ("object_1_position", 3, "m"),
        ("object_1_orientation", 4, "1"),
        ("object_2_position", 3, "m"),
        ("object_2_orientation", 4, "1"),
        ("goal_position", 3, "m"),
    )
    return tuple(ObservationField(*row) for row in sizes)


def action_fields(arm: Arm, controller: str) -> tuple[ActionField, ...]:
    """Return the arm's actions, then the gripper's; all within [-1, 1]."""
    if controller == "joint":
        rows = [(f"joint_{i + 1}", "0.05 rad", "joint_delta") for i in range(len(arm.joints))]
    else:
        rows = [(f"ee_d{axis}", "0.05 m", "cartesian_delta") for axis in "xyz"]
        rows += [(f"ee_dr{axis}", "0.5 rad", "cartesian_delta") for axis in "xyz"]
    moves = (ActionField(name, unit, kind, -1.0, 1.0) for name, unit, kind in rows)
    return (*moves, _GRIPPER)


def topics(arm: Arm) -> tuple[SensorTopic, ...]:
    """Return the topics of an arm: joints and hand as drivers give them, objects as perception."""
    joints = arm.joints
    return (
        SensorTopic(
            JOINT_STATES,
            JOINT_STATE,
            (
                SensorField("joint_position", "position", joints),
                SensorField("joint_velocity", "velocity", joints),
            ),
        ),
        SensorTopic(
            "gripper/state",
            JOINT_STATE,
            (SensorField("gripper_opening", "position", ("gripper",)),),
        ),
        pose_topic("end_effector/pose", "ee_position", "ee_orientation"),
        pose_topic("object_1/pose", "object_1_position", "object_1_orientation"),
        pose_topic("object_2/pose", "object_2_position", "object_2_orientation"),
        SensorTopic("goal", POINT, (SensorField("goal_position", "point"),)),
    )


class RobosuiteTask:
    """One robosuite task on one arm; see :class:`lram_sim.suite.Task`."""

    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS

    def __init__(self, name: str, suite: RobosuiteSuite) -> None:
        self.name = name
        self.arm, self.mode = suite.arm, suite.mode
        self.observation_fields = suite.observation_fields
        self.action_fields = suite.action_fields
        self._env: Any = build_env(name, suite.arm, suite.mode)
        self._source = EpisodeSource(self._env)
        self._stepper = Stepper(self._env, suite.mode)
        self.scene = Scene(self._env, name, suite.arm)
        self._signals = Signals(name, self.scene, self._env)
        self._steps: int | None = None

    @property
    def subtasks(self) -> tuple[Subtask, ...]:
        return SUBTASKS[self.name]

    @property
    def model(self) -> Any:
        return self.scene.model

    @property
    def data(self) -> Any:
        return self.scene.data

    def reset(self, seed: int) -> Array:
        """Start the episode of ``seed``; returns the observation, float64."""
        self._source.reset(check_seed(seed))
        self._stepper.start()
        self._steps = 0
        return self._observe()

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance 0.05 s with an action for each field, clipped to [-1, 1]."""
        command = clipped_action(self.name, action, len(self.action_fields))
        most = self.max_episode_steps
        if self._steps is None or self._steps >= most:
            raise TaskError(f"task '{self.name}': no episode is running; reset it first")
        failure = self._stepper.step(command)
        self._steps = most if failure else self._steps + 1
        success = not failure and self.succeeded()
        return StepResult(self._observe(), float(success), success, self._steps >= most, failure)

    def succeeded(self) -> bool:
        """Tell whether the task is solved as everything is now."""
        return bool(self._env._check_success())

    def sensors(self) -> dict[str, Array]:
        """Return sensor name → reading, float64, the very numbers of the last observation."""
        if self._steps is None:
            raise TaskError(f"task '{self.name}': no sensor readings before the first reset")
        return self.scene.sensors()

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return names, positions (rad, m) and velocities of the arm's joints, then the hand's."""
        return self.scene.joint_state()

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return the arm's base, the hand and the objects as frames in the world."""
        return self.scene.frames()

    def object_poses(self) -> dict[str, Pose]:
        """Return the poses of the objects and of the goal."""
        return self._signals.object_poses()

    def signal(self, name: str) -> bool:
        """Tell whether a subtask's signal is raised. Raises TaskError for one it does not have."""
        return self._signals.raised(name)

    def expert(self) -> Expert:
        """Return a new scripted expert for one episode."""
        return make_expert(self)

    def close(self) -> None:
        """Free the simulation; the task cannot be used afterwards."""
        self._env.close()

    def _observe(self) -> Array:
        return np.concatenate(list(self.scene.sensors().values()))


class RobosuiteSuite:
    """robosuite's core tasks on one arm; see :class:`lram_sim.suite.Suite`.

    Attributes:
        arm: the arm with its gripper.
        mode: ``joint`` or ``osc``.
    """

    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS
    reward = REWARD
    camera = "agentview"

    def __init__(self, name: str) -> None:
        self.name = name
        self.robot, self.mode = split_name(name)
        self.arm = ARMS[self.robot]
        self.gripper = self.arm.gripper.name
        self.controller = CONTROLLER_NAMES[self.mode]
        self.observation_fields = observation_fields(self.arm)
        self.action_fields = action_fields(self.arm, self.mode)
        self.topics = topics(self.arm)
        self.drive = make_drive(self.arm, self.mode)

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """``all``; and ``pick-place`` and ``nut-assembly``, those with several objects."""
        tasks = self.tasks()
        groups = {
            group: [task for task in tasks if task.startswith(group)]
            for group in ("pick-place", "nut-assembly")
        }
        return {"all": tasks, **groups}

    def tasks(self) -> list[str]:
        return list(ENVIRONMENTS)

    def make(self, task: str) -> RobosuiteTask:
        if task not in ENVIRONMENTS:
            raise TaskError(
                f"unknown task '{task}' of suite '{self.name}'; available: {listed(self.tasks())}"
            )
        return RobosuiteTask(task, self)

    def robot_description(self) -> str:
        """Return the arm's URDF as robosuite ships it (Panda, Sawyer); empty for the others."""
        return urdf(self.robot)

    def versions(self) -> dict[str, str]:
        return package_versions("robosuite", "mujoco", "numpy")


def make_drive(arm: Arm, mode: str) -> Drive:
    """Return how commands of controllers drive an arm; ``mode`` is ``joint`` or ``osc``."""
    return Drive(
        joints=arm.joints if mode == "joint" else (),
        steps=_STEPS[mode] * (len(arm.joints) if mode == "joint" else 1),
        # Damper over spring of a critically damped controller: the time it lags behind a ramp.
        lag=2.0 / float(np.sqrt(STIFFNESS)),
        gripper_joint=finger_name(arm, arm.gripper.joint),
        gripper_range=arm.gripper.span,
    )
