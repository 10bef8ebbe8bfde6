"""Demonstrations of one task: the work a collecting process does, without any processes in it.

Everything here is a function of its arguments alone, so a collection gives the same dataset
whatever the number of workers and however often it was interrupted.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Protocol

import numpy as np

from lram_core.data.schema import Episode
from lram_sim.perturb import Perturbation, draw
from lram_sim.rollout import Driver
from lram_sim.suite import Expert, Task, demonstration_return
from lram_sim.workers import Abandoned

FACTORS = (1.0, 0.5, 0.25, 0.0)
"""Strength of the perturbation in the tries at one start; the last is undisturbed."""
STARTS = 6
"""Number of starts tried for one episode before it is given up."""
GIVE_UP = 3
"""Number of episodes given up, with none collected, after which a task counts as broken."""
ROLL_IN_TICKS = (10, 150)


@dataclass(frozen=True)
class Recipe:
    """Parameters that determine the episodes.

    Attributes:
        episodes: number of episodes a task.
        seed: first reset seed; start ``k`` of episode ``i`` has seed ``seed + i + k * episodes``.
        noise: largest standard deviation of the perturbation (1 is the largest action).
        roll_in_fraction: share of the episodes that a trained policy begins.
    """

    episodes: int
    seed: int
    noise: float
    roll_in_fraction: float = 0.0


@dataclass
class Tally:
    """What it took to collect the episodes of one work item.

    Attributes:
        collected: episodes kept.
        given_up: episodes for which no try succeeded.
        tries, successes: episodes run, and of these the successful ones.
        first_tries, first_successes: the same, for tries at full strength only.
        steps: control ticks simulated, those of failed tries included.
        seconds: time it took, in s (not reproducible, unlike the rest).
        kinds: kind of perturbation → [tries at full strength, successes].
        failures: what broke the simulation → number of tries that it ended.
    """

    collected: int = 0
    given_up: int = 0
    tries: int = 0
    successes: int = 0
    first_tries: int = 0
    first_successes: int = 0
    steps: int = 0
    seconds: float = 0.0
    kinds: dict[str, list[int]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        for name, value in asdict(other).items():
            if name not in ("kinds", "failures"):
                setattr(self, name, getattr(self, name) + value)
        for kind, (tries, successes) in other.kinds.items():
            mine = self.kinds.setdefault(kind, [0, 0])
            mine[0] += tries
            mine[1] += successes
        for failure, tries in other.failures.items():
            self.failures[failure] = self.failures.get(failure, 0) + tries

    def told_failures(self) -> str:
        """Return what broke the simulation, and how often, in words."""
        return ", ".join(f"{failure} in {tries}" for failure, tries in self.failures.items())

    @property
    def success_rate(self) -> float:
        """Share of the tries at full strength that succeeded (0 without any)."""
        return self.first_successes / self.first_tries if self.first_tries else 0.0


class Demonstrator(Protocol):
    """Gives what drives an episode of a task that has just been reset.

    What it gives may have the attributes ``finished``, true once more ticks lead nowhere, and
    ``source``, a text that is kept with the episode.
    """

    def __call__(self, task: Task, rng: np.random.Generator) -> Expert: ...


def by_expert(task: Task, rng: np.random.Generator) -> Expert:
    """The task's own expert."""
    return task.expert()


def demonstrate(
    task: Task,
    numbers: range,
    recipe: Recipe,
    policy: Driver | None = None,
    stopping: Callable[[], bool] = lambda: False,
    demonstrator: Demonstrator = by_expert,
) -> tuple[list[Episode], Tally]:
    """Collect the episodes ``numbers`` of a task.

    An episode whose tries all fail is left out and counted; if none of the first
    :data:`GIVE_UP` succeeds, the rest is not tried.

    Args:
        task: the task to run.
        numbers: which of the task's ``recipe.episodes`` episodes.
        recipe: the parameters.
        policy: drives the first ticks of some episodes, if ``recipe.roll_in_fraction`` > 0.
        stopping: asked before each episode.
        demonstrator: whose actions are the labels.

    Returns:
        The successful episodes in order, and the tally (its ``seconds`` left at 0).

    Raises:
        Abandoned: ``stopping`` said yes.
    """
    tally = Tally()
    episodes = []
    for number in numbers:
        if stopping():
            raise Abandoned
        episode = _collect_one(task, number, recipe, policy, tally, demonstrator)
        if episode is not None:
            episodes.append(episode)
            tally.collected += 1
        else:
            tally.given_up += 1
            if not episodes and tally.given_up >= GIVE_UP:
                break
    return episodes, tally


def _collect_one(
    task: Task,
    number: int,
    recipe: Recipe,
    policy: Driver | None,
    tally: Tally,
    demonstrator: Demonstrator,
) -> Episode | None:
    grippers = [i for i, field in enumerate(task.action_fields) if field.kind == "gripper"]
    for start in range(STARTS):
        seed = recipe.seed + number + start * recipe.episodes
        rng = np.random.default_rng([seed, zlib.crc32(task.name.encode())])
        kind, scale = draw(recipe.noise, rng)
        roll_in = 0
        if policy is not None and rng.random() < recipe.roll_in_fraction:
            kind, scale = "roll-in", 0.0
            roll_in = int(rng.integers(ROLL_IN_TICKS[0], ROLL_IN_TICKS[1] + 1))
        for factor in FACTORS if kind != "none" else FACTORS[:1]:
            ticks = int(roll_in * factor)
            perturbation = Perturbation(kind, scale * factor, rng, grippers)
            driver = policy if ticks else None
            episode, failure = _run(
                task, seed, perturbation, driver, ticks, partial(demonstrator, rng=rng)
            )
            tally.tries += 1
            if failure:
                tally.failures[failure] = tally.failures.get(failure, 0) + 1
            tally.successes += episode.success
            tally.steps += len(episode.rewards)
            if factor == 1.0:
                tally.first_tries += 1
                tally.first_successes += episode.success
                count = tally.kinds.setdefault(kind, [0, 0])
                count[0] += 1
                count[1] += episode.success
            if episode.success:
                return episode
    return None


def _run(
    task: Task,
    seed: int,
    perturbation: Perturbation,
    policy: Driver | None,
    ticks: int,
    demonstrator: Callable[[Task], Expert],
) -> tuple[Episode, str]:
    """Run one episode until success or the step limit; returns it, and what broke the simulation.

    Where a task is measured by its return, an episode with enough of it is a success. The policy
    drives the first ``ticks`` steps, the perturbed expert the others; the labels are the expert's
    own actions throughout.
    """
    observation = task.reset(seed)
    expert = demonstrator(task)
    if policy is not None:
        policy.reset(task.name)
    observations, labels, rewards = [], [], []
    success, reward, failure = False, 0.0, ""
    for step in range(task.max_episode_steps):
        seen = observation.astype(np.float32)
        label = expert.act(observation)
        if policy is not None and step < ticks:
            action = np.asarray(policy.act(seen, reward).values, dtype=np.float64)
        else:
            action = perturbation.apply(label)
        result = task.step(action)
        observations.append(seen)
        labels.append(label)
        rewards.append(result.reward)
        observation, reward = result.observation, result.reward
        success, failure = result.success, result.failure
        if success or result.truncated or getattr(expert, "finished", False):
            break
    least = demonstration_return(task)
    if least is not None and not failure:
        success = sum(rewards) >= least
    episode = Episode(
        observations=np.stack(observations),
        actions=np.stack(labels).astype(np.float32),
        rewards=np.asarray(rewards, dtype=np.float32),
        task=task.name,
        seed=seed,
        success=success,
        noise=perturbation.scale,
        source=getattr(expert, "source", ""),
    )
    return episode, failure
