"""Composuite (Mendez et al. 2022) as suites: one arm each, 64 tasks, joint position deltas.

A task is an object, an obstacle and an objective. All arms carry the same hand. A control tick is
0.05 s.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import ObservationField
from lram_core.errors import TaskError, listed
from lram_sim.composuite_claims import CLAIMED
from lram_sim.composuite_experts import ComposuiteExpert
from lram_sim.composuite_names import (
    OBJECTIVES,
    OBJECTS,
    OBSTACLES,
    PREFIX,
    ROBOTS,
    is_held_out,
    split_task,
    task_names,
)
from lram_sim.composuite_planner import Planner
from lram_sim.composuite_scene import SENSORS, ComposuiteScene
from lram_sim.drive import Drive
from lram_sim.robosuite_env import (
    ARMS,
    CONTROL_RATE,
    MAX_EPISODE_STEPS,
    RETHINK,
    Arm,
    arguments,
    import_robosuite,
)
from lram_sim.robosuite_scene import finger_name
from lram_sim.robosuite_suite import REWARD, action_fields
from lram_sim.robosuite_task import ArmTask
from lram_sim.suite import Expert, StepResult, package_versions
from lram_sim.topics import (
    JOINT_STATE,
    VECTOR,
    SensorField,
    SensorTopic,
    body_topics,
    joints_topic,
    pose_topic,
)

_STEP, _STIFFNESS = 0.05, 50.0
# Step and gain of robosuite's default configuration; a test compares them.


def topics(arm: Arm) -> tuple[SensorTopic, ...]:
    """Return an arm's topics; what is one of several is a JointState with a name for each."""
    fingers = tuple(finger_name(arm, f"{side}_finger_joint") for side in "lr")
    encoded = [
        SensorTopic(
            f"joint_states/{part}",
            JOINT_STATE,
            (SensorField(f"joint_position_{part}", "position", arm.joints),),
        )
        for part in ("cos", "sin")
    ]
    bodies = [topic for name in ("object", "obstacle", "goal") for topic in body_topics(name)]
    choices = {"object": OBJECTS, "robot": ROBOTS, "obstacle": OBSTACLES, "task": OBJECTIVES}
    return (
        joints_topic(arm.joints, "velocity"),
        *encoded,
        SensorTopic(
            "gripper/state",
            JOINT_STATE,
            (
                SensorField("gripper_position", "position", fingers),
                SensorField("gripper_velocity", "velocity", fingers),
            ),
        ),
        pose_topic("end_effector/pose", "ee_position", "ee_orientation"),
        *bodies,
        SensorTopic("object/to_goal", VECTOR, (SensorField("object_to_goal", "vector"),)),
        *(
            SensorTopic(
                f"identity/{name}", JOINT_STATE, (SensorField(f"{name}_id", "position", names),)
            )
            for name, names in choices.items()
        ),
    )


class ComposuiteTask(ArmTask):
    """One Composuite task on one arm; see :class:`lram_sim.suite.Task`."""

    scene: ComposuiteScene

    def __init__(self, name: str, suite: ComposuiteSuite) -> None:
        env: Any = _build_env(name, suite.arm)
        scene = ComposuiteScene(env, suite.robot, name, suite.arm)
        super().__init__(name, suite, "joint", env, scene)
        self._planner: Planner | None = None

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance 0.05 s; an object that was to be pushed and was lifted ends the episode."""
        result = super().step(action)
        if result.truncated or not self._env.lost():
            return result
        self._steps = MAX_EPISODE_STEPS
        return replace(result, truncated=True)

    def attempt(self) -> Expert:
        """Return the expert, whether it succeeds reliably in this task or not."""
        if self._planner is None:
            self._planner = Planner(self.scene)
        return ComposuiteExpert(self, self._planner)


class ComposuiteSuite:
    """Composuite's tasks on one arm; see :class:`lram_sim.suite.Suite`.

    Attributes:
        arm: the arm with the benchmark's hand.
    """

    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS
    reward = REWARD
    camera = "agentview"
    controller = "joint_position_delta_kp50"

    def __init__(self, name: str) -> None:
        self.name = name
        self.robot = name.removeprefix(f"{PREFIX}-")
        self.arm = replace(ARMS[self.robot], gripper=RETHINK)
        self.gripper = self.arm.gripper.name
        self.observation_fields = tuple(ObservationField(*row) for row in SENSORS)
        self.action_fields = action_fields(self.arm, "joint")
        self.topics = topics(self.arm)
        self.drive = Drive(
            joints=self.arm.joints,
            steps=(_STEP,) * len(self.arm.joints),
            lag=2.0 / float(np.sqrt(_STIFFNESS)),
            gripper_joint=finger_name(self.arm, self.arm.gripper.joint),
            gripper_range=self.arm.gripper.span,
        )

    @property
    def claimed(self) -> tuple[str, ...]:
        """The tasks whose expert was measured to succeed."""
        return CLAIMED.get(self.robot, ())

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """``all``; ``train`` and ``heldout`` (Panda with an object's wall); those with an
        ``expert``; and by component."""
        tasks = self.tasks()
        held_out = [task for task in tasks if is_held_out(self.robot, task)]
        found = {"all": tasks, "train": [task for task in tasks if task not in held_out]}
        if held_out:
            found["heldout"] = held_out
        found["expert"] = list(self.claimed)
        for index, names in enumerate((OBJECTS, OBSTACLES, OBJECTIVES)):
            for name in names:
                found[name] = [task for task in tasks if split_task(task)[index] == name]
        return found

    def tasks(self) -> list[str]:
        return task_names()

    def make(self, task: str) -> ComposuiteTask:
        if task not in task_names():
            raise TaskError(
                f"unknown task '{task}' of suite '{self.name}'; a task is an object "
                f"({listed(OBJECTS)}), an obstacle ({listed(OBSTACLES)}) and an objective "
                f"({listed(OBJECTIVES)}), e.g. {task_names()[0]}"
            )
        return ComposuiteTask(task, self)

    def robot_description(self) -> str:
        """Return an empty text: no URDF of these arms has the benchmark's hand."""
        return ""

    def versions(self) -> dict[str, str]:
        return package_versions("robosuite", "mujoco", "numpy")


def _build_env(task: str, arm: Arm) -> Any:
    robosuite = import_robosuite()
    # Its class enters robosuite's registry when it is imported.
    importlib.import_module("lram_sim.composuite_env")
    thing, obstacle, objective = split_task(task)
    return robosuite.make(
        "Composuite",
        thing=thing,
        obstacle=obstacle,
        objective=objective,
        initialization_noise=None,
        **arguments(arm, "joint", _STIFFNESS),
    )
