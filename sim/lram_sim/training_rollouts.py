"""Rollouts of a policy that is being trained; see :mod:`lram_core.training.rollouts`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from lram_core.contract import PolicyContract
from lram_core.embodiments import choose, of_suite
from lram_core.errors import TaskError, listed
from lram_sim.cameras import Cameras, with_cameras
from lram_sim.evaluate import evaluate
from lram_sim.policy_source import PolicySource
from lram_sim.rollout import check_contract, run_episode
from lram_sim.suite import EVALUATION_SEED, Suite, reference_returns
from lram_sim.suite_registry import get_suite, suite_names
from lram_sim.summaries import Outcome, Summary, summaries
from lram_sim.task_choice import resolve_tasks

FIRST_SEED = EVALUATION_SEED + 900_000_000
"""Neither demonstrations nor ``lram eval`` begin here: weights chosen by these episodes are
measured on others."""
OF = ":"
"""Between a suite and its task."""


@dataclass(frozen=True)
class SuiteRollouts:
    """Episodes of a bundle in tasks of a suite.

    Attributes:
        workers: processes; 1 for the caller's own, unless the policy sees pictures.
    """

    suite: Suite
    tasks: list[str]
    episodes: int
    workers: int

    def check(self, contracts: Mapping[str, PolicyContract]) -> None:
        """Raises ContractError, naming both sides, unless one of the contracts is the suite's."""
        name = choose(contracts, of_suite(self.suite.name), "the training's data")
        cameras = Cameras.of_policy(contracts[name].observation)
        check_contract(contracts[name], with_cameras(self.suite, cameras))

    def measure(self, bundle: Path) -> dict[str, float]:
        """Return task → success rate, or return as a share of the task's reference return.

        Raises:
            LramError: as ``Policy.load``.
        """
        source = PolicySource(str(bundle), suite=self.suite.name)
        # This process has imported MuJoCo without anything to draw with.
        if self.workers > 1 or Cameras.of_policy(source.contract().observation):
            outcomes = evaluate(
                self.suite, self.tasks, self.episodes, [FIRST_SEED], self.workers, source
            )
        else:
            outcomes = self._here(source)
        references = reference_returns(self.suite)
        return {
            row.name: row.success_rate if isinstance(row, Summary) else row.normalised_return
            for row in summaries(outcomes, references)[:-1]
        }

    def _here(self, source: PolicySource) -> list[Outcome]:
        outcomes = []
        # A policy sets the number of threads of the whole process.
        threads = torch.get_num_threads()
        try:
            policy = source.load()
            for name in self.tasks:
                with closing(self.suite.make(name)) as task:
                    for seed in range(FIRST_SEED, FIRST_SEED + self.episodes):
                        record = run_episode(task, policy, seed)
                        outcomes.append(Outcome.of(record))
        finally:
            torch.set_num_threads(threads)
        return outcomes


@dataclass(frozen=True)
class JointRollouts:
    """Episodes of a bundle with several embodiments, in tasks of the suite of each.

    Attributes:
        each: what to roll out, suite by suite.
    """

    each: tuple[SuiteRollouts, ...]

    def check(self, contracts: Mapping[str, PolicyContract]) -> None:
        """Raises ContractError, naming both sides, unless every suite has its contract."""
        for rollouts in self.each:
            rollouts.check(contracts)

    def measure(self, bundle: Path) -> dict[str, float]:
        """Return ``suite:task`` → what :meth:`SuiteRollouts.measure` does."""
        return {
            f"{rollouts.suite.name}{OF}{task}": score
            for rollouts in self.each
            for task, score in rollouts.measure(bundle).items()
        }


def make(suites: str, tasks: str, episodes: int, workers: int) -> SuiteRollouts | JointRollouts:
    """Return the rollouts that settings describe.

    Args:
        suites: a suite, or several with commas between them.
        tasks: tasks and splits with commas between them; ``suite:task`` is of that suite alone, a
            task without a suite of every one.
        episodes: of each task.
        workers: processes.

    Raises:
        TaskError: unknown suite or task, or a suite without a task.
    """
    found = [get_suite(name) for name in dict.fromkeys(_words(suites))]
    if not found:
        raise TaskError(f"no suite to roll out in; available: {listed(suite_names())}")
    names = [suite.name for suite in found]
    chosen: dict[str, list[str]] = {name: [] for name in names}
    for word in _words(tasks):
        owner, of, task = word.rpartition(OF)
        if of and owner not in chosen:
            raise TaskError(
                f"'{word}': the suite '{owner}' is none of those in rollout_suite ({listed(names)})"
            )
        for name in [owner] if of else names:
            chosen[name].append(task)
    for name, own in chosen.items():
        if not own:
            raise TaskError(
                f"rollout_tasks has no task of the suite '{name}'; expected one as {name}{OF}TASK"
            )
    each = tuple(
        SuiteRollouts(suite, resolve_tasks(suite, ",".join(chosen[suite.name])), episodes, workers)
        for suite in found
    )
    return each[0] if len(each) == 1 else JointRollouts(each)


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]
