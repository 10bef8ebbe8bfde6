"""One episode of a policy in a task, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError, listed
from lram_core.observation import ObservationAssembler
from lram_sim.suite import Suite, Task

Array = npt.NDArray[np.float64]


class Driver(Protocol):
    """A policy as a rollout sees it: :class:`lram_core.policy.Policy`, or an expert."""

    def reset(self, task: str | None = None, target_return: float | None = None) -> None: ...

    def act(self, observation: npt.NDArray[np.float32], reward: float) -> Any:
        """Return an object whose ``values`` are the action, float64 (action_size,)."""
        ...


@dataclass(frozen=True)
class EpisodeRecord:
    """An episode of T control ticks, up to its first success.

    Attributes:
        task, seed: which episode.
        observations: float32 (T, observation_size), what the policy was given at each tick.
        actions: float64 (T, action_size), what it commanded.
        rewards: float64 (T,), the suite's reward of each action.
        success_step: number of ticks until the success flag was raised, None if it never was.
        failure: what broke the simulation and ended the episode, in one line; empty if nothing did.
    """

    task: str
    seed: int
    observations: npt.NDArray[np.float32]
    actions: Array
    rewards: Array
    success_step: int | None
    failure: str = ""

    @property
    def success(self) -> bool:
        return self.success_step is not None

    @property
    def steps(self) -> int:
        return len(self.rewards)

    @property
    def total_reward(self) -> float:
        """Plain sum of the rewards."""
        return float(self.rewards.sum())


@dataclass(frozen=True)
class _ExpertAction:
    values: Array


class ExpertPolicy:
    """A task's scripted expert in the place of a trained policy; it sees the same numbers."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._expert = task.expert()

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        """Start an episode; an expert has no target return."""
        self._expert = self._task.expert()

    def act(self, observation: npt.NDArray[np.float32], reward: float) -> _ExpertAction:
        return _ExpertAction(self._expert.act(observation.astype(np.float64)))


def run_episode(
    task: Task,
    policy: Driver,
    seed: int,
    target_return: float | None = None,
    max_steps: int | None = None,
) -> EpisodeRecord:
    """Run one episode until its first success or the step limit.

    Observations are assembled from the task's sensors, as a node on a robot does it.

    Args:
        task: where to run.
        policy: what drives; its contract, if it has one, gives the observation's layout.
        seed: reset seed of the task.
        target_return: return to ask for; None for the contract's.
        max_steps: step limit, if below the task's own.

    Raises:
        TaskError, ContractError: the policy does not fit the task.
    """
    contract = getattr(policy, "contract", None)
    fields = task.observation_fields if contract is None else contract.observation
    assembler = ObservationAssembler(fields)
    limit = min(task.max_episode_steps, max_steps or task.max_episode_steps)
    task.reset(seed)
    policy.reset(task.name, target_return)
    observations, actions = [], []
    rewards: list[float] = []
    reward, success, over, failure = 0.0, False, False, ""
    while not success and not over and len(rewards) < limit:
        observation = assembler.assemble(task.sensors())
        action = np.asarray(policy.act(observation, reward).values, dtype=np.float64)
        result = task.step(action)
        reward, success, over = result.reward, result.success, result.truncated
        failure = result.failure
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
    return EpisodeRecord(
        task=task.name,
        seed=seed,
        observations=np.stack(observations),
        actions=np.stack(actions),
        rewards=np.array(rewards, dtype=np.float64),
        success_step=len(rewards) if success else None,
        failure=failure,
    )


def check_contract(contract: PolicyContract, suite: Suite) -> None:
    """Raises ContractError, naming both sides, unless the policy was made for the suite's robot."""
    sensors = {field.name: field.size for field in suite.observation_fields}
    sides = {
        "suite": (contract.suite, suite.name),
        "robot": (contract.robot, suite.robot),
        "gripper": (contract.gripper, suite.gripper),
        "controller": (contract.controller, suite.controller),
        "control rate": (f"{contract.control_rate:g} Hz", f"{suite.control_rate:g} Hz"),
        "actions": (_actions(contract), _actions(suite)),
    }
    problems = [
        f"{what}: the bundle has {bundle}, the suite {offered}"
        for what, (bundle, offered) in sides.items()
        if bundle != offered
    ]
    problems += [
        f"sensor {name}: the bundle needs {size} values, the suite has {sensors.get(name, 'none')}"
        for name, size in contract.sensors.items()
        if sensors.get(name) != size
    ]
    if problems:
        raise ContractError(f"the bundle does not fit: {listed(problems)}")


def _actions(side: PolicyContract | Suite) -> str:
    fields = side.action if isinstance(side, PolicyContract) else side.action_fields
    return ", ".join(f"{f.name} ({f.kind}, {f.unit}, {f.low:g}…{f.high:g})" for f in fields)
