"""``lram eval``: how well a policy, or the experts, do over tasks and seeds.

Tasks with a success flag are measured by their success rates, the others by their returns, as
shares of what counts as full marks (:func:`lram_sim.suite.reference_returns`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.data.files import atomic_folder, check_replaceable
from lram_core.errors import CommandError, listed
from lram_core.statistics import bootstrap_interval, wilson_interval
from lram_sim.rollout import Driver, ExpertPolicy, check_contract, run_episode
from lram_sim.suite import Suite, check_seed
from lram_sim.workers import (
    Abandoned,
    PolicySource,
    cached_policy,
    cached_task,
    run_parallel,
    stopping,
)

CHUNK = 5
"""Episodes of one task in a work item."""
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
    """

    task: str
    seed: int
    success: bool
    steps: int
    total_reward: float


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


@dataclass(frozen=True)
class _Work:
    suite: str
    task: str
    seeds: tuple[int, ...]
    policy: PolicySource | None
    target_return: float | None


def evaluate(
    suite: Suite,
    tasks: list[str],
    episodes: int,
    first_seeds: list[int],
    workers: int,
    policy: PolicySource | None,
    target_return: float | None = None,
    on_progress: Callable[[int, int], None] = lambda episodes, steps: None,
) -> list[Outcome]:
    """Run episodes in each task: a block of ``episodes`` consecutive seeds for each first seed.

    Args:
        suite: whose tasks.
        tasks: names of the tasks.
        episodes: number of episodes a task and block.
        first_seeds: first reset seed of each block.
        workers: number of processes.
        policy: the policy to evaluate; None for the tasks' experts.
        target_return: return to ask for in every task; None for the contract's.
        on_progress: called with the number of episodes just done and their ticks.

    Returns:
        The episodes, in the order of ``tasks`` and seeds.

    Raises:
        CommandError: two blocks of seeds overlap.
        LramError: as ``Policy.load`` in a worker.
    """
    seeds = [check_seed(first + i) for first in first_seeds for i in range(episodes)]
    if len(set(seeds)) < len(seeds):
        raise CommandError(
            f"blocks of {episodes} seeds from {listed(first_seeds)} overlap; "
            "an episode would count twice"
        )
    items = [
        _Work(
            suite.name,
            task,
            tuple(seeds[start : start + CHUNK]),
            policy,
            target_return,
        )
        for task in tasks
        for start in range(0, len(seeds), CHUNK)
    ]
    outcomes: list[Outcome] = []
    with closing(run_parallel(_run_work, items, min(workers, len(items)))) as results:
        for some in results:
            outcomes += some
            on_progress(len(some), sum(outcome.steps for outcome in some))
    order = {task: index for index, task in enumerate(tasks)}
    return sorted(outcomes, key=lambda outcome: (order[outcome.task], outcome.seed))


def check_policy(source: PolicySource, suite: Suite) -> str:
    """Load a policy once, before any worker does; returns what runs it, in words.

    Raises:
        ContractError: it does not fit the suite.
        LramError: as ``Policy.load``.
    """
    policy = source.load()
    check_contract(policy.contract, suite)
    return policy.runtime.describe()


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


def check_writable(out: Path) -> None:
    """Raises CommandError if ``out`` is there and holds anything but earlier results."""
    check_replaceable(out, "results.json", "result of 'lram eval'")


def write_results(
    out: Path,
    outcomes: list[Outcome],
    parameters: dict[str, Any],
    references: Mapping[str, float] | None = None,
) -> None:
    """Write ``results.csv`` (a row a task) and ``results.json`` (all episodes) into ``out``.

    The folder appears whole or not at all; earlier results in it are replaced. ``references`` as
    for :func:`summaries`.
    """
    check_writable(out)
    rows = summaries(outcomes, references)
    with atomic_folder(out) as folder:
        with (folder / "results.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(
                {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()}
                for row in rows
            )
        content = {
            "parameters": parameters,
            "mean": asdict(rows[-1]),
            "tasks": [asdict(row) for row in rows[:-1]],
            "episodes": [asdict(outcome) for outcome in outcomes],
        }
        (folder / "results.json").write_text(json.dumps(content, indent=1) + "\n")


def _run_work(work: _Work) -> list[Outcome]:
    task = cached_task(work.suite, work.task)
    policy: Driver = cached_policy(work.policy) if work.policy else ExpertPolicy(task)
    outcomes = []
    for seed in work.seeds:
        if stopping():
            raise Abandoned
        record = run_episode(task, policy, seed, work.target_return)
        outcomes.append(Outcome(task.name, seed, record.success, record.steps, record.total_reward))
    return outcomes
