"""One model for several domains, against a model of its own for each.

    python -m benchmarks.domains --json benchmarks/results/domains.json

Demonstrations of Meta-World, robosuite's Panda and DMControl; one model a domain, and a joint one
that sees each domain as often as its single one does: the same number of optimiser steps, each
with the streams of all. Same size, optimiser and schedule. What is done stays in ``--work``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.output import write_json
from benchmarks.stages import add_options, collect, learn, mean_score, score, training_of
from lram_core.backbones import size_options
from lram_core.training.config import TrainConfig

DOMAINS: dict[str, tuple[tuple[str, ...], float]] = {
    "metaworld": (
        (
            "reach-v3",
            "push-v3",
            "drawer-open-v3",
            "window-open-v3",
            "button-press-topdown-v3",
        ),
        0.2,
    ),
    "robosuite-panda": (("lift", "stack", "pick-place-can"), 0.2),
    "dmcontrol": (("cartpole-swingup", "reacher-easy", "point_mass-easy"), 0.2),
}
"""Suite → its tasks, and the perturbation of its demonstrations."""
JOINT = "joint"


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Collect, train, evaluate; returns the report."""
    work: Path = args.work
    tasks = {name: DOMAINS[name][0][: args.tasks] for name in args.domains}
    data = {
        name: collect(
            name,
            tasks[name],
            args.long_episodes if name == "dmcontrol" else args.episodes,
            DOMAINS[name][1],
            args.workers,
            work / "data" / name,
        )
        for name in args.domains
    }
    subjects = {name: [name] for name in args.domains} | {JOINT: args.domains}
    models = []
    for label, parts in subjects.items():
        if label not in args.models:
            continue
        config = TrainConfig(
            backbone_options=size_options("xlstm", args.size),
            batch=args.streams * len(parts),
            steps=args.steps,
            minutes=args.minutes,
            spread=3.0,
            held_out=0.05,
            device=args.device,
            evaluate_every=args.steps,
            compile=args.compile,
        )
        metrics = learn([data[name] for name in parts], work / label, config)
        told = training_of(work / label)
        scores = (
            {}
            if args.train_only
            else {
                name: score(work / label, name, tasks[name], args.evaluations, args.workers)
                for name in parts
            }
        )
        about = {key: told[key] for key in ("machine", "steps", "seconds", "parameters")}
        models.append({"model": label, **about, "metrics": metrics, "scores": scores})
    return {
        "size": args.size,
        "streams": args.streams,
        "models": models,
    }


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``domains``."""
    joint = next(m for m in report["models"] if m["model"] == JOINT)
    trained = ", ".join(
        f"{m['model']} {m['steps']} steps in {m['seconds'] / 60:.1f} min" for m in report["models"]
    )
    lines = [
        f"{report['size']}, {report['streams']} × 50 ticks a domain and step; {joint['machine']}: "
        f"{trained}. Success at unseen starts, in DMControl the return as a share of the "
        "reference; 95 %: bootstrap over each task's episodes.",
        "",
        "| domain | tasks × episodes | its own model | 95 % | joint model | 95 % |",
        "|---|---|---|---|---|---|",
    ]
    rows = ["| domain | task | its own model | joint model |", "|---|---|---|---|"]
    for model in report["models"]:
        for domain, scores in model["scores"].items():
            if model is joint:
                continue
            own, both = mean_score(scores), mean_score(joint["scores"][domain])
            episodes = len(next(iter(scores.values())))
            lines.append(
                f"| {domain} | {len(scores)} × {episodes} | {own[0]:.2f} "
                f"| {own[1]:.2f} – {own[2]:.2f} | {both[0]:.2f} | {both[1]:.2f} – {both[2]:.2f} |"
            )
            rows += [
                f"| {domain} | {task} | {np.mean(values):.2f} "
                f"| {np.mean(joint['scores'][domain][task]):.2f} |"
                for task, values in scores.items()
            ]
    return {"domains": "\n".join(lines), "tasks": "\n".join(rows)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--domains", nargs="+", choices=list(DOMAINS), default=list(DOMAINS))
    every = [*DOMAINS, JOINT]
    parser.add_argument("--models", nargs="+", choices=every, default=every, help="train these")
    parser.add_argument("--tasks", type=int, default=None, help="only so many a domain")
    parser.add_argument("--long-episodes", type=int, default=30, help="of DMControl")
    add_options(parser, "domains", episodes=200, steps=2000, streams=5)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = run(args)
    if args.train_only:
        return
    if args.json:
        write_json(report, args.json)
    for text in markdown(report).values():
        print(f"\n{text}")


if __name__ == "__main__":
    main()
