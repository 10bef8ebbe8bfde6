"""What ``lram collect`` and ``lram eval`` show: progress, and tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lram_core.report.terminal import print_table
from lram_sim.demonstrate import Tally
from lram_sim.summaries import ReturnSummary, Summary

_LOG_EVERY = 10.0
"""Seconds between lines where the output is no terminal and a bar would not show."""


@contextmanager
def step_progress(what: str, episodes: int) -> Iterator[Callable[[int, int], None]]:
    """Show progress; yields a function to call with the episodes done and the steps they took."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes · {task.fields[rate]} steps/s · left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    begin = logged = time.monotonic()
    done = steps = 0
    with bar:
        row = bar.add_task(what, total=episodes, rate="–")

        def advance(more: int, taken: int) -> None:
            nonlocal done, steps, logged
            done, steps = done + more, steps + taken
            now = time.monotonic()
            rate = f"{steps / max(now - begin, 1e-9):,.0f}"
            bar.update(row, advance=more, rate=rate)
            if not console.is_terminal and (now - logged > _LOG_EVERY or done == episodes):
                logged = now
                left = (now - begin) / done * (episodes - done)
                console.print(
                    f"{what}: {done}/{episodes} episodes, {rate} steps/s, {left:.0f} s left"
                )

        yield advance


def collection_table(
    tallies: dict[str, Tally], out: Path, rate: str = "success at full noise"
) -> None:
    """Print success rates, under the heading ``rate``, and counts by task."""
    console, total = Console(), Tally()
    rows = []
    for task, tally in tallies.items():
        total.add(tally)
        rows.append((task, *_cells(tally)))
    rows.append((f"{len(tallies)} tasks", *_cells(total)))
    columns = ("task", "episodes", rate, "tries", "steps")
    print_table(console, f"Demonstrations in {out}", columns, rows, last=True)
    kinds = ", ".join(f"{k} {s}/{n}" for k, (n, s) in sorted(total.kinds.items()))
    console.print(
        f"success by perturbation: {kinds}; {total.given_up} episodes given up; "
        f"{total.steps / max(total.seconds, 1e-9):,.0f} steps/s a process"
    )
    if total.failures:
        console.print(f"tries that ended early: {total.told_failures()}")


def _cells(tally: Tally) -> tuple[str, ...]:
    return (
        f"{tally.collected:,}",
        f"{tally.success_rate:.3f} ({tally.first_successes}/{tally.first_tries})",
        f"{tally.tries:,}",
        f"{tally.steps:,}",
    )


def evaluation_table(rows: list[Summary] | list[ReturnSummary], title: str, note: str = "") -> None:
    """Print the figures by task, the mean last, and the note, if any, below them."""
    console = Console()
    print_table(console, title, rows[0].COLUMNS, [row.cells() for row in rows], last=True)
    if note:
        console.print(note)
