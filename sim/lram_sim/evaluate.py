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

from lram_core.data.files import atomic_folder, check_place, check_replaceable
from lram_core.errors import CommandError, listed
from lram_sim.cameras import Cameras, with_cameras
from lram_sim.policy_source import PolicySource, cached_policy
from lram_sim.rollout import Driver, ExpertPolicy, check_contract, run_episode
from lram_sim.suite import Suite, check_seed
from lram_sim.summaries import Outcome, summaries
from lram_sim.workers import (
    Abandoned,
    Runner,
    cached_task,
    run_parallel,
    stopping,
)

CHUNK = 5
"""Episodes of one task in a work item."""


@dataclass(frozen=True)
class _Work:
    suite: str
    task: str
    seeds: tuple[int, ...]
    policy: PolicySource | None
    target_return: float | None
    cameras: Cameras | None


def evaluate(
    suite: Suite,
    tasks: list[str],
    episodes: int,
    first_seeds: list[int],
    workers: int | None,
    policy: PolicySource | None,
    target_return: float | None = None,
    on_progress: Callable[[int, int], None] = lambda episodes, steps: None,
    run: Runner = run_parallel,
) -> list[Outcome]:
    """Run episodes in each task: a block of ``episodes`` consecutive seeds for each first seed.

    Args:
        suite: whose tasks.
        tasks: names of the tasks.
        episodes: number of episodes a task and block.
        first_seeds: first reset seed of each block.
        workers: number of processes; None for one a processor.
        policy: the policy to evaluate; None for the tasks' experts.
        target_return: return to ask for in every task; None for the contract's.
        on_progress: called with the number of episodes just done and their ticks.
        run: what runs the work items: processes of this machine, or a cluster.

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
    cameras = None
    if policy is not None:
        cameras = Cameras.of_policy(policy.contract().observation)
    items = [
        _Work(
            suite.name,
            task,
            tuple(seeds[start : start + CHUNK]),
            policy,
            target_return,
            cameras,
        )
        for task in tasks
        for start in range(0, len(seeds), CHUNK)
    ]
    outcomes: list[Outcome] = []
    if workers is not None:
        workers = min(workers, len(items))
    with closing(run(_run_work, items, workers)) as results:
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
    cameras = Cameras.of_policy(policy.contract.observation)
    check_contract(policy.contract, with_cameras(suite, cameras))
    return policy.runtime.describe()


def check_writable(out: Path) -> None:
    """Raises CommandError if ``out`` holds anything but earlier results, or cannot be written."""
    check_replaceable(out, "results.json", "result of 'lram eval'")
    check_place(out)


def write_results(
    out: Path,
    outcomes: list[Outcome],
    parameters: dict[str, Any],
    references: Mapping[str, float] | None = None,
) -> None:
    """Write ``results.csv`` (a row a task), ``results.json`` (all episodes), ``report.html``.

    The folder appears whole or not at all; earlier results in it are replaced. ``references`` as
    for :func:`summaries`.
    """
    # Only here: the workers, which import this module too, draw nothing.
    from lram_core.report.page import write_page
    from lram_sim.report import evaluation_page

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
        write_page(folder / "report.html", evaluation_page(outcomes, rows, parameters))


def _run_work(work: _Work) -> list[Outcome]:
    task = cached_task(work.suite, work.task, work.cameras)
    policy: Driver = cached_policy(work.policy) if work.policy else ExpertPolicy(task)
    outcomes = []
    for seed in work.seeds:
        if stopping():
            raise Abandoned
        record = run_episode(task, policy, seed, work.target_return)
        outcomes.append(Outcome.of(record))
    return outcomes
