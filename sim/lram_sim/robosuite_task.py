"""What all tasks of robosuite's arms have in common: episodes, control ticks, readings, experts."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField
from lram_core.errors import TaskError
from lram_sim.robosuite_control import Stepper
from lram_sim.robosuite_env import CONTROL_RATE, MAX_EPISODE_STEPS, Arm, EpisodeSource
from lram_sim.suite import Array, Expert, StepResult, check_seed, clipped_action
from lram_sim.task_choice import check_claimed


class ArmSuite(Protocol):
    """What a task takes from its suite."""

    name: str
    arm: Arm
    observation_fields: tuple[ObservationField, ...]
    action_fields: tuple[ActionField, ...]

    @property
    def claimed(self) -> tuple[str, ...]: ...


class ArmTask:
    """A task on one of robosuite's arms; see :class:`lram_sim.suite.Task`.

    Args:
        name: of the task.
        suite: it belongs to; ``claimed`` are the tasks in which the expert succeeds reliably.
        mode: ``joint`` or ``osc``.
        env: robosuite's environment.
        scene: reads the environment.
    """

    control_rate = CONTROL_RATE
    max_episode_steps = MAX_EPISODE_STEPS

    def __init__(self, name: str, suite: ArmSuite, mode: str, env: Any, scene: Any) -> None:
        self.name, self.suite, self.mode = name, suite.name, mode
        self.arm = suite.arm
        self.observation_fields = suite.observation_fields
        self.action_fields = suite.action_fields
        self.scene = scene
        self._claimed = suite.claimed
        self._env = env
        self._source = EpisodeSource(env)
        self._stepper = Stepper(env, mode)
        self._steps: int | None = None

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
        self._follow()
        self._steps = most if failure else self._steps + 1
        success = not failure and self.succeeded()
        return StepResult(self._observe(), float(success), success, self._steps >= most, failure)

    def _follow(self) -> None:
        """Note what a control tick has done, where success depends on more than the moment."""

    def succeeded(self) -> bool:
        """Tell whether the task is solved as everything is now."""
        return bool(self._env._check_success())

    def sensors(self) -> dict[str, Array]:
        """Return sensor name → reading, float64, the very numbers of the last observation."""
        if self._steps is None:
            raise TaskError(f"task '{self.name}': no sensor readings before the first reset")
        found: dict[str, Array] = self.scene.sensors()
        return found

    def joint_state(self) -> tuple[tuple[str, ...], Array, Array]:
        """Return names, positions (rad, m) and velocities of the arm's joints, then the hand's."""
        found: tuple[tuple[str, ...], Array, Array] = self.scene.joint_state()
        return found

    def frames(self) -> dict[str, tuple[Array, Array]]:
        """Return the arm's base, the hand and the objects as frames in the world."""
        found: dict[str, tuple[Array, Array]] = self.scene.frames()
        return found

    def expert(self) -> Expert:
        """Return a new scripted expert for one episode.

        Raises:
            TaskError: it does not succeed reliably in this task; lists those in which it does.
        """
        check_claimed(self.name, self.suite, self._claimed)
        return self.attempt()

    def attempt(self) -> Expert:
        """Return the expert, whether it succeeds reliably in this task or not."""
        raise NotImplementedError

    def close(self) -> None:
        """Free the simulation; the task cannot be used afterwards."""
        self._env.close()

    def _observe(self) -> Array:
        return np.concatenate(list(self.scene.sensors().values()))
