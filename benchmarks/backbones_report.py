"""Table and figure of :mod:`benchmarks.backbones`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from benchmarks.plots import COLOURS, STYLE
from lram_core.statistics import bootstrap_interval

BACKBONES = {
    "xlstm": "xLSTM [1:0]",
    "xlstm-7:1": "xLSTM [7:1]",
    "mamba": "Mamba",
    "transformer": "Decision Transformer",
}
"""Name in a report → name in the manual."""


def rows(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the figures of every backbone and width, over its seeds."""
    latency = {(r["backbone"], r["width"], r["way"]): r for r in report["latencies"]}
    models = report["models"]
    for label in BACKBONES:
        for width in sorted({m["width"] for m in models}):
            some = [m for m in models if (m["backbone"], m["width"]) == (label, width)]
            rates = [[wins / m["episodes"] for wins in m["wins"].values()] for m in some]
            groups = [np.asarray(rate) for rate in zip(*rates, strict=True)]
            losses = np.asarray([m["loss"] for m in some])
            yield {
                "backbone": label,
                "width": width,
                "parameters": some[0]["parameters"],
                "seeds": len(some),
                "loss": float(losses.mean()),
                "loss_spread": float(losses.max() - losses.min()) / 2,
                "success": float(np.mean(rates)),
                "interval": bootstrap_interval(groups),
                "torch_ms": latency[label, width, "torch"]["p50_ms"],
                "p50_ms": latency[label, width, "auto"]["p50_ms"],
                "runtime": latency[label, width, "auto"]["runtime"],
                "by_task": dict(zip(report["tasks"], np.mean(rates, axis=0).tolist(), strict=True)),
            }


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's tables ``sizes`` and ``tasks``."""
    found = list(rows(report))
    episodes = report["models"][0]["episodes"]
    sizes = [
        f"{report['machine']}; {len(report['tasks'])} tasks of Meta-World, "
        f"{report['demonstrations']} demonstrations each; {report['steps']} optimiser steps of "
        f"{report['batch']} × 50 ticks; {episodes} unseen starts a task and model. Intervals: "
        "95 %, bootstrap over the seeds of each task. Ticks: p50, one thread, taken in turns.",
        "",
        "| backbone | width | parameters | seeds | held-out loss | success | 95 % "
        "| tick, PyTorch | tick, runtime `auto` |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    tasks = [
        "| backbone | width | " + " | ".join(report["tasks"]) + " |",
        "|---|---|" + "---|" * len(report["tasks"]),
    ]
    for row in found:
        low, high = row["interval"]
        name = BACKBONES[row["backbone"]]
        sizes.append(
            f"| {name} | {row['width']} | {row['parameters'] / 1e6:.2f}M | {row['seeds']} "
            f"| {row['loss']:.2f} ± {row['loss_spread']:.2f} | {row['success']:.2f} "
            f"| {low:.2f} – {high:.2f} | {row['torch_ms']:.2f} ms "
            f"| {row['p50_ms']:.2f} ms ({row['runtime']}) |"
        )
        rates = " | ".join(f"{rate:.2f}" for rate in row["by_task"].values())
        tasks.append(f"| {name} | {row['width']} | {rates} |")
    return {"sizes": "\n".join(sizes), "tasks": "\n".join(tasks)}


def plot(report: dict[str, Any], path: Path) -> None:
    """Left: held-out loss over parameters. Right: success over the time of a tick."""
    found = list(rows(report))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (label, name), colour in zip(BACKBONES.items(), COLOURS, strict=False):
            some = [row for row in found if row["backbone"] == label]
            parameters = [row["parameters"] / 1e6 for row in some]
            style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4}
            left.plot(parameters, [row["loss"] for row in some], label=name, **style)
            success = [row["success"] for row in some]
            below = [row["success"] - row["interval"][0] for row in some]
            above = [row["interval"][1] - row["success"] for row in some]
            ticks = [row["p50_ms"] for row in some]
            right.errorbar(ticks, success, yerr=(below, above), capsize=2, label=name, **style)
        left.set_xscale("log")
        left.set_xlabel("parameters [M]")
        left.set_ylabel("held-out loss [nats]")
        right.set_xlabel("p50 of a control tick, runtime auto [ms]")
        right.set_ylabel("success at unseen starts")
        right.set_ylim(0, 1.02)
        left.legend(frameon=False, fontsize=8)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
