"""Progress of a run of episodes: a bar in a terminal, a line an episode elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from lram_ros.episode_driver import EpisodeDriver, EpisodePlan
from lram_ros.report import EpisodeResult


def run_with_progress(
    driver: EpisodeDriver, plan: list[EpisodePlan], console: Console
) -> Iterator[EpisodeResult]:
    """:meth:`EpisodeDriver.run` with its progress shown on ``console``."""
    bar = Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        row = bar.add_task("", total=len(plan))

        def show(episode: EpisodePlan, tick: int) -> None:
            bar.update(row, description=f"{episode.task} tick {tick}")

        for number, result in enumerate(driver.run(plan, show), start=1):
            bar.update(row, completed=number)
            console.print(_line(result, number, len(plan)), highlight=False)
            yield result


def _line(result: EpisodeResult, number: int, total: int) -> str:
    outcome = "[green]success[/]" if result.success else "[red]no success[/]"
    return (
        f"{number:>{len(str(total))}}/{total} {result.task} seed {result.seed}: {outcome} "
        f"after {result.ticks} ticks, {result.loop_rate:.0f} Hz"
    )
