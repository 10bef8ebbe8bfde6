"""What ``lram collect`` and ``lram eval`` show: progress, and tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lram_sim.demonstrate import Tally

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


@contextmanager
def collection_progress(episodes: int) -> Iterator[Callable[[int, Tally], None]]:
    """As :func:`step_progress`, for the tallies of a collection."""
    with step_progress("collecting", episodes) as advance:
        yield lambda more, tally: advance(more, tally.steps)


def collection_table(tallies: dict[str, Tally], out: Path) -> None:
    """Print success rates and counts by task."""
    table = Table(title=f"Demonstrations in {out}")
    for name in ("task", "episodes", "success at full noise", "tries", "steps simulated"):
        table.add_column(name, justify="left" if name == "task" else "right")
    total = Tally()
    for task, tally in tallies.items():
        total.add(tally)
        table.add_row(task, *_cells(tally))
    table.add_section()
    table.add_row(f"{len(tallies)} tasks", *_cells(total))
    console = Console()
    console.print(table)
    kinds = ", ".join(f"{k} {s}/{n}" for k, (n, s) in sorted(total.kinds.items()))
    console.print(
        f"success by perturbation: {kinds}; {total.given_up} episodes given up; "
        f"{total.steps / max(total.seconds, 1e-9):,.0f} steps/s a process"
    )


def _cells(tally: Tally) -> tuple[str, ...]:
    return (
        f"{tally.collected:,}",
        f"{tally.success_rate:.3f}  ({tally.first_successes}/{tally.first_tries})",
        f"{tally.tries:,}",
        f"{tally.steps:,}",
    )
