"""Dark-Room behind the interface of suites: a task a goal, a trial an episode."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import DISCRETE, ActionField, ObservationField, RewardSpec
from lram_core.errors import TaskError
from lram_sim.darkroom import (
    CELLS,
    MOVES,
    SIDE,
    TRIAL_STEPS,
    DarkRooms,
    best_return,
    goal_split,
    one_hot,
    task_name,
    towards,
)
from lram_sim.drive import Drive
from lram_sim.suite import Array, StepResult, check_seed, package_versions
from lram_sim.task_choice import unknown_task
from lram_sim.topics import JOINT_STATE, JOINT_STATES, SensorField, SensorTopic

NAME = "darkroom"
# Rows and columns one-hot: one linear map embeds an observation, and has to tell cells apart.
OBSERVATION = tuple(ObservationField(name, SIDE, "1") for name in ("row", "column"))
ACTION: tuple[ActionField, ...] = (ActionField("move", "1", DISCRETE, 0.0, float(len(MOVES) - 1)),)
REWARD = RewardSpec(definition="1 for a move that ends on the goal, else 0.", scale=20.0)
_RATE = 1.0
_KEPT_SHARE = 0.5


class _Expert:
    """Knows the goal and takes a shortest way."""

    def __init__(self, goal: int) -> None:
        self._goal = goal

    def act(self, observation: Array) -> Array:
        row, column = (int(part.argmax()) for part in np.split(observation, 2))
        return np.array([float(towards(row * SIDE + column, self._goal))])


class DarkRoomTask:
    """One goal; see :class:`lram_sim.suite.Task`. Every seed gives the same trial."""

    observation_fields = OBSERVATION
    action_fields = ACTION
    control_rate = _RATE
    max_episode_steps = TRIAL_STEPS

    def __init__(self, goal: int) -> None:
        self.goal = goal
        self.name = task_name(goal)
        self.demonstration_return = _KEPT_SHARE * best_return(goal)
        self._room = DarkRooms([goal])
        self._steps: int | None = None

    @property
    def model(self) -> Any:
        """There is none, nor ``data``. Raises TaskError."""
        raise TaskError(f"suite '{NAME}' is no simulation of MuJoCo: there is nothing to draw")

    data = model

    def reset(self, seed: int) -> Array:
        """Start a trial; returns the observation."""
        check_seed(seed)
        self._room.reset()
        self._steps = 0
        return self._observation()

    def step(self, action: npt.ArrayLike) -> StepResult:
        """Make a move: the nearest whole number of those there are."""
        command = np.asarray(action, dtype=np.float64)
        if command.shape != (1,) or not np.isfinite(command).all():
            raise TaskError(f"task '{self.name}': expected 1 finite action value, got {command}")
        if self._steps is None or self._steps >= TRIAL_STEPS:
            raise TaskError(f"task '{self.name}': no episode is running; reset it first")
        self._steps += 1
        _, rewards = self._room.step(np.rint(command).clip(0, len(MOVES) - 1).astype(np.int64))
        return StepResult(self._observation(), float(rewards[0]), False, self._steps == TRIAL_STEPS)

    def sensors(self) -> dict[str, Array]:
        """Return row and column, one-hot."""
        row, column = np.split(self._observation(), 2)
        return {"row": row, "column": column}

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """There are no joints."""
        return (), np.zeros(0), np.zeros(0)

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """There are no bodies."""
        return {}

    def expert(self) -> _Expert:
        """Return an agent that knows the goal."""
        return _Expert(self.goal)

    def close(self) -> None:
        """There is nothing to free."""

    def _observation(self) -> Array:
        return one_hot(self._room.cells)[0].astype(np.float64)


class DarkRoomSuite:
    """See :class:`lram_sim.suite.Suite`."""

    name = NAME
    robot = NAME
    gripper = "none"
    controller = ""
    control_rate = _RATE
    max_episode_steps = TRIAL_STEPS
    observation_fields = OBSERVATION
    action_fields = ACTION
    reward = REWARD
    camera = ""
    drive: Drive | None = None
    topics = (
        *(
            SensorTopic(
                name,
                JOINT_STATE,
                (SensorField(name, "position", tuple(f"{name}_{i}" for i in range(SIDE))),),
            )
            for name in ("row", "column")
        ),
        SensorTopic(JOINT_STATES, JOINT_STATE, ()),
    )

    @cached_property
    def _goals(self) -> dict[str, int]:
        return {task_name(goal): goal for goal in range(CELLS)}

    @cached_property
    def reference_returns(self) -> dict[str, float]:
        """Task → return of a shortest way, which counts as 1."""
        return {task: best_return(goal) for task, goal in self._goals.items()}

    @cached_property
    def splits(self) -> Mapping[str, list[str]]:
        """Goals to train on, goals held out, and both."""
        train, test = ([task_name(goal) for goal in goals] for goals in goal_split())
        return {"all": self.tasks(), "train": train, "test": test}

    def tasks(self) -> list[str]:
        return list(self._goals)

    def goal(self, task: str) -> int:
        """Return the goal's cell. Raises TaskError for an unknown task."""
        if task not in self._goals:
            raise unknown_task(task, NAME, self.tasks(), self.splits)
        return self._goals[task]

    def make(self, task: str) -> DarkRoomTask:
        return DarkRoomTask(self.goal(task))

    def robot_description(self) -> str:
        """There is none."""
        return ""

    def versions(self) -> dict[str, str]:
        return package_versions("numpy", "torch")
