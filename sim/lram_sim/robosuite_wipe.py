"""robosuite's Wipe as suites: one arm and controller each, with a wiper in the place of a gripper.

Names are ``robosuite-<robot>-wiper`` and ``robosuite-<robot>-wiper-osc``. The wiper has no joint,
so all actions are the arm's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from lram_core.contract import ObservationField
from lram_core.errors import TaskError
from lram_sim.robosuite_claims import CLAIMED
from lram_sim.robosuite_env import ARMS, WIPER, Arm, build_env
from lram_sim.robosuite_experts import RobosuiteExpert
from lram_sim.robosuite_motion import Mover
from lram_sim.robosuite_names import WIPE, split_wiper_name, suite_name
from lram_sim.robosuite_suite import REWARD, DrivenArm, action_fields
from lram_sim.robosuite_task import ArmTask
from lram_sim.robosuite_wipe_scene import MARK_SENSORS, WipeScene
from lram_sim.robosuite_wiping import WipePlan
from lram_sim.suite import Array, Expert, StepResult
from lram_sim.topics import JOINT_STATE, POINT, SensorField, SensorTopic, joints_topic, pose_topic

_STRETCH = 0.985
"""Share of its length to which the arm may be stretched: for Kinova3 the far edge is far away."""


def observation_fields(arm: Arm) -> tuple[ObservationField, ...]:
    """Return the layout of the observation: joints, wiper, marks."""
    count = len(arm.joints)
    return (
        ObservationField("joint_position", count, "rad"),
        ObservationField("joint_velocity", count, "rad/s"),
        ObservationField("ee_position", 3, "m"),
        ObservationField("ee_orientation", 4, "1"),
        *(ObservationField(*row) for row in MARK_SENSORS),
    )


def topics(arm: Arm) -> tuple[SensorTopic, ...]:
    """Return the topics of an arm: joints and hand as drivers give them, marks as perception."""
    return (
        joints_topic(arm.joints, "position", "velocity"),
        pose_topic("end_effector/pose", "ee_position", "ee_orientation"),
        SensorTopic("marks/left", JOINT_STATE, (SensorField("marks_left", "position", ("left",)),)),
        SensorTopic(
            "marks/radius", JOINT_STATE, (SensorField("marks_radius", "position", ("radius",)),)
        ),
        SensorTopic("marks/centroid", POINT, (SensorField("marks_centroid", "point"),)),
        SensorTopic("marks/nearest", POINT, (SensorField("nearest_mark", "point"),)),
    )


class WipeExpert(RobosuiteExpert):
    """Follows a plan with an arm that has no gripper to move."""

    def act(self, observation: Array) -> Array:
        """Return the action for the simulation as it stands, float64 (action_size,)."""
        return super().act(observation)[:-1]


class WipeTask(ArmTask):
    """Wipe all marks off a table; see :class:`lram_sim.suite.Task`."""

    scene: WipeScene

    def __init__(self, name: str, suite: WipeSuite) -> None:
        env: Any = build_env(name, suite.arm, suite.mode)
        super().__init__(name, suite, suite.mode, env, WipeScene(env, suite.arm))

    def reset(self, seed: int) -> Array:
        super().reset(seed)
        self.scene.start()
        return self._observe()

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance 0.05 s; an arm that touches something, or is at a limit, ends the episode."""
        result = super().step(action)
        if result.truncated or not self.scene.stopped:
            return result
        self._steps = self.max_episode_steps
        return replace(result, truncated=True)

    def succeeded(self) -> bool:
        """Tell whether all marks are wiped."""
        return not self.scene.left.any()

    def attempt(self) -> Expert:
        """Return the expert, whether it succeeds reliably in this task or not."""
        mover = Mover(self.scene, self.mode, stretch=_STRETCH)
        return WipeExpert(WipePlan(self.scene), mover)

    def _follow(self) -> None:
        self.scene.wipe()


class WipeSuite(DrivenArm):
    """robosuite's Wipe on one arm with its wiper; see :class:`lram_sim.suite.Suite`."""

    reward = REWARD

    def __init__(self, name: str) -> None:
        robot, mode = split_wiper_name(name)
        super().__init__(name, robot, mode, replace(ARMS[robot], gripper=WIPER))
        self.observation_fields = observation_fields(self.arm)
        self.action_fields = action_fields(self.arm, self.mode)[:-1]
        self.topics = topics(self.arm)

    @property
    def claimed(self) -> tuple[str, ...]:
        """The tasks whose expert was measured to succeed."""
        return CLAIMED.get(self.name, ())

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """``all``; those with an ``expert``."""
        return {"all": self.tasks(), "expert": list(self.claimed)}

    def tasks(self) -> list[str]:
        return [WIPE]

    def make(self, task: str) -> WipeTask:
        if task != WIPE:
            raise TaskError(
                f"unknown task '{task}' of suite '{self.name}'; available: {WIPE}; the tasks that "
                f"need a gripper are in the suite '{suite_name(self.robot, self.mode)}'"
            )
        return WipeTask(task, self)

    def robot_description(self) -> str:
        """Return an empty text: no URDF of these arms has the wiper."""
        return ""
