"""What the episodes of an evaluation come to: success rates, or shares of a reference return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lram_core.errors import listed
from lram_core.statistics import bootstrap_interval, wilson_interval
from lram_sim.rollout import EpisodeRecord

SHORT_HORIZON = 200
"""The paper's episode length in Meta-World; success within it is reported beside the rest."""


@dataclass(frozen=True)
class Outcome:
    """How one episode ended.

    Attributes:
        task, seed: which episode.
        success: success flag raised within the step limit.
        steps: control ticks until success, or all of them.
        total_reward: plain sum of the rewards.
        failure: what broke the simulation and ended the episode, in one line; empty if nothing did.
    """

    task: str
    seed: int
    success: bool
    steps: int
    total_reward: float
    failure: str = ""

    @classmethod
    def of(cls, record: EpisodeRecord) -> Outcome:
        """Return how a recorded episode ended."""
        return cls(
            *(record.task, record.seed, record.success, record.steps),
            *(record.total_reward, record.failure),
        )


def broken_episodes(outcomes: Sequence[Outcome]) -> str:
    """Return a sentence on the episodes in which the simulation broke; empty if there are none."""
    broken = [outcome for outcome in outcomes if outcome.failure]
    if not broken:
        return ""
    named = listed((f"{o.task} seed {o.seed}: {o.failure}" for o in broken), limit=3)
    return f"{len(broken)} of {len(outcomes)} episodes ended early: {named}"


@dataclass(frozen=True)
class Summary:
    """Figures of a group of episodes of tasks with a success flag.

    Attributes:
        name: task, or ``mean`` of the whole.
        episodes: number of episodes.
        success_rate, low, high: share of successes and its 95 % Wilson interval.
        success_rate_200, low_200, high_200: the same, for success within 200 ticks.
        mean_return: mean sum of rewards, up to the success.
        mean_steps: mean number of ticks, failures at their full length.
    """

    name: str
    episodes: int
    success_rate: float
    low: float
    high: float
    success_rate_200: float
    low_200: float
    high_200: float
    mean_return: float
    mean_steps: float

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *("task", "episodes", "success", "95 %"),
        *(f"in {SHORT_HORIZON}", "return", "ticks"),
    )

    def cells(self) -> list[str]:
        """The figures of a table's row, as :attr:`COLUMNS` names them."""
        return [
            *(self.name, str(self.episodes), f"{self.success_rate:.3f}"),
            *(f"{self.low:.2f} – {self.high:.2f}", f"{self.success_rate_200:.3f}"),
            *(f"{self.mean_return:,.0f}", f"{self.mean_steps:.0f}"),
        ]


@dataclass(frozen=True)
class ReturnSummary:
    """Figures of a group of episodes of tasks that are measured by their returns.

    Attributes:
        name: task, or ``mean`` of the whole.
        episodes: number of episodes.
        normalised_return, low, high: mean over tasks of the mean return as a share of the task's
            reference return, and its 95 % bootstrap interval (episodes resampled within tasks).
        mean_return, least_return: mean and smallest sum of rewards.
        mean_steps: mean number of ticks.
    """

    name: str
    episodes: int
    normalised_return: float
    low: float
    high: float
    mean_return: float
    least_return: float
    mean_steps: float

    COLUMNS: ClassVar[tuple[str, ...]] = (
        *("task", "episodes", "normalised", "95 %"),
        *("return", "least", "ticks"),
    )

    def cells(self) -> list[str]:
        """The figures of a table's row, as :attr:`COLUMNS` names them."""
        return [
            *(self.name, str(self.episodes), f"{self.normalised_return:.3f}"),
            *(f"{self.low:.2f} – {self.high:.2f}", f"{self.mean_return:,.0f}"),
            *(f"{self.least_return:,.0f}", f"{self.mean_steps:.0f}"),
        ]


def summarise(name: str, outcomes: list[Outcome]) -> Summary:
    """Return the figures of some episodes (at least one)."""
    count = len(outcomes)
    successes = sum(outcome.success for outcome in outcomes)
    short = sum(outcome.success and outcome.steps <= SHORT_HORIZON for outcome in outcomes)
    low, high = wilson_interval(successes, count)
    low_200, high_200 = wilson_interval(short, count)
    return Summary(
        name=name,
        episodes=count,
        success_rate=successes / count,
        low=low,
        high=high,
        success_rate_200=short / count,
        low_200=low_200,
        high_200=high_200,
        mean_return=float(np.mean([outcome.total_reward for outcome in outcomes])),
        mean_steps=float(np.mean([outcome.steps for outcome in outcomes])),
    )


def summarise_returns(
    name: str, outcomes: list[Outcome], references: Mapping[str, float]
) -> ReturnSummary:
    """Return the figures of some episodes (at least one), given each task's reference return."""
    tasks = list(dict.fromkeys(outcome.task for outcome in outcomes))
    groups = [
        np.array([o.total_reward / references[task] for o in outcomes if o.task == task])
        for task in tasks
    ]
    low, high = bootstrap_interval(groups)
    returns = [outcome.total_reward for outcome in outcomes]
    return ReturnSummary(
        name=name,
        episodes=len(outcomes),
        normalised_return=float(np.mean([group.mean() for group in groups])),
        low=low,
        high=high,
        mean_return=float(np.mean(returns)),
        least_return=min(returns),
        mean_steps=float(np.mean([outcome.steps for outcome in outcomes])),
    )


def summaries(
    outcomes: list[Outcome], references: Mapping[str, float] | None = None
) -> list[Summary] | list[ReturnSummary]:
    """Return one summary a task, and the ``mean`` over all episodes as the last.

    With ``references`` (task → return that counts as 1) they are about returns.
    """
    tasks = list(dict.fromkeys(outcome.task for outcome in outcomes))
    groups = {task: [o for o in outcomes if o.task == task] for task in tasks}
    groups["mean"] = outcomes
    if references:
        return [summarise_returns(name, some, references) for name, some in groups.items()]
    return [summarise(name, some) for name, some in groups.items()]
