"""robosuite's core tasks as suites: one robot, gripper and controller each, several tasks.

Names are ``robosuite-<robot>`` (joint position deltas) and ``robosuite-<robot>-osc`` (deltas of the
hand's pose). A control tick is 0.05 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.errors import TaskError
from lram_sim.drive import Drive
from lram_sim.robosuite_claims import CLAIMED
from lram_sim.robosuite_description import urdf
from lram_sim.robosuite_env import (
    ARMS,
    CONTROL_RATE,
    ENVIRONMENTS,
    MAX_EPISODE_STEPS,
    STIFFNESS,
    Arm,
    build_env,
)
from lram_sim.robosuite_experts import make_expert
from lram_sim.robosuite_names import WIPE, split_name, wiper_name
from lram_sim.robosuite_scene import Scene, finger_name
from lram_sim.robosuite_subtasks import SUBTASKS, Signals
from lram_sim.robosuite_task import ArmTask
from lram_sim.subtasks import Pose, Subtask
from lram_sim.suite import Expert, package_versions
from lram_sim.task_choice import unknown_task
from lram_sim.topics import JOINT_STATE, POINT, SensorField, SensorTopic, joints_topic, pose_topic

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
    return (
        joints_topic(arm.joints, "position", "velocity"),
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


class RobosuiteTask(ArmTask):
    """One robosuite task on one arm; it is also :class:`lram_sim.subtasks.Decomposed`."""

    scene: Scene

    def __init__(self, name: str, suite: RobosuiteSuite) -> None:
        env: Any = build_env(name, suite.arm, suite.mode)
        super().__init__(name, suite, suite.mode, env, Scene(env, name, suite.arm))
        self._signals = Signals(name, self.scene, env)

    @property
    def subtasks(self) -> tuple[Subtask, ...]:
        return SUBTASKS[self.name]

    def object_poses(self) -> dict[str, Pose]:
        """Return the poses of the objects and of the goal."""
        return self._signals.object_poses()

    def signal(self, name: str) -> bool:
        """Tell whether a subtask's signal is raised. Raises TaskError for one it does not have."""
        return self._signals.raised(name)

    def attempt(self) -> Expert:
        """Return the expert, whether it succeeds reliably in this task or not."""
        return make_expert(self)


class DrivenArm:
    """What suites of an arm with commands of joints or of the hand have in common.

    Attributes:
        arm: the arm with its gripper.
        mode: ``joint`` or ``osc``.
    """

    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS
    camera = "agentview"

    def __init__(self, name: str, robot: str, mode: str, arm: Arm) -> None:
        self.name, self.robot, self.mode, self.arm = name, robot, mode, arm
        self.gripper = arm.gripper.name
        self.controller = CONTROLLER_NAMES[mode]
        self.drive = make_drive(arm, mode)

    def robot_description(self) -> str:
        """Return the arm's URDF as robosuite ships it (Panda, Sawyer); empty for the others."""
        return urdf(self.robot)

    def versions(self) -> dict[str, str]:
        return package_versions("robosuite", "mujoco", "numpy")


class RobosuiteSuite(DrivenArm):
    """robosuite's core tasks on one arm; see :class:`lram_sim.suite.Suite`."""

    reward = REWARD

    def __init__(self, name: str) -> None:
        robot, mode = split_name(name)
        super().__init__(name, robot, mode, ARMS[robot])
        self.observation_fields = observation_fields(self.arm)
        self.action_fields = action_fields(self.arm, self.mode)
        self.topics = topics(self.arm)

    @property
    def claimed(self) -> tuple[str, ...]:
        """The tasks whose expert was measured to succeed."""
        return CLAIMED.get(self.name, ())

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """``all``; those with an ``expert``; and ``pick-place`` and ``nut-assembly``, those with
        several objects."""
        tasks = self.tasks()
        groups = {
            group: [task for task in tasks if task.startswith(group)]
            for group in ("pick-place", "nut-assembly")
        }
        return {"all": tasks, "expert": list(self.claimed), **groups}

    def tasks(self) -> list[str]:
        return list(ENVIRONMENTS)

    def make(self, task: str) -> RobosuiteTask:
        if task == WIPE:
            raise TaskError(
                f"task '{task}' of suite '{self.name}': its tool is a gripper of its own, so it is "
                f"in the suite '{wiper_name(self.robot, self.mode)}'"
            )
        if task not in ENVIRONMENTS:
            raise unknown_task(task, self.name, self.tasks(), self.splits)
        return RobosuiteTask(task, self)


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
