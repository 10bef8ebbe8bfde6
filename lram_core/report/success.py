"""Rates by task as a figure, for every report that has some."""

from __future__ import annotations

from collections.abc import Sequence

from lram_core.report.figures import GREEN, new_figure, styled, svg_text
from lram_core.statistics import wilson_interval


def success_figure(rows: Sequence[tuple[str, int, int]], name: str = "success") -> str:
    """Success rate of each task with its 95 % interval; SVG text.

    Args:
        rows: task, successes, episodes (at least one).
        name: of the figure, see :func:`lram_core.report.figures.svg_text`.
    """
    bars = [
        (task, wins / count, *wilson_interval(wins, count), f"{wins}/{count}")
        for task, wins, count in rows
    ]
    return rate_figure(bars, "success rate", name)


def rate_figure(rows: Sequence[tuple[str, float, float, float, str]], label: str, name: str) -> str:
    """A bar a task, from 0 to 1 or as far as they go; SVG text.

    Args:
        rows: task, rate, both ends of its 95 % interval, and what to write beside it.
        label: what the rate is.
        name: of the figure, see :func:`lram_core.report.figures.svg_text`.
    """
    with styled():
        figure, axes = new_figure(0.9 + 0.34 * max(len(rows), 1))
        for row, (_, rate, low, high, note) in enumerate(rows):
            axes.barh(row, rate, color=GREEN, height=0.6)
            axes.plot([low, high], [row, row], color="black", linewidth=1)
            axes.annotate(note, (1.02, row), xycoords=("axes fraction", "data"), va="center")
        axes.set_yticks(range(len(rows)), [task for task, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, max([1.0, *(high for _, _, _, high, _ in rows)]))
        axes.set_xlabel(f"{label} (line: 95 % interval)")
        return svg_text(figure, name)
