"""Success rates of scripted experts, of the tasks that they do not claim too.

    python -m benchmarks.expert_rates composuite-iiwa --tasks none --json rates.json

Each episode is written as soon as it is over: the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import numpy as np

from lram_core.errors import LramError
from lram_core.statistics import wilson_interval
from lram_sim.rollout import ExpertPolicy, run_episode
from lram_sim.suite import EVALUATION_SEED, Suite, Task
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks

Rates = dict[str, dict[str, list[int | None]]]
"""Suite → task → ticks of each episode's success, None for a failure, in the order of the seeds."""


def won(ticks: list[int | None]) -> list[int]:
    """Return the ticks of the successes."""
    return [count for count in ticks if count is not None]


class Attempt(ExpertPolicy):
    """The expert, whether it claims the task or not."""

    def __init__(self, task: Task) -> None:
        self._make = getattr(task, "attempt", task.expert)
        self._expert = self._make()

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        self._expert = self._make()


class RateFile:
    """What was measured so far, in a JSON file.

    Args:
        path: the file, read if it is there; None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.rates: Rates = json.loads(path.read_text()) if path and path.exists() else {}

    def of(self, suite: str, task: str) -> list[int | None]:
        """Return the episodes of a task, to be appended to."""
        return self.rates.setdefault(suite, {}).setdefault(task, [])

    def save(self) -> None:
        """Write all of it, whole or not at all."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n".join(_suite_text(name, tasks) for name, tasks in sorted(self.rates.items()))
        draft = self._path.with_suffix(".part")
        draft.write_text(f"{{\n{rows}\n}}\n")
        os.replace(draft, self._path)


def _suite_text(suite: str, tasks: dict[str, list[int | None]]) -> str:
    """Return JSON with a line a task."""
    lines = (f'  "{task}": {json.dumps(ticks)}' for task, ticks in sorted(tasks.items()))
    return f' "{suite}": {{\n' + ",\n".join(lines) + "\n }"


def measure(suite: Suite, name: str, episodes: int, file: RateFile) -> list[int | None]:
    """Run what is missing of the first evaluation seeds; return ticks of success or None."""
    found = file.of(suite.name, name)
    if len(found) < episodes:
        task = suite.make(name)
        try:
            policy = Attempt(task)
            for index in range(len(found), episodes):
                found.append(run_episode(task, policy, EVALUATION_SEED + index).success_step)
                file.save()
        finally:
            task.close()
    return found[:episodes]


def row(name: str, ticks: list[int | None]) -> str:
    """Return a row of the table."""
    successes = won(ticks)
    low, high = wilson_interval(len(successes), len(ticks))
    mean = f"{np.mean(successes):.0f} (at most {max(successes)})" if successes else "-"
    return f"| {name} | {len(successes)}/{len(ticks)} | {low:.2f} … {high:.2f} | {mean} |"


@click.command()
@click.argument("suite")
@click.option("--tasks", required=True, help="Comma-separated tasks and splits.")
@click.option("--episodes", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "path", type=click.Path(dir_okay=False, path_type=Path))
def main(suite: str, tasks: str, episodes: int, path: Path | None) -> None:
    """Print a row a task as soon as it is measured."""
    try:
        found = get_suite(suite)
        names = resolve_tasks(found, tasks)
    except LramError as error:
        raise click.ClickException(str(error)) from None
    file = RateFile(path)
    click.echo("| task | success | 95 % interval | ticks of a success |\n|---|---|---|---|")
    for name in names:
        click.echo(row(name, measure(found, name, episodes, file)))


if __name__ == "__main__":
    main()
