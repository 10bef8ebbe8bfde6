"""Progress of a training run on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class TrainingProgress:
    """A bar with the time left, and lines above it."""

    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._bar = progress.add_task(label, total=1.0, step="", left="")

    def show(self, done: float, step: str, left: float | None) -> None:
        """Show how far the training is.

        Args:
            done: part of the whole. step: the step in words.
            left: seconds to the end; None where nothing is known.
        """
        text = "" if left is None else f"{duration(left)} left"
        self._progress.update(self._bar, completed=done, step=step, left=text)

    def say(self, text: str) -> None:
        """Print a line; in a file, which is as wide as it needs to be, it stays one."""
        console = self._progress.console
        console.print(text, highlight=False, soft_wrap=not console.is_terminal)


def duration(seconds: float) -> str:
    """Return ``1:23:45``, or ``3 d 1:23:45``."""
    days, rest = divmod(round(seconds), 24 * 3600)
    hours, rest = divmod(rest, 3600)
    return (f"{days} d " if days else "") + f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


@contextmanager
def progress_bar(label: str, quiet: bool = False) -> Iterator[TrainingProgress]:
    """Show a bar on standard error; or nothing."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[step]}"),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True, quiet=quiet),
    ) as progress:
        yield TrainingProgress(progress, label)
