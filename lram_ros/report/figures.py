"""Figures of a run's report as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import LogFormatter

from lram_core.report.figures import BLUE, RED, new_figure, styled, svg_text
from lram_ros.report.results import STAGES, EpisodeResult, Seconds

STAGE_COLOURS = ("#93c5fd", "#60a5fa", "#2563eb", "#1e40af", "#6b7280")
BINS = 60
_BEHIND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}


class _Plain(LogFormatter):
    """Plain numbers: 0.6, 3, 4 and not 3 × 10⁰."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def latency_figure(seconds: Seconds, control_rate: float) -> str:
    """Histogram of tick latencies, with p50, p99 and the deadline; SVG text."""
    milliseconds = seconds * 1e3
    with styled():
        figure, axes = new_figure(2.5)
        if len(milliseconds):
            low, high = milliseconds.min(), milliseconds.max()
            edges = np.geomspace(max(low, 1e-3), max(high, 1e-3) * 1.001, BINS + 1)
            axes.hist(milliseconds, bins=edges, color=BLUE)
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(_Plain(minor_thresholds=(2, 0.7)))
            axes.margins(y=0.5)  # room for the labels above the bars
            for percent, line in ((50, "-"), (99, "--")):
                value = float(np.percentile(milliseconds, percent))
                axes.axvline(value, color="black", linestyle=line, linewidth=1)
                axes.annotate(
                    f" p{percent} {value:.2f} ms",
                    (value, 1.0 if percent == 50 else 0.88),
                    xycoords=("data", "axes fraction"),
                    va="top",
                    bbox=_BEHIND,
                )
        deadline = 1e3 / control_rate
        axes.axvline(deadline, color=RED, linewidth=1.5)
        axes.annotate(
            f"deadline {deadline:.1f} ms ",
            (deadline, 0.76),
            xycoords=("data", "axes fraction"),
            color=RED,
            ha="right",
            va="top",
            bbox=_BEHIND,
        )
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("tick latency, ms")
        axes.set_ylabel("ticks")
        return svg_text(figure, "latency")


def stage_medians(results: list[EpisodeResult]) -> list[float]:
    """Median of each of STAGES over all ticks, ms; 0 where nothing was measured."""
    medians = []
    for stage in STAGES:
        arrays = [result.stages[stage] for result in results if stage in result.stages]
        values = np.concatenate([*arrays, np.empty(0)])
        medians.append(float(np.median(values) * 1e3) if len(values) else 0.0)
    return medians


def stage_figure(medians: Sequence[float]) -> str:
    """Where the time of a tick goes: median of each of STAGES, ms, side by side; SVG text."""
    with styled():
        figure, axes = new_figure(1.7)
        left = 0.0
        for stage, median, colour in zip(STAGES, medians, STAGE_COLOURS, strict=True):
            axes.barh(0, median, left=left, color=colour, label=f"{stage} {median:.2f}")
            left += median
        axes.set_yticks([])
        axes.set_ylim(-0.5, 0.5)
        axes.set_xlabel("median of each stage, ms")
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=9, columnspacing=1)
        return svg_text(figure, "stages")
