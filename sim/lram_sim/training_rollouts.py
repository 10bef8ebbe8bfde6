"""Rollouts of a policy that is being trained; see :mod:`lram_core.training.rollouts`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from lram_core.contract import PolicyContract
from lram_core.embodiments import choose, of_suite
from lram_sim.cameras import Cameras, with_cameras
from lram_sim.evaluate import evaluate
from lram_sim.rollout import check_contract, run_episode
from lram_sim.suite import EVALUATION_SEED, Suite, get_suite, reference_returns, resolve_tasks
from lram_sim.summaries import Outcome, Summary, summaries
from lram_sim.workers import PolicySource

FIRST_SEED = EVALUATION_SEED + 900_000_000
"""Neither demonstrations nor ``lram eval`` begin here: weights chosen by these episodes are
measured on others."""


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


def make(suite: str, tasks: str, episodes: int, workers: int) -> SuiteRollouts:
    """Return the rollouts that settings describe. Raises TaskError: unknown suite or task."""
    found = get_suite(suite)
    return SuiteRollouts(found, resolve_tasks(found, tasks), episodes, workers)
