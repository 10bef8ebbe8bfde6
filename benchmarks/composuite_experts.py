"""Success rates of Composuite's scripted expert, of the tasks it does not claim too.

python -m benchmarks.composuite_experts composuite-panda --tasks none --episodes 50
"""

from __future__ import annotations

import click
import numpy as np

from lram_core.errors import LramError
from lram_core.statistics import wilson_interval
from lram_sim.composuite_suite import ComposuiteSuite, ComposuiteTask
from lram_sim.rollout import ExpertPolicy, run_episode
from lram_sim.suite import EVALUATION_SEED, get_suite, resolve_tasks


class _Attempt(ExpertPolicy):
    """The expert, whether it claims the task or not."""

    def __init__(self, task: ComposuiteTask) -> None:
        self._try = task
        self._expert = task.attempt()

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        self._expert = self._try.attempt()


def measure(task: ComposuiteTask, episodes: int) -> str:
    """Run the first evaluation seeds; return a row of a table."""
    policy = _Attempt(task)
    records = [run_episode(task, policy, EVALUATION_SEED + i) for i in range(episodes)]
    won = [record.steps for record in records if record.success]
    low, high = wilson_interval(len(won), episodes)
    ticks = f"{np.mean(won):.0f} (at most {max(won)})" if won else "-"
    return f"| {task.name} | {len(won)}/{episodes} | {low:.2f} … {high:.2f} | {ticks} |"


@click.command()
@click.argument("suite")
@click.option("--tasks", required=True, help="Comma-separated tasks and splits.")
@click.option("--episodes", type=click.IntRange(min=1), default=50, show_default=True)
def main(suite: str, tasks: str, episodes: int) -> None:
    """Print a row a task as soon as it is measured."""
    try:
        found = get_suite(suite)
        if not isinstance(found, ComposuiteSuite):
            raise click.UsageError(f"'{suite}' is not a Composuite suite")
        names = resolve_tasks(found, tasks)
    except LramError as error:
        raise click.ClickException(str(error)) from None
    click.echo("| task | success | 95 % interval | ticks of a success |\n|---|---|---|---|")
    for name in names:
        task = found.make(name)
        click.echo(measure(task, episodes))
        task.close()


if __name__ == "__main__":
    main()
