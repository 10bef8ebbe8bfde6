"""``lram collect darkroom --histories``: whole learning histories as one dataset.

The episodes of a task are the trials of one agent in the order in which it lived them, from its
first random moves to the best way it found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.data.schema import Episode
from lram_core.data.store import Dataset
from lram_core.data.writer import DatasetWriter
from lram_core.errors import DataError, listed
from lram_sim.darkroom import TRIAL_STEPS, one_hot
from lram_sim.darkroom_learner import PPO, learn
from lram_sim.darkroom_suite import DarkRoomSuite
from lram_sim.suite import dataset_schema

FORMAT = 1


def collect_histories(
    suite: DarkRoomSuite,
    tasks: list[str],
    trials: int,
    every: int,
    seed: int,
    out: Path,
    selection: str = "",
    on_progress: Callable[[int, int], None] = lambda episodes, steps: None,
) -> dict[str, float]:
    """Let an agent learn each task, and write what it did.

    Args:
        suite, tasks: which goals.
        trials: of each agent.
        every: keep one trial of so many: the learning shows in less data.
        seed: of the agents' choices.
        out: folder of the dataset; it appears when everything is written.
        selection: how the tasks were asked for, kept with the dataset.
        on_progress: called with the trials just played, of all agents, and their moves.

    Returns:
        Task → mean return of the last tenth of its history. If the dataset is there already, of the
        same parameters, nothing is run.

    Raises:
        DataError: ``out`` is there and was made with other parameters.
    """
    ppo = PPO()
    parameters = {
        "format": FORMAT,
        "suite": suite.name,
        "histories": True,
        "tasks": tasks,
        "episodes": trials,
        "every": every,
        "seed": seed,
        "learner": asdict(ppo),
        "versions": suite.versions(),
    }
    if out.exists():
        _check_same(Dataset.open(out).provenance, parameters, out)
        return _outcome(Dataset.open(out))
    history = learn(
        [suite.goal(task) for task in tasks],
        trials,
        seed,
        ppo,
        lambda done: on_progress(done * len(tasks), done * len(tasks) * TRIAL_STEPS),
    )
    with DatasetWriter(out, dataset_schema(suite)) as writer:
        for number, task in enumerate(tasks):
            least = suite.make(task).demonstration_return
            for trial in range(0, trials, every):
                rewards = history.rewards[trial, :, number]
                writer.add(
                    Episode(
                        observations=one_hot(history.cells[trial, :, number]),
                        actions=history.moves[trial, :, number, None].astype(np.float32),
                        rewards=rewards.copy(),
                        task=task,
                        seed=trial,
                        success=bool(rewards.sum() >= least),
                        noise=0.0,
                    )
                )
        writer.finish(
            {
                "selection": selection or ",".join(tasks),
                "source": "learning histories: every trial of an agent that starts from nothing",
                "parameters": parameters,
            }
        )
    return _outcome(Dataset.open(out))


def _outcome(data: Dataset) -> dict[str, float]:
    tasks, returns = data.column("task"), data.column("return")
    found = {}
    for task in dict.fromkeys(tasks.tolist()):
        own = returns[tasks == task]
        found[task] = float(own[-max(1, len(own) // 10) :].mean())
    return found


def _check_same(provenance: dict[str, Any], parameters: dict[str, Any], out: Path) -> None:
    recorded = provenance.get("parameters", {})
    different = [key for key, value in parameters.items() if recorded.get(key) != value]
    if different:
        raise DataError(
            f"{out}: a dataset of other {listed(different)} is there already; choose another --out"
        )
