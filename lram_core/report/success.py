"""Success rates as a figure, for every report that has some."""

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
    with styled():
        figure, axes = new_figure(0.9 + 0.34 * max(len(rows), 1))
        for row, (_, successes, count) in enumerate(rows):
            low, high = wilson_interval(successes, count)
            axes.barh(row, successes / count, color=GREEN, height=0.6)
            axes.plot([low, high], [row, row], color="black", linewidth=1)
            axes.annotate(
                f"{successes}/{count}", (1.02, row), xycoords=("axes fraction", "data"), va="center"
            )
        axes.set_yticks(range(len(rows)), [task for task, *_ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("success rate (line: 95 % interval)")
        return svg_text(figure, name)
