"""Progress of a training run on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A bar with the time left, and one line a validation."""

    def __init__(self, progress: Progress, label: str, steps: int, first: int) -> None:
        self._progress = progress
        self._bar = progress.add_task(label, total=steps, completed=first)

    def advance(self) -> None:
        self._progress.advance(self._bar)

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False)

    def report(self, step: int, **values: float) -> None:
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._progress.console.print(f"step {step}  {text}")


@contextmanager
def progress_bar(
    label: str, steps: int, first: int, quiet: bool = False
) -> Iterator[TrainingProgress]:
    """Show a bar of ``steps`` steps, ``first`` of them done, on standard error; or nothing."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, quiet=quiet),
    ) as progress:
        yield TrainingProgress(progress, label, steps, first)
