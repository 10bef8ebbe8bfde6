"""Pairs of robot and object that no demonstration has: Composuite, two arms.

    python -m benchmarks.pairs --json benchmarks/results/pairs.json

One model learns from demonstrations of both arms, but each arm lacks one object, which the other
one has. Scored are the tasks of the demonstrations, at unseen starts, and those of the pairs left
out. What is done stays in ``--work``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.domains import mean
from benchmarks.output import write_json
from benchmarks.stages import add_options, collect, learn, score
from lram_core.backbones import size_options
from lram_core.bundle import CONFIG
from lram_core.training.config import TrainConfig

OBJECTS = ("box", "hollowbox", "dumbbell", "plate")
LEFT_OUT = {"composuite-panda": "hollowbox", "composuite-iiwa": "box"}
"""Suite → the object that its demonstrations lack."""


def tasks_of(suite: str, objectives: list[str], unseen: bool) -> list[str]:
    """Names of the tasks with, or of those without, the object left out."""
    objects = [o for o in OBJECTS if (o == LEFT_OUT[suite]) == unseen]
    return [f"{o}-none-{objective}" for o in objects for objective in objectives]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Collect, train, evaluate; returns the report."""
    data = [
        collect(
            suite,
            tasks_of(suite, args.objectives, unseen=False),
            args.episodes,
            args.noise,
            args.workers,
            args.work / "data" / suite,
        )
        for suite in LEFT_OUT
    ]
    config = TrainConfig(
        backbone_options=size_options("xlstm", args.size),
        batch=args.streams * len(data),
        steps=args.steps,
        spread=3.0,
        device=args.device,
        evaluate_every=min(500, args.steps),
        compile=args.compile,
    )
    folder = args.work / "model"
    metrics = learn(data, folder, config)
    scores = {
        suite: {
            kind: score(
                folder,
                suite,
                tasks_of(suite, args.objectives, unseen=kind == "unseen"),
                args.evaluations,
                args.workers,
            )
            for kind in ("seen", "unseen")
        }
        for suite in LEFT_OUT
    }
    told = json.loads((folder / "bundle" / CONFIG).read_text())["training"]
    return {
        "machine": told["machine"],
        "size": args.size,
        "steps": told["steps"],
        "seconds": told["seconds"],
        "batch": config.batch,
        "demonstrations": args.episodes,
        "metrics": metrics,
        "scores": scores,
    }


def rows(report: dict[str, Any]) -> Iterator[str]:
    """Lines of the table."""
    for suite, kinds in report["scores"].items():
        for kind, scores in kinds.items():
            rate, low, high = mean(scores)
            objects = list(dict.fromkeys(task.split("-")[0] for task in scores))
            episodes = len(next(iter(scores.values())))
            yield (
                f"| {suite.removeprefix('composuite-')} | {', '.join(objects)} "
                f"| {'in the data' if kind == 'seen' else 'left out'} | {len(scores)} × {episodes} "
                f"| {rate:.2f} | {low:.2f} – {high:.2f} |"
            )


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``pairs``."""
    lines = [
        f"Trained on {report['machine']}; {report['size']}, {report['demonstrations']} "
        f"demonstrations a task, {report['steps']} steps of {report['batch']} × 50 ticks.",
        "",
        "| arm | objects | pair | tasks × episodes | success | 95 % |",
        "|---|---|---|---|---|---|",
        *rows(report),
    ]
    return {"pairs": "\n".join(lines)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--objectives", nargs="+", default=["pickplace", "push"])
    parser.add_argument("--noise", type=float, default=0.1)
    add_options(parser, "pairs", episodes=60, steps=3000, streams=6)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = run(args)
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["pairs"])


if __name__ == "__main__":
    main()
