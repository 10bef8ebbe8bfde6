"""MimicGen's tasks (Mandlekar et al. 2023) as suites: one arm and controller each.

Names are ``mimicgen-<robot>`` (joint position deltas) and ``mimicgen-<robot>-osc`` (deltas of the
hand's pose, as in the original). A control tick is 0.05 s.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lram_core.contract import ObservationField, RewardSpec
from lram_core.errors import TaskError, listed
from lram_sim.mimicgen_claims import CLAIMED
from lram_sim.mimicgen_experts import make_expert
from lram_sim.mimicgen_names import HELD_OUT, VARIANTS, split_name, split_task, task_names
from lram_sim.mimicgen_scene import JOINT, SLOTS, MimicgenScene, object_sensors
from lram_sim.mimicgen_tasks import SPECS
from lram_sim.robosuite_env import (
    ARMS,
    STIFFNESS,
    Arm,
    arguments,
    free_the_sawyers_base,
    import_robosuite,
)
from lram_sim.robosuite_scene import finger_name
from lram_sim.robosuite_suite import DrivenArm, action_fields
from lram_sim.robosuite_task import ArmTask
from lram_sim.subtasks import SUCCESS, Pose, Subtask
from lram_sim.suite import Array, Expert
from lram_sim.task_choice import unknown_task
from lram_sim.topics import (
    JOINT_STATE,
    SensorField,
    SensorTopic,
    body_topics,
    joints_topic,
    pose_topic,
)

MAX_EPISODE_STEPS = max(spec.horizon for spec in SPECS.values())
REWARD = RewardSpec(
    definition=(
        "1 at the control tick that reaches the task's success, 0 before. The return of a "
        f"demonstration counts a success as lasting to the end of a {MAX_EPISODE_STEPS}-step "
        "horizon, so that a faster success has the higher return."
    ),
    scale=200.0,
    ceiling=1.0,
    horizon=MAX_EPISODE_STEPS,
)
_FINGERS = {
    "panda_hand": ("finger_joint1", "finger_joint2"),
    "rethink": ("l_finger_joint", "r_finger_joint"),
    "robotiq85": (
        "finger_joint",
        "left_inner_finger_joint",
        "left_inner_knuckle_joint",
        "right_outer_knuckle_joint",
        "right_inner_finger_joint",
        "right_inner_knuckle_joint",
    ),
}
"""Gripper → its joints, in robosuite's order; a test compares them."""


def observation_fields(arm: Arm, mode: str) -> tuple[ObservationField, ...]:
    """Return the layout that all tasks of a suite share."""
    count = len(arm.joints)
    unit = "rad" if arm.gripper.name == "robotiq85" else "m"
    rows = [
        ("ee_position", 3, "m"),
        ("ee_orientation", 4, "1"),
        ("gripper_position", len(finger_names(arm)), unit),
        *object_sensors(),
    ]
    if mode == "joint":
        rows = [("joint_position", count, "rad"), ("joint_velocity", count, "rad/s"), *rows]
    return tuple(ObservationField(*row) for row in rows)


def topics(arm: Arm, mode: str, fingers: tuple[str, ...]) -> tuple[SensorTopic, ...]:
    """Return a suite's topics: joints and hand as drivers give them, objects as perception."""
    moving = ("position", "velocity") if mode == "joint" else ()
    slots = [topic for index in range(1, SLOTS + 1) for topic in body_topics(f"object_{index}")]
    return (
        joints_topic(arm.joints, *moving),
        SensorTopic(
            "gripper/state",
            JOINT_STATE,
            (SensorField("gripper_position", "position", fingers),),
        ),
        pose_topic("end_effector/pose", "ee_position", "ee_orientation"),
        *slots,
        SensorTopic("object_joint", JOINT_STATE, (SensorField(JOINT, "position", ("object",)),)),
    )


class MimicgenTask(ArmTask):
    """One MimicGen task on one arm; see :class:`lram_sim.suite.Task`.

    It is also :class:`lram_sim.subtasks.Decomposed`.
    """

    scene: MimicgenScene

    def __init__(self, name: str, suite: MimicgenSuite) -> None:
        self.spec = SPECS[split_task(name)[0]]
        env: Any = _build_env(name, suite.arm, suite.mode)
        scene = MimicgenScene(env, name, suite.arm, suite.mode)
        super().__init__(name, suite, suite.mode, env, scene)
        self.max_episode_steps = self.spec.horizon

    @property
    def subtasks(self) -> tuple[Subtask, ...]:
        return self.spec.subtasks

    def object_poses(self) -> dict[str, Pose]:
        """Return object → pose now; all objects of the task."""
        world = self.scene.world
        return {
            name: Pose(world.position(name).copy(), world.quaternion(name)[[1, 2, 3, 0]])
            for name in world.bodies
        }

    def signal(self, name: str) -> bool:
        """Tell whether the signal that ends a subtask is raised now."""
        if name == SUCCESS:
            return self.succeeded()
        if name not in self.spec.signals:
            raise TaskError(
                f"task '{self.name}' has no signal '{name}'; "
                f"available: {listed([*self.spec.signals, SUCCESS])}"
            )
        return self.spec.signals[name](self.scene.world)

    def succeeded(self) -> bool:
        if self.spec.success is None:
            return super().succeeded()
        return self.spec.success(self.scene.world)

    def bin_placement(self, index: int) -> Array:
        """Return the middle of a compartment of the second bin, (3,) m; of ``pick-place``."""
        return np.array(self._env.target_bin_placements[index])

    def attempt(self) -> Expert:
        """Return the expert, whether it succeeds reliably in this task or not."""
        return make_expert(self)


class MimicgenSuite(DrivenArm):
    """MimicGen's tasks on one arm; see :class:`lram_sim.suite.Suite`."""

    max_episode_steps = MAX_EPISODE_STEPS
    reward = REWARD

    def __init__(self, name: str) -> None:
        robot, mode = split_name(name)
        super().__init__(name, robot, mode, ARMS[robot])
        self.observation_fields = observation_fields(self.arm, self.mode)
        self.action_fields = action_fields(self.arm, self.mode)
        self.topics = topics(self.arm, self.mode, finger_names(self.arm))

    @property
    def claimed(self) -> tuple[str, ...]:
        """The tasks whose expert was measured to succeed."""
        return CLAIMED.get(self.name, ())

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """``all``; ``train`` and, for Panda, ``heldout``; those with an ``expert``; all variants
        of a task (``stack``), and all tasks of a variant (``d0``)."""
        tasks = self.tasks()
        held_out = list(HELD_OUT) if self.robot == "panda" else []
        found = {"all": tasks, "train": [task for task in tasks if task not in held_out]}
        if held_out:
            found["heldout"] = held_out
        found["expert"] = list(self.claimed)
        for kind in VARIANTS:
            found[kind] = [task for task in tasks if split_task(task)[0] == kind]
        for variant in ("d0", "d1", "d2"):
            found[variant] = [task for task in tasks if split_task(task)[1] == variant]
        return found

    def tasks(self) -> list[str]:
        return task_names()

    def make(self, task: str) -> MimicgenTask:
        if task not in task_names():
            raise unknown_task(task, self.name, self.tasks(), self.splits)
        return MimicgenTask(task, self)


def finger_names(arm: Arm) -> tuple[str, ...]:
    """Return the names of a gripper's joints on the wire."""
    return tuple(finger_name(arm, name) for name in _FINGERS[arm.gripper.name])


def _build_env(task: str, arm: Arm, mode: str) -> Any:
    robosuite = import_robosuite()
    # Its class enters robosuite's registry when it is imported.
    importlib.import_module("lram_sim.mimicgen_env")
    spec = SPECS[split_task(task)[0]]
    made: dict[str, Any] = {"env_name": "Mimicgen", "task": task}
    if spec.environment:
        made = {"env_name": spec.environment, "use_object_obs": False, "reward_shaping": False}
    env = robosuite.make(**made, **arguments(arm, mode, STIFFNESS))
    if arm.model == "Sawyer":
        free_the_sawyers_base(env.sim.model._model)
    return env
