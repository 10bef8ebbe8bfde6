"""Figures of a replay as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lram_core.report.figures import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    RED,
    new_figure,
    styled,
    svg_text,
    thinned,
)
from lram_ros.bags.recording import SECOND
from lram_ros.message_fields import Array
from lram_ros.replay.bag.measures import Drift, WireField
from lram_ros.replay.bag.offline import Replayed

COLOURS = (BLUE, ORANGE, "#7c3aed", "#0d9488")
ROW = 0.95  # inches; of one joint
_FLAT = 0.002  # of a joint's range: less is shown as a flat line


def commands_figure(
    replayed: Replayed, fields: Sequence[WireField], segment: int, name: str
) -> str:
    """Recorded and replayed commands of one episode, a row a joint; SVG text."""
    rows = np.flatnonzero(replayed.segment == segment)
    seconds = (replayed.stamp[rows] - replayed.stamp[rows[0]]) / SECOND
    with styled():
        figure, panels = _panels(len(fields))
        for column, (item, axes) in enumerate(zip(fields, panels, strict=True)):
            recorded = replayed.command[rows, column] * item.scale
            axes.plot(*thinned(seconds, recorded), color=GREY, alpha=0.55, linewidth=3.2)
            for answers, colour in zip(replayed.answers, COLOURS, strict=False):
                values = answers.command[rows, column] * item.scale
                axes.plot(*thinned(seconds, values), color=colour, linewidth=1.1)
            _label(axes, item)
        panels[-1].set_xlabel("time in the episode, s")
        _legend(figure, panels[0], ["recorded", *(a.name for a in replayed.answers)])
        return svg_text(figure, name)


def residuals_figure(
    replayed: Replayed, errors: Sequence[Array], fields: Sequence[WireField]
) -> str:
    """Replayed less recorded command over the whole bag, a row a joint; SVG text."""
    with styled():
        figure, panels = _panels(len(fields))
        for column, (item, axes) in enumerate(zip(fields, panels, strict=True)):
            axes.axhline(0, color=GREY, linewidth=0.8)
            for error, colour in zip(errors, COLOURS, strict=False):
                axes.plot(
                    *thinned(replayed.time, error[:, column]),
                    color=colour,
                    linestyle="",
                    marker=".",
                    markersize=2.5,
                )
            _label(axes, item)
        panels[-1].set_xlabel("time in the bag, s")
        if len(errors) > 1:
            _legend(figure, panels[0], [a.name for a in replayed.answers], skip=1)
        return svg_text(figure, "residuals")


def drift_figure(drifts: Sequence[Drift], names: Sequence[str], what: str, name: str) -> str:
    """Median and 90th percentile by the tick within the episode; SVG text."""
    with styled():
        figure, axes = new_figure(2.6)
        for drift, label, colour in zip(drifts, names, COLOURS, strict=False):
            axes.plot(drift.tick, drift.median, color=colour, label=label)
            axes.fill_between(drift.tick, drift.median, drift.high, color=colour, alpha=0.2, lw=0)
        axes.set_ylim(bottom=0)
        axes.margins(x=0)
        axes.set_xlabel("tick in the episode")
        axes.set_ylabel(what)
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
        return svg_text(figure, name)


def latency_time_figure(times: Array, seconds: Array, deadline: float) -> str:
    """Latency of every recorded tick over the bag, with the deadline; SVG text."""
    milliseconds = seconds * 1e3
    late = seconds > deadline
    with styled():
        figure, axes = new_figure(2.5)
        axes.plot(*thinned(times, milliseconds), color=BLUE, linestyle="", marker=".", markersize=3)
        axes.plot(times[late], milliseconds[late], color=RED, linestyle="", marker="x")
        axes.axhline(deadline * 1e3, color=RED, linewidth=1.2)
        axes.annotate(
            f"deadline {deadline * 1e3:.1f} ms",
            (0.01, deadline * 1e3),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            color=RED,
            va="top",
        )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("time in the bag, s")
        axes.set_ylabel("tick latency, ms")
        return svg_text(figure, "latency-time")


def gaps_figure(streams: Sequence[dict[str, Any]]) -> str:
    """Median, 99th percentile and longest gap of each topic, with what is allowed; SVG text."""
    with styled():
        figure, axes = new_figure(0.9 + 0.34 * len(streams))
        for row, stream in enumerate(streams):
            gap, limit = stream["gap_ms"], stream["max_age_ms"]
            if gap is None:
                continue
            axes.plot([gap["p50"], gap["max"]], [row, row], color=BLUE, linewidth=1.2)
            axes.plot(gap["p50"], row, marker="o", color=BLUE, markersize=5)
            axes.plot(gap["p99"], row, marker="|", color=INK, markersize=9)
            axes.plot(gap["max"], row, marker=">", color=BLUE, markersize=5)
            if limit is not None:
                axes.plot(limit, row, marker="|", color=RED, markersize=14, markeredgewidth=2)
        axes.set_yticks(range(len(streams)), [stream["topic"] for stream in streams])
        axes.set_ylim(len(streams) - 0.5, -0.5)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("time between messages, ms")
        return svg_text(figure, "gaps")


def _panels(rows: int) -> tuple[Any, list[Any]]:
    figure, axes = new_figure(0.8 + ROW * rows, rows)
    return figure, [axes] if rows == 1 else list(axes)


def _label(axes: Any, item: WireField) -> None:
    axes.set_ylabel(item.axis, fontsize=9)
    axes.margins(x=0)
    low, high = axes.get_ylim()
    if math.isfinite(item.span) and high - low < _FLAT * item.span:
        middle, half = (low + high) / 2, _FLAT * item.span / 2
        axes.set_ylim(middle - half, middle + half)
    axes.locator_params(axis="y", nbins=4)


def _legend(figure: Any, axes: Any, names: Sequence[str], skip: int = 0) -> None:
    figure.legend(
        axes.lines[skip:],
        names,
        loc="outside upper left",
        ncols=3,
        frameon=False,
        fontsize=9,
        columnspacing=1,
    )
