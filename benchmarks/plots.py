"""Figures of the manual, drawn from the reports without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

STYLE = {
    "svg.hashsalt": "lram",  # the same figures give the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
COLOURS = ("#2563eb", "#15803d", "#b45309", "#7c3aed", "#6b7280", "#0891b2", "#be185d")
GREY, RED = "#9ca3af", "#b91c1c"


def latency_plot(report: dict[str, Any], path: Path) -> None:
    """Left: latency over size, by way. Right: over context, against a Transformer."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(12, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        _by_size(left, [g for g in report["groups"] if g.get("model") == "xlstm"])
        _by_context(right, [g for g in report["groups"] if g["kind"] == "context"])
        figure.suptitle(
            f"Control tick, {report['threads']} thread(s), {report['machine']}", fontsize=9
        )
        _save(figure, path)


def _by_size(axes: Any, groups: list[dict[str, Any]]) -> None:
    places = range(len(groups))
    names = dict.fromkeys((r["way"], r["precision"]) for g in groups for r in g["rows"])
    for number, (way, precision) in enumerate(names):
        rows = [
            next((r for r in g["rows"] if (r["way"], r["precision"]) == (way, precision)), None)
            for g in groups
        ]
        if way == "floor":
            continue
        limit = way == "limit"
        axes.plot(
            [p for p, row in zip(places, rows, strict=True) if row],
            [row["p50_ms"] for row in rows if row],
            color=GREY if limit else COLOURS[number % len(COLOURS)],
            linestyle=("--" if precision == "fp32" else ":") if limit else "-",
            marker="" if limit else "o",
            markersize=4,
            label=f"limit, {precision}" if limit else way,
        )
    axes.set_yscale("log")
    axes.set_xticks(list(places), [f"{g['size']}" for g in groups])
    axes.set_ylabel("p50 of a tick [ms]")
    axes.set_title("xLSTM, three tokens a tick", fontsize=9)
    _legend(axes)


def _by_context(axes: Any, groups: list[dict[str, Any]]) -> None:
    sizes = list(dict.fromkeys(g["size"] for g in groups))
    for number, size in enumerate(sizes):
        own = [g for g in groups if g["size"] == size]
        for model, style in (("transformer", "--"), ("xlstm-h128", "-")):
            points = [
                (g["context"], min(r["p50_ms"] for r in g["rows"] if r["model"] == model))
                for g in own
                if any(r["model"] == model for r in g["rows"])
            ]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=COLOURS[number % len(COLOURS)],
                    linestyle=style,
                    marker="o",
                    markersize=4,
                    label=f"{size} {'Transformer' if model == 'transformer' else model}",
                )
    axes.set_xscale("log")
    axes.set_yscale("log")
    contexts = sorted({g["context"] for g in groups})
    axes.set_xticks(contexts, [str(context) for context in contexts])
    axes.minorticks_off()
    axes.set_xlabel("timesteps in the context")
    axes.set_title("best runtime of each", fontsize=9)
    _legend(axes)


def soak_plot(report: dict[str, Any], path: Path) -> None:
    """Above: median and 99th percentile of a tick over its age. Below: error against float64."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 4.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        ticks = [report["block"] * (n + 1) for n in range(len(report["p50_ms"]))]
        above.plot(ticks, report["p99_ms"], color=GREY, linewidth=0.8, label="p99")
        above.plot(ticks, report["p50_ms"], color=COLOURS[0], label="p50")
        above.set_ylim(bottom=0)
        above.set_ylabel("tick [ms]")
        _legend(above)
        drift = report["drift"]
        ticks = [p["tick"] for p in drift]
        for key, label, colour in (
            ("state_error", "state", COLOURS[2]),
            ("logit_error", "logits", COLOURS[1]),
        ):
            below.plot(ticks, [p[key] for p in drift], color=colour, label=label)
        below.set_xscale("log")
        if drift:
            below.set_yscale("log")
        below.set_ylabel("error against float64")
        below.set_xlabel("tick since the reset")
        _legend(below)
        _save(figure, path)


def throughput_plot(report: dict[str, Any], path: Path) -> None:
    """Ticks a second over the number of robots, all together."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.5, 3.4), layout="constrained")
        axes = figure.subplots()
        for number, series in enumerate(report["series"]):
            axes.plot(
                [p["robots"] for p in series["points"]],
                [p["ticks_per_second"] for p in series["points"]],
                color=COLOURS[number % len(COLOURS)],
                marker="o",
                markersize=4,
                label=series["name"],
            )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("robots in one batch")
        axes.set_ylabel("ticks a second, all robots")
        _legend(axes)
        _save(figure, path)


def _legend(axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        # Beside the axes, where no curve can run through it.
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _save(figure: Figure, path: Path) -> None:
    kind = path.suffix.lstrip(".") or "svg"
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(path, format=kind, dpi=150, metadata=metadata)
