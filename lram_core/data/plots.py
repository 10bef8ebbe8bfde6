"""Plots of a dataset: what its episodes and fields look like, or one episode over time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.data.describe import sample_rows
from lram_core.data.files import atomic_path
from lram_core.data.store import Dataset
from lram_core.errors import CommandError, RuntimeUnavailable, listed

FORMATS = (".svg", ".png", ".pdf")
SAMPLE = 50_000  # ticks that a distribution is drawn from
_BLUE, _GREY = "#2563eb", "#6b7280"
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "lram",  # the same data give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLUMNS = 3


def plot_dataset(data: Dataset, out: Path) -> None:
    """Draw episode lengths, returns by task, and the distribution of every action and field.

    Raises:
        CommandError: the name of ``out`` ends in none of FORMATS.
        RuntimeUnavailable: matplotlib is not installed.
    """
    panels = [_lengths, _returns]
    fields = [*_action_panels(data), *_observation_panels(data)]
    with _figure(out, len(panels) + len(fields), f"{data.path.name}: {len(data)} episodes") as axes:
        for draw, where in zip(panels, axes, strict=False):
            draw(data, where)
        rows = sample_rows(data.steps, SAMPLE)
        for (title, unit, array, columns, limits), where in zip(fields, axes[2:], strict=False):
            values = array[rows][:, columns]
            for number in range(values.shape[1]):
                label = str(number) if values.shape[1] > 1 else None
                where.hist(values[:, number], bins=50, histtype="step", label=label)
            for limit in limits:
                where.axvline(limit, color=_GREY, linestyle="--", linewidth=1)
            where.set_title(title)
            where.set_xlabel(_label("value", unit))
            where.set_ylabel("ticks")
            if values.shape[1] > 1:
                where.legend(frameon=False, fontsize=7, ncols=2)


def plot_episode(data: Dataset, number: int, out: Path) -> None:
    """Draw every action, field and the reward of one episode over time.

    Raises:
        DataError: there is no such episode. CommandError, RuntimeUnavailable: as plot_dataset.
    """
    episode, window = data.episode(number), data.window(number)
    seconds = np.arange(len(episode.rewards)) / data.schema.control_rate
    panels = [
        (name, unit, values[:, columns])
        for name, unit, values, columns in [
            *((t, u, episode.actions, c) for t, u, _, c, _ in _action_panels(data)),
            *((t, u, episode.observations, c) for t, u, _, c, _ in _observation_panels(data)),
        ]
    ]
    panels.append(("reward", "reward", episode.rewards[:, None]))
    panels.append(("return to go", "reward", window.returns_to_go[:, None]))
    title = f"{data.path.name}: episode {number}, {episode.task}"
    with _figure(out, len(panels), title) as axes:
        for (name, unit, values), where in zip(panels, axes, strict=False):
            for column in range(values.shape[1]):
                label = str(column) if values.shape[1] > 1 else None
                where.plot(seconds, values[:, column], linewidth=1, label=label)
            where.set_title(name)
            where.set_xlabel("time, s")
            where.set_ylabel(_label("value", unit))
            if values.shape[1] > 1:
                where.legend(frameon=False, fontsize=7, ncols=2)


def _lengths(data: Dataset, axes: Any) -> None:
    axes.hist(data.column("length"), bins=40, color=_BLUE)
    axes.set_title("episode length")
    axes.set_xlabel(f"ticks, of {1 / data.schema.control_rate:g} s each")
    axes.set_ylabel("episodes")


def _returns(data: Dataset, axes: Any) -> None:
    """A line from the least to the greatest return of each task, a dot at the median."""
    tasks, returns = data.column("task"), data.column("return")
    names = data.task_names
    for row, name in enumerate(names):
        values = returns[tasks == name]
        axes.plot([values.min(), values.max()], [row, row], color=_GREY, linewidth=1)
        axes.plot([np.median(values)], [row], "o", color=_BLUE, markersize=3)
    axes.set_title("return: min, median, max")
    axes.set_yticks(range(len(names)), names, fontsize=7 if len(names) > 12 else 9)
    axes.invert_yaxis()
    axes.set_xlabel("return, sum of rewards")


def _action_panels(data: Dataset) -> list[tuple[str, str, Any, list[int], tuple[float, ...]]]:
    return [
        (f"action: {field.name}", field.unit, data.actions, [i], (field.low, field.high))
        for i, field in enumerate(data.schema.action)
    ]


def _observation_panels(data: Dataset) -> list[tuple[str, str, Any, list[int], tuple[float, ...]]]:
    """Delayed fields, the same values a few ticks later, are left out, and so are pictures."""
    panels: list[tuple[str, str, Any, list[int], tuple[float, ...]]] = []
    start = 0
    for field in data.schema.observation:
        columns = list(range(start, start + field.size))
        start += field.size
        if field.delay == 0 and not field.picture:
            panels.append((field.name, field.unit, data.observations, columns, ()))
    return panels


def _label(what: str, unit: str) -> str:
    return f"{what}, {unit}" if unit != "1" else f"{what}, no unit"


class _figure:
    """Panels to draw in; saved when the block ends without an error."""

    def __init__(self, out: Path, panels: int, title: str) -> None:
        self._out = Path(out)
        if self._out.suffix.lower() not in FORMATS:
            raise CommandError(f"{out}: a plot is a file of {listed(FORMATS)}")
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ModuleNotFoundError as error:
            raise RuntimeUnavailable(
                f"plots need the Python module '{error.name}': pip install 'lram_ros[data]'"
            ) from None
        self._context = mpl.rc_context(_STYLE)
        rows = math.ceil(panels / _COLUMNS)
        self._panels = panels
        self._make = lambda: Figure(figsize=(11, 2.6 * rows + 0.4), layout="constrained")
        self._rows, self._title = rows, title

    def __enter__(self) -> list[Any]:
        self._context.__enter__()
        self._drawing = self._make()
        self._drawing.suptitle(self._title)
        grid = self._drawing.subplots(self._rows, _COLUMNS, squeeze=False).flatten().tolist()
        for unused in grid[self._panels :]:
            unused.set_visible(False)
        return list(grid[: self._panels])

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if kind is None:
                kinds: dict[str, Any] = (
                    {"metadata": {"Date": None}} if self._out.suffix == ".svg" else {}
                )
                with atomic_path(self._out) as temporary:
                    suffix = self._out.suffix.lower()[1:]
                    self._drawing.savefig(temporary, format=suffix, dpi=120, **kinds)
        finally:
            self._context.__exit__(kind, error, trace)
