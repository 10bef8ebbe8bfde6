"""The interface that every task suite offers, and the checks and facts all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField, RewardSpec
from lram_core.data.schema import DatasetSchema
from lram_core.errors import TaskError
from lram_sim.topics import SensorTopic

if TYPE_CHECKING:
    from lram_sim.drive import Drive

Array = npt.NDArray[np.float64]

EVALUATION_SEED = 1_000_000_000
"""First seed of evaluation; demonstrations use the seeds below it."""


@dataclass(frozen=True)
class StepResult:
    """What one control tick led to.

    Attributes:
        observation: float64 (observation_size,), after the tick.
        reward: the suite's own reward of the executed action.
        success: the task's success flag at this tick (a task may lose it again).
        truncated: the episode cannot go on (the step limit, or ``failure``); only ``reset`` may
            follow.
        failure: what broke the simulation, in one line; empty while it is sound.
    """

    observation: Array
    reward: float
    success: bool
    truncated: bool
    failure: str = ""


class Expert(Protocol):
    """A scripted policy with privileged knowledge of its task; a new object an episode."""

    def act(self, observation: Array) -> Array:
        """Return the action for one observation, float64 (action_size,), within the limits."""
        ...


class Task(Protocol):
    """One task of a suite: a robot, its surroundings and a goal.

    The same (task, seed, actions) give the same episode bit for bit, whatever ran before.
    """

    @property
    def name(self) -> str: ...

    @property
    def observation_fields(self) -> tuple[ObservationField, ...]: ...

    @property
    def action_fields(self) -> tuple[ActionField, ...]: ...

    @property
    def control_rate(self) -> float:
        """Control ticks a second of simulated time (Hz)."""
        ...

    @property
    def max_episode_steps(self) -> int: ...

    @property
    def model(self) -> Any:
        """The simulator's model (``mujoco.MjModel``), for rendering."""
        ...

    @property
    def data(self) -> Any:
        """The simulator's state (``mujoco.MjData``), for rendering."""
        ...

    def reset(self, seed: int) -> Array:
        """Start the episode of ``seed`` and return its first observation.

        Raises:
            TaskError: the seed is negative.
        """
        ...

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Advance one control tick. Actions beyond the limits are clipped.

        Raises:
            TaskError: the action has another size or a value that is not finite, or the episode
                has ended.
        """
        ...

    def sensors(self) -> dict[str, Array]:
        """Return the current reading of every sensor, exactly the numbers in the observation."""
        ...

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return joint names, positions (rad, m) and velocities (rad/s, m/s): arm, then hand."""
        ...

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return frame → position (3,) in m and orientation (x, y, z, w) in the world, for TF."""
        ...

    def expert(self) -> Expert:
        """Return a new expert for one episode. Raises TaskError where there is none."""
        ...

    def close(self) -> None: ...


class Suite(Protocol):
    """A family of tasks on one embodiment: one robot, hand, controller, observation, action.

    Attributes:
        controller: what turns actions into torques, with the gains that matter; empty where the
            suite has only one way.
        topics: where the bridge publishes each sensor; checked by :func:`check_topics`.
        camera: the camera that shows the scene best; empty: the model's first.
        drive: how commands of joint and gripper controllers become actions; None where they cannot.
    """

    name: str
    robot: str
    gripper: str
    controller: str
    control_rate: float
    max_episode_steps: int
    observation_fields: tuple[ObservationField, ...]
    action_fields: tuple[ActionField, ...]
    reward: RewardSpec
    topics: tuple[SensorTopic, ...]
    camera: str
    drive: Drive | None

    @property
    def splits(self) -> Mapping[str, list[str]]:
        """Named lists of tasks, e.g. ``ml45-train``."""
        ...

    def tasks(self) -> list[str]: ...

    def make(self, task: str) -> Task:
        """Build a task. Raises TaskError listing the tasks there are."""
        ...

    def robot_description(self) -> str:
        """Return the robot's URDF, whose joints are those of ``joint_state``; empty: there is none.

        Mesh files are named by absolute ``file://`` addresses.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Versions of the packages that determine an episode's numbers."""
        ...


def dataset_schema(suite: Suite) -> DatasetSchema:
    """Return what a dataset of the suite's demonstrations holds."""
    return DatasetSchema(
        suite=suite.name,
        robot=suite.robot,
        gripper=suite.gripper,
        controller=suite.controller,
        control_rate=suite.control_rate,
        observation=suite.observation_fields,
        action=suite.action_fields,
        reward=suite.reward,
        max_episode_steps=suite.max_episode_steps,
    )


def reference_returns(suite: Suite) -> Mapping[str, float]:
    """Return task → return that counts as 1, of a suite that is measured by its returns.

    It is the suite's optional attribute of that name. Without one, or with an empty one, what
    counts is the tasks' success flag.
    """
    found: Mapping[str, float] = getattr(suite, "reference_returns", {})
    return found


def demonstration_return(task: Task) -> float | None:
    """Return from which return on an episode counts as a success in a demonstration.

    It is the task's optional attribute of that name; None where the task has a success flag.
    """
    found: float | None = getattr(task, "demonstration_return", None)
    return found


def package_versions(*packages: str) -> dict[str, str]:
    """Return package → version, ``unknown`` for one that was copied without its metadata."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def clipped_action(task: str, action: npt.ArrayLike, size: int) -> Array:
    """Return an action, float64 (size,), clipped to [-1, 1].

    Raises:
        TaskError: it has another size or a value that is not finite.
    """
    command = np.asarray(action, dtype=np.float64)
    if command.shape != (size,) or not np.isfinite(command).all():
        raise TaskError(f"task '{task}': expected {size} finite action values, got {command}")
    return np.clip(command, -1.0, 1.0)


def check_seed(seed: int) -> int:
    """Return ``seed``. Raises TaskError unless it fits 0 … 2^63 - 1."""
    if not 0 <= seed < 2**63:
        raise TaskError(f"seed {seed} is out of range; expected 0 … 2^63 - 1")
    return seed
