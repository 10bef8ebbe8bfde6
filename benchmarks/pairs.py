"""Pairs of robot and object that no demonstration has: Composuite, four arms.

    python -m benchmarks.pairs --json benchmarks/results/pairs.json

One model learns from demonstrations of all arms, but each arm lacks one object, which others
have. Scored are the tasks of the demonstrations, at unseen starts, and those of the pairs left out,
of two models: with an embedding and a head for each arm, and with one for all arms. What is done
stays in ``--work``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.output import write_json
from benchmarks.stages import add_options, collect, learn, mean_score, score, training_of
from lram_core.backbones import size_options
from lram_core.training.config import TrainConfig

OBJECTS = ("box", "hollowbox", "dumbbell", "plate")
LEFT_OUT = {
    "composuite-panda": "hollowbox",
    "composuite-iiwa": "box",
    "composuite-jaco": "plate",
    "composuite-kinova3": "box",
}
"""Suite → the object that its demonstrations lack."""
MODELS = {"own": "an embedding and a head for each arm", "shared": "one for all arms"}


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
    models = {name: _model(args, data, name) for name in args.models}
    return {"size": args.size, "demonstrations": args.episodes, "models": models}


def _model(args: argparse.Namespace, data: list[Path], name: str) -> dict[str, Any]:
    """Train and score one of the :data:`MODELS`."""
    config = TrainConfig(
        backbone_options=size_options("xlstm", args.size),
        batch=args.streams * len(data),
        steps=args.steps,
        minutes=args.minutes,
        spread=3.0,
        device=args.device,
        evaluate_every=min(500, args.steps),
        compile=args.compile,
        share_alike=name == "shared",
    )
    folder = args.work / name
    metrics = learn(data, folder, config)
    told = training_of(folder)
    found = {key: told[key] for key in ("machine", "steps", "seconds", "parameters")}
    found |= {"batch": config.batch, "metrics": metrics}
    if args.train_only:
        return found
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
    return found | {"scores": scores}


def rows(models: dict[str, Any]) -> Iterator[str]:
    """Lines of the table: a pair's success by every model, then the means."""
    kinds = {"seen": "in the data", "unseen": "left out"}
    every: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
    for suite in next(iter(models.values()))["scores"]:
        for kind, name in kinds.items():
            scores = [model["scores"][suite][kind] for model in models.values()]
            every[kind].append(dict(zip(models, scores, strict=True)))
            objects = list(dict.fromkeys(task.split("-")[0] for task in scores[0]))
            cells = [suite.removeprefix("composuite-"), ", ".join(objects), name]
            yield _row(cells, scores)
    for kind, name in kinds.items():
        joined = [
            {
                (number, task): s
                for number, of in enumerate(every[kind])
                for task, s in of[m].items()
            }
            for m in models
        ]
        yield _row(["all", "", name], joined)


def _row(cells: list[str], scores: list[dict[Any, list[float]]]) -> str:
    episodes = len(next(iter(scores[0].values())))
    cells = [*cells, f"{len(scores[0])} × {episodes}"]
    for each in scores:
        rate, low, high = mean_score(each)
        cells += [f"{rate:.2f}", f"{low:.2f} – {high:.2f}"]
    return f"| {' | '.join(cells)} |"


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``pairs``."""
    models = report["models"]
    lines = [
        f"- {MODELS[name]}: {m['parameters'] / 1e6:.2f}M parameters, {m['steps']} steps of "
        f"{m['batch']} × 50 ticks in {m['seconds'] / 60:.1f} min on {m['machine']}"
        for name, m in models.items()
    ]
    heads = " | ".join(f"{MODELS[name]} | 95 %" for name in models)
    return {
        "pairs": "\n".join(
            [
                f"{report['size']}, {report['demonstrations']} demonstrations a task.",
                "",
                *lines,
                "",
                f"| arm | objects | pair | tasks × episodes | {heads} |",
                "|---|---|---|---|" + "---|---|" * len(models),
                *rows(models),
            ]
        )
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--objectives", nargs="+", default=["pickplace", "push"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--noise", type=float, default=0.1)
    add_options(parser, "pairs", episodes=60, steps=3000, streams=6)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = run(args)
    if args.train_only:
        return
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["pairs"])


if __name__ == "__main__":
    main()
