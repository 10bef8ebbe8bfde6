"""The robot behind the bridge: one task at a time, stepped command by command. Free of ROS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import cast

import numpy as np

from lram_core.contract import ActionField
from lram_sim.drive import Follower
from lram_sim.suite import Array, StepResult, Suite, Task, check_seed


class State(IntEnum):
    """States of an episode; the numbers of ``EpisodeStatus``."""

    IDLE = 0
    RUNNING = 1
    SUCCEEDED = 2
    TRUNCATED = 3
    ABORTED = 4


@dataclass(frozen=True)
class Snapshot:
    """Everything there is to say about one control tick.

    Attributes:
        stamp: simulation time in nanoseconds; rises by one control period a snapshot and never
            goes back, episodes included.
        episode: counts resets, from 1.
        tick: control ticks since the reset.
        task, seed: what runs.
        state: whether a command is expected.
        success: the task's success flag.
        reward: of the action executed in the tick before; 0 at tick 0.
        episode_return: sum of the rewards so far.
        sensors: sensor → reading, float64.
        joints: names, positions (rad, m) and velocities (rad/s, m/s) of arm and hand.
        failure: why the episode was aborted; empty otherwise.
    """

    stamp: int
    episode: int
    tick: int
    task: str
    seed: int
    state: State
    success: bool
    reward: float
    episode_return: float
    sensors: dict[str, Array]
    joints: tuple[tuple[str, ...], Array, Array]
    failure: str = ""


class Simulation:
    """Runs episodes of a suite's tasks and keeps simulation time.

    An episode ends at its first success, at its step limit, or where its simulator becomes unstable
    (it is aborted then). All calls must come from one
    thread.
    """

    def __init__(self, suite: Suite, before_close: Callable[[], None] = lambda: None) -> None:
        """``before_close`` is called before a task's simulator goes away."""
        self.suite = suite
        self._before_close = before_close
        self.task: Task | None = None
        self.current: Snapshot | None = None
        self._period = round(1e9 / suite.control_rate)
        self._limit = 0

    def reset(self, task: str, seed: int, max_steps: int = 0) -> Snapshot:
        """Start an episode and return its first snapshot.

        Args:
            task: name of a task of the suite.
            seed: of the episode, not negative.
            max_steps: step limit, 0 for the task's own, which is never exceeded.

        Raises:
            TaskError: unknown task (the message lists them) or bad seed; what ran before is left
                as it was.
        """
        check_seed(seed)
        if self.task is None or self.task.name != task:
            made = self.suite.make(task)
            self.close()
            self.task = made
        self.task.reset(seed)
        own = self.task.max_episode_steps
        self._limit = min(max_steps or own, own)
        episode = self.current.episode + 1 if self.current else 1
        self.current = self._snapshot(self.task, episode, 0, seed, State.RUNNING, False, 0.0, 0.0)
        return self.current

    def step(self, action: Array) -> Snapshot:
        """Execute an action, float64 (action_size,), and return the snapshot after it.

        Raises:
            TaskError: the action is malformed.
        """
        before, task = self._running()
        return self._after(before, task, task.step(action))

    def follow(self, action: Array) -> Snapshot:
        """Execute what :class:`lram_sim.drive.Targets` made of commands; otherwise as step."""
        before, task = self._running()
        return self._after(before, task, cast("Follower", task).follow(action))

    def _running(self) -> tuple[Snapshot, Task]:
        if self.current is None or self.task is None or self.current.state is not State.RUNNING:
            raise RuntimeError("step without a running episode")
        return self.current, self.task

    def _after(self, before: Snapshot, task: Task, result: StepResult) -> Snapshot:
        tick = before.tick + 1
        if result.failure:
            state = State.ABORTED
        elif result.success:
            state = State.SUCCEEDED
        elif result.truncated or tick >= self._limit:
            state = State.TRUNCATED
        else:
            state = State.RUNNING
        total = before.episode_return + result.reward
        snapshot = self._snapshot(
            task, before.episode, tick, before.seed, state, result.success, result.reward, total
        )
        self.current = replace(snapshot, failure=result.failure) if result.failure else snapshot
        return self.current

    def close(self) -> None:
        """Give the task back."""
        if self.task is not None:
            self._before_close()
            self.task.close()
            self.task = None

    def _snapshot(
        self,
        task: Task,
        episode: int,
        tick: int,
        seed: int,
        state: State,
        success: bool,
        reward: float,
        total: float,
    ) -> Snapshot:
        return Snapshot(
            stamp=(self.current.stamp if self.current else 0) + self._period,
            episode=episode,
            tick=tick,
            task=task.name,
            seed=seed,
            state=state,
            success=success,
            reward=reward,
            episode_return=total,
            sensors=task.sensors(),
            joints=task.joint_state(),
        )


class Standstill:
    """What a robot does when no command comes: it stops, and keeps hold of what it has."""

    def __init__(self, fields: tuple[ActionField, ...]) -> None:
        self._moves = np.array(
            [field.kind.endswith(("delta", "velocity", "effort")) for field in fields]
        )
        self._neutral = np.array([min(max(0.0, f.low), f.high) for f in fields])

    def after(self, last: Array | None) -> Array:
        """Return the action for a tick without a command, given the last one (None: none yet).

        Deltas, velocities and efforts become zero; positions and the gripper keep their last value.
        """
        if last is None:
            return self._neutral.copy()
        return np.where(self._moves, self._neutral, last)
