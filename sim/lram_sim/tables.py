"""What ``lram collect`` and ``lram eval`` show: progress, and tables at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from lram_sim.demonstrate import Tally
from lram_sim.evaluate import ReturnSummary, Summary

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


def collection_table(tallies: dict[str, Tally], out: Path) -> None:
    """Print success rates and counts by task."""
    table = _table(
        f"Demonstrations in {out}", "task", "episodes", "success at full noise", "tries", "steps"
    )
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
        f"{tally.success_rate:.3f} ({tally.first_successes}/{tally.first_tries})",
        f"{tally.tries:,}",
        f"{tally.steps:,}",
    )


def evaluation_table(rows: list[Summary] | list[ReturnSummary], title: str) -> None:
    """Print the figures by task, the mean last."""
    if isinstance(rows[0], ReturnSummary):
        columns = ("task", "n", "normalised", "95 %", "return", "least", "steps")
    else:
        columns = ("task", "n", "success", "95 %", "in 200", "return", "steps")
    table = _table(title, *columns)
    for row in rows:
        if row is rows[-1]:
            table.add_section()
        interval = f"{row.low:.2f} – {row.high:.2f}"
        mean, steps = f"{row.mean_return:,.0f}", f"{row.mean_steps:.0f}"
        if isinstance(row, ReturnSummary):
            figures = (f"{row.normalised_return:.3f}", interval, mean, f"{row.least_return:,.0f}")
        else:
            figures = (f"{row.success_rate:.3f}", interval, f"{row.success_rate_200:.3f}", mean)
        table.add_row(row.name, str(row.episodes), *figures, steps)
    Console().print(table)


def _table(title: str, *columns: str) -> Table:
    """A table that fits 80 columns, the first column to the left, numbers to the right."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left", no_wrap=True)
    return table
