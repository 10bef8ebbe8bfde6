"""Meta-World V3: 50 manipulation tasks of a Sawyer arm, with the goal in the observation.

The arm is dragged by a mocap weld, so commands are Cartesian only. One control tick is 0.0125 s;
an action of 1 moves the weld by 0.01 m along an axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy.typing as npt
from metaworld.env_dict import ALL_V3_ENVIRONMENTS, ML10_V3, ML45_V3, MT10_V3

from lram_core.contract import ActionField, ObservationField, PolicyContract, RewardSpec
from lram_core.errors import TaskError, listed
from lram_sim.drive import Drive
from lram_sim.experts import MetaworldExpert
from lram_sim.metaworld_env import EpisodeSource, build_env
from lram_sim.stability import Stability
from lram_sim.suite import (
    Array,
    StepResult,
    check_seed,
    clipped_action,
    dataset_schema,
    package_versions,
)
from lram_sim.task_choice import unknown_task
from lram_sim.topics import JOINT_STATE, JOINT_STATES, POINT, SensorField, SensorTopic, pose_topic

ROBOT = "sawyer"
GRIPPER = "metaworld_parallel"
CONTROL_RATE = 80.0
MAX_EPISODE_STEPS = 500

_FRAME = (
    ("ee_position", 3, "m"),
    ("gripper_opening", 1, "1"),
    ("object_1_position", 3, "m"),
    ("object_1_orientation", 4, "1"),
    ("object_2_position", 3, "m"),
    ("object_2_orientation", 4, "1"),
)
OBSERVATION_FIELDS = (
    *(ObservationField(name, size, unit) for name, size, unit in _FRAME),
    *(ObservationField(name, size, unit, delay=1) for name, size, unit in _FRAME),
    ObservationField("goal_position", 3, "m"),
)
ACTION_FIELDS = (
    *(
        ActionField(name, unit="0.01 m", kind="cartesian_delta", low=-1.0, high=1.0)
        for name in ("ee_dx", "ee_dy", "ee_dz")
    ),
    ActionField("gripper", unit="1", kind="gripper", low=-1.0, high=1.0),
)
# Orientations are passed on in Meta-World's own order, so they are nothing to build a frame from.
TOPICS = (
    pose_topic("end_effector/pose", "ee_position"),
    SensorTopic(
        "gripper/state", JOINT_STATE, (SensorField("gripper_opening", "position", ("gripper",)),)
    ),
    pose_topic("object_1/pose", "object_1_position", "object_1_orientation"),
    pose_topic("object_2/pose", "object_2_position", "object_2_orientation"),
    SensorTopic("goal", POINT, (SensorField("goal_position", "point"),)),
    SensorTopic(JOINT_STATES, JOINT_STATE, ()),
)
REWARD = RewardSpec(
    definition=(
        "Meta-World V3 dense reward of the executed action, 0 to 10 a control tick. The return of "
        "a demonstration is the sum up to its success plus 10 for each step it left unused of a "
        "200-step horizon, so that a faster success has the higher return."
    ),
    scale=200.0,
    ceiling=10.0,
    horizon=200,
)


def _slices() -> dict[str, slice]:
    """Where each sensor's current reading lies in the observation."""
    found, start = {}, 0
    for field in OBSERVATION_FIELDS:
        if field.delay == 0:
            found[field.name] = slice(start, start + field.size)
        start += field.size
    return found


_SLICES = _slices()


class MetaworldTask:
    """One Meta-World task; see :class:`lram_sim.suite.Task`. Observations are float64 (39,)."""

    observation_fields = OBSERVATION_FIELDS
    action_fields = ACTION_FIELDS
    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS

    def __init__(self, name: str) -> None:
        self.name = name
        self._env: Any = build_env(name)
        self._source = EpisodeSource(self._env)
        self._stability = Stability(self._env.data)
        self._observation: Array | None = None
        self._steps = 0
        model = self._env.model
        arm = [i for i in range(model.njnt) if model.joint(i).name.startswith("right_j")]
        self._joint_names = tuple(model.joint(i).name for i in arm)
        self._qpos = model.jnt_qposadr[arm]
        self._qvel = model.jnt_dofadr[arm]

    @property
    def model(self) -> Any:
        return self._env.model

    @property
    def data(self) -> Any:
        return self._env.data

    def reset(self, seed: int) -> Array:
        """Start the episode of ``seed``; returns the observation, float64 (39,)."""
        self._observation = self._source.reset(check_seed(seed))
        self._steps = 0
        return self._observation.copy()

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance 0.0125 s with an action of 4 values, clipped to [-1, 1]."""
        command = clipped_action(self.name, action, 4)
        if self._observation is None or self._steps >= MAX_EPISODE_STEPS:
            raise TaskError(f"task '{self.name}': no episode is running; reset it first")
        observation, reward, _, truncated, info = self._env.step(command)
        if failure := self._stability.failure():
            # The sensors keep what they last read, which was sound.
            self._steps = MAX_EPISODE_STEPS
            return StepResult(self._observation.copy(), 0.0, False, True, failure)
        self._steps += 1
        self._observation = observation
        return StepResult(
            observation.copy(), float(reward), bool(info["success"] > 0), bool(truncated)
        )

    def sensors(self) -> dict[str, Array]:
        """Return sensor name → reading, float64, the very numbers of the last observation."""
        if self._observation is None:
            raise TaskError(f"task '{self.name}': no sensor readings before the first reset")
        return {name: self._observation[part].copy() for name, part in _SLICES.items()}

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return names, positions (rad) and velocities (rad/s) of the seven arm joints."""
        data = self._env.data
        return self._joint_names, data.qpos[self._qpos].copy(), data.qvel[self._qvel].copy()

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """No frames: Meta-World's orientations are not in one order."""
        return {}

    def expert(self) -> MetaworldExpert:
        """Return a new scripted expert for one episode."""
        return MetaworldExpert(self.name)

    def close(self) -> None:
        """Free the simulation; the task cannot be used afterwards."""
        self._env.close()


class MetaworldSuite:
    """The 50 tasks of Meta-World V3; see :class:`lram_sim.suite.Suite`."""

    name = "metaworld"
    robot = ROBOT
    gripper = GRIPPER
    controller = ""
    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS
    observation_fields = OBSERVATION_FIELDS
    action_fields = ACTION_FIELDS
    reward = REWARD
    topics: tuple[SensorTopic, ...] = TOPICS
    camera = "corner2"
    drive: Drive | None = None

    @cached_property
    def splits(self) -> Mapping[str, list[str]]:
        """The benchmark's own task lists."""
        return {
            "mt10": list(MT10_V3),
            "mt50": self.tasks(),
            "ml10-train": list(ML10_V3["train"]),
            "ml10-test": list(ML10_V3["test"]),
            "ml45-train": list(ML45_V3["train"]),
            "ml45-test": list(ML45_V3["test"]),
        }

    def tasks(self) -> list[str]:
        return list(ALL_V3_ENVIRONMENTS)

    def make(self, task: str) -> MetaworldTask:
        if task not in ALL_V3_ENVIRONMENTS:
            raise unknown_task(task, self.name, self.tasks(), self.splits)
        return MetaworldTask(task)

    def robot_description(self) -> str:
        """There is none: the arm hangs on a mocap weld."""
        return ""

    def versions(self) -> dict[str, str]:
        return package_versions("metaworld", "mujoco", "numpy")


def policy_contract(target_returns: Mapping[str, float], context: int) -> PolicyContract:
    """Return the contract of a policy for Meta-World.

    Args:
        target_returns: return to ask for, by task name, with a ``default`` for any other.
        context: length of a training window in control ticks.

    Raises:
        TaskError: ``default`` is missing, or a name is no task.
    """
    unknown = [name for name in target_returns if name not in {*ALL_V3_ENVIRONMENTS, "default"}]
    if unknown or "default" not in target_returns:
        raise TaskError(
            f"target returns: unknown {listed(unknown)}; expected task names and 'default'"
        )
    return dataset_schema(MetaworldSuite()).contract(target_returns, context)
