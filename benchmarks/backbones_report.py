"""Table and figure of :mod:`benchmarks.backbones`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
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
TITLES = {
    "metaworld": "Meta-World",
    "robosuite-panda": "robosuite, Panda with joint commands",
}
"""Suite → name in the manual."""

Floats = npt.NDArray[np.float64]


def of_seeds(report: dict[str, Any], label: str, width: int) -> list[dict[str, Any]]:
    """Models of one backbone and width."""
    return [m for m in report["models"] if (m["backbone"], m["width"]) == (label, width)]


def rates(models: list[dict[str, Any]], tasks: list[str]) -> list[Floats]:
    """Success rate of each task: an array over the models' seeds."""
    return [np.asarray([m["scores"][task] for m in models]) for task in tasks]


def rows(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the figures of every backbone and width, over its seeds."""
    latency = {(r["backbone"], r["width"], r["way"]): r for r in report["latencies"]}
    for label in backbones(report):
        for width in widths(report):
            some = of_seeds(report, label, width)
            groups = rates(some, report["tasks"])
            losses = np.asarray([m["loss"] for m in some])
            yield {
                "backbone": label,
                "width": width,
                "parameters": some[0]["parameters"],
                "seeds": len(some),
                "loss": float(losses.mean()),
                "loss_spread": float(losses.max() - losses.min()) / 2,
                "success": float(np.mean(groups)),
                "interval": bootstrap_interval(groups),
                "torch_ms": latency[label, width, "torch"]["p50_ms"],
                "p50_ms": latency[label, width, "auto"]["p50_ms"],
                "runtime": latency[label, width, "auto"]["runtime"],
                "by_task": [float(group.mean()) for group in groups],
            }


def backbones(report: dict[str, Any]) -> list[str]:
    """Names of the models' backbones, each once, in the manual's order."""
    return [label for label in BACKBONES if any(m["backbone"] == label for m in report["models"])]


def widths(report: dict[str, Any]) -> list[int]:
    """Widths of the models, each once."""
    return sorted({m["width"] for m in report["models"]})


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's tables: ``splits``, and of timed models ``sizes`` and ``tasks``."""
    tables = {"splits": splits(report)}
    return tables | sizes(report) if report["latencies"] else tables


def about(report: dict[str, Any]) -> str:
    """What a report's models were trained and scored on, in words."""
    episodes = report["models"][0]["episodes"]
    return (
        f"{report['machine']}; {len(report['tasks'])} tasks of {TITLES[report['suite']]}, "
        f"{report['demonstrations']} demonstrations each; {report['steps']} optimiser steps of "
        f"{report['batch']} × 50 ticks; {episodes} unseen starts a task and model. Intervals: "
        "95 %, bootstrap over the seeds of each task."
    )


def sizes(report: dict[str, Any]) -> dict[str, str]:
    """Tables of all widths, with the time of a tick."""
    found = list(rows(report))
    sizes = [
        f"{about(report)} Ticks: p50, one thread, taken in turns.",
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
        by_task = " | ".join(f"{rate:.2f}" for rate in row["by_task"])
        tasks.append(f"| {name} | {row['width']} | {by_task} |")
    return {"sizes": "\n".join(sizes), "tasks": "\n".join(tasks)}


def splits(report: dict[str, Any]) -> str:
    """Table of the widest models: each task, trained on and held out, backbone by backbone."""
    width = widths(report)[-1]
    names = backbones(report)
    models = [of_seeds(report, name, width) for name in names]
    losses = [np.asarray([m["loss"] for m in some]) for some in models]
    minutes = [f"{np.mean([m['minutes'] for m in some]):.1f}" for some in models]
    parameters = [f"{some[0]['parameters'] / 1e6:.2f}M" for some in models]
    shown = {"trained on": report["tasks"], "held out": report["held_out"]}
    lines = [
        f"Width {width}, {len(models[0])} seeds; {about(report)}",
        "",
        f"| success | {' | '.join(BACKBONES[name] for name in names)} | actions drawn at random |",
        "|---|" + "---|" * (len(names) + 1),
        *(
            _line(task if split == "trained on" else f"*{task}*", models, report, [task])
            for split, tasks in shown.items()
            for task in tasks
        ),
        *(
            _line(f"**mean, {split}**", models, report, tasks)
            for split, tasks in shown.items()
            if len(tasks) > 1
        ),
        f"| parameters | {' | '.join(parameters)} | |",
        f"| minutes of training | {' | '.join(minutes)} | |",
        "| loss, unseen demonstrations | "
        + " | ".join(f"{each.mean():.2f} ± {np.ptp(each) / 2:.2f}" for each in losses)
        + " | |",
    ]
    return "\n".join(lines)


def _line(
    name: str, models: list[list[dict[str, Any]]], report: dict[str, Any], tasks: list[str]
) -> str:
    """Mean over tasks and seeds of each backbone, with its interval."""
    cells = []
    for some in models:
        groups = rates(some, tasks)
        low, high = bootstrap_interval(groups)
        cells.append(f"{np.mean(groups):.2f} ({low:.2f} – {high:.2f})")
    chance = np.mean([report["chance"][task] for task in tasks])
    return f"| {name} | {' | '.join(cells)} | {chance:.2f} |"


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
