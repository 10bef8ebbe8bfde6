"""Rollouts while training: how often the policy really succeeds, and which weights did best.

The core knows no simulator. What rolls out is named here as a text, as the commands of other
packages are in :mod:`lram_core.cli`, or given by the caller.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lram_core.contract import PolicyContract
from lram_core.data.files import atomic_path
from lram_core.errors import CommandError, listed
from lram_core.training.config import TrainConfig

MAKER = "lram_sim.training_rollouts:make"
BEST, ROLLOUTS = "best", "rollouts.csv"
SUCCESS = "success"


class Rollouts(Protocol):
    """Rolls a bundle out."""

    def check(self, contracts: Mapping[str, PolicyContract]) -> None:
        """Raises ContractError, naming both sides, unless a policy could be rolled out."""
        ...

    def measure(self, bundle: Path) -> dict[str, float]:
        """Return task → success rate, or return as a share of the task's reference return.

        Of several suites, a task is called ``suite:task``.
        """
        ...


def load_rollouts(config: TrainConfig) -> Rollouts | None:
    """Return what the settings ask for; None for nothing.

    Raises:
        CommandError: the settings contradict each other, or the simulator is not installed.
        TaskError: unknown suite or task, or a suite without a task.
    """
    if not config.rollout_every:
        if config.keep == "best":
            raise CommandError("keep 'best' chooses by rollouts: it needs rollout_every above 0")
        return None
    if not config.rollout_tasks:
        raise CommandError(
            "rollout_every needs rollout_tasks: comma-separated tasks and splits of the suite "
            f"{config.rollout_suite}; of several suites, suite:task is of one alone"
        )
    module, name = MAKER.split(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise CommandError(
            f"rollout_every needs the Python module '{error.name}', which is not installed"
        ) from None
    rollouts: Rollouts = make(
        config.rollout_suite,
        config.rollout_tasks,
        config.rollout_episodes,
        config.rollout_workers,
    )
    return rollouts


def mean(scores: Mapping[str, float]) -> float:
    """Return the mean over tasks."""
    return sum(scores.values()) / len(scores)


def note_rollouts(run: Path, step: int, scores: Mapping[str, float]) -> None:
    """Add a row a task to ``rollouts.csv``; rows of this and later steps are replaced."""
    file = run / ROLLOUTS
    rows: list[Sequence[object]] = []
    if file.exists():
        with file.open(newline="") as source:
            rows = [row for row in list(csv.reader(source))[1:] if row and int(row[0]) < step]
    rows += [(step, task, f"{score:.6g}") for task, score in scores.items()]
    with atomic_path(file) as temporary, temporary.open("w", newline="") as target:
        csv.writer(target).writerows([("step", "task", SUCCESS), *rows])


def describe(scores: Mapping[str, float]) -> str:
    """Return one line for people: the mean, and the worst tasks."""
    worst = sorted(scores, key=lambda task: scores[task])[:3]
    return f"rollouts: {mean(scores):.3f} over {len(scores)} tasks; least " + listed(
        f"{task} {scores[task]:.2f}" for task in worst
    )
