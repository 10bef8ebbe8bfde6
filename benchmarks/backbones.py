"""What a backbone and its size buy: loss, success and tick latency, on one fixed data set.

    python -m benchmarks.backbones --ticks --json benchmarks/results/backbones.json
    python -m benchmarks.backbones --suite robosuite-panda \\
        --json benchmarks/results/backbones_robosuite.json

Collects the demonstrations, trains every backbone at every size from several seeds for the same
number of optimiser steps, evaluates each model at starts that no demonstration has, and the widest
ones on tasks that no demonstration has. ``--ticks`` times their control ticks in turns. What is
done stays in ``--work``: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.backbones_report import BACKBONES, markdown, plot
from benchmarks.backbones_studies import STUDIES
from benchmarks.candidates import tick_of
from benchmarks.interleave import Budget, on_inputs, take_turns
from benchmarks.output import add_output_options, write
from benchmarks.stages import Scores, by_chance, collect, learn, score, training_of
from lram_core.bench.inputs import RandomWalk
from lram_core.bundle import load_bundle
from lram_core.machine import machine_name
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import RuntimeOptions
from lram_core.training.config import TrainConfig
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks


def options_of(backbone: str, width: int) -> tuple[str, dict[str, Any]]:
    """Return the backbone's name and options: four blocks, or as many weights in a Transformer.

    A Transformer's block has about twice the weights of the others': it gets half as many.
    """
    if backbone == "transformer":
        return backbone, {"d_model": width, "num_layers": 2, "num_heads": 4}
    options: dict[str, Any] = {"d_model": width, "num_layers": 4}
    if backbone == "mamba":
        return backbone, options
    options["num_heads"] = 4
    if backbone == "xlstm-7:1":
        options["slstm_at"] = [1]
    return "xlstm", options


def means(scores: Scores) -> dict[str, float]:
    """Task → mean over its episodes."""
    return {task: round(sum(values) / len(values), 4) for task, values in scores.items()}


def one_model(args: argparse.Namespace, data: Path, label: str, width: int, seed: int) -> None:
    """Train and evaluate one model; its figures go to ``result.json``, last."""
    folder: Path = args.work / f"{label.replace(':', '')}-d{width}-s{seed}"
    tasks = args.tasks + (args.held_out if width == max(args.widths) else [])
    file = folder / "result.json"
    if file.exists():
        known = json.loads(file.read_text())
        if set(known["scores"]) >= set(tasks) and known["episodes"] == args.evaluations:
            return
    backbone, options = options_of(label, width)
    config = TrainConfig(
        backbone=backbone,
        backbone_options=options,
        batch=args.batch,
        steps=args.steps,
        seed=seed,
        spread=args.spread,
        held_out=args.validation,
        evaluate_every=args.steps,
        device="cpu",
    )
    metrics = learn([data], folder, config)
    result = {
        "backbone": label,
        "width": width,
        "seed": seed,
        "parameters": sum(p.numel() for p in load_bundle(folder / "bundle")[0].parameters()),
        "minutes": round(training_of(folder)["seconds"] / 60, 2),
        "loss": metrics["loss"],
        "scores": means(score(folder, args.suite, tasks, args.evaluations, args.workers)),
        "episodes": args.evaluations,
    }
    file.write_text(json.dumps(result, indent=1) + "\n")


def latencies(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the control tick of every backbone and size in turns, a Transformer's cache full.

    Each in PyTorch, and in the runtime that ``auto`` takes on this machine.
    """
    contestants, runtimes = {}, {}
    for label in args.backbones:
        for width in args.widths:
            folder = args.work / f"{label.replace(':', '')}-d{width}-s0" / "bundle"
            model = load_bundle(folder)[0].eval()
            for name in ("torch", "auto"):
                runtime = make_runtime(model, name, RuntimeOptions(threads=1, bundle=folder))
                tick = on_inputs(tick_of(runtime), RandomWalk(model).take(64))
                for number in range(60):
                    tick(number)
                contestants[label, width, name] = tick
                runtimes[label, width, name] = runtime.name
    found = take_turns({str(key): tick for key, tick in contestants.items()}, Budget(seconds=60))
    return [
        {
            "backbone": label,
            "width": width,
            "way": way,
            "runtime": runtimes[label, width, way],
            "p50_ms": found[str((label, width, way))].p50,
        }
        for label, width, way in contestants
    ]


def main(arguments: list[str] | None = None) -> None:
    # The suite first: the other options' defaults are its study's.
    first = argparse.ArgumentParser(add_help=False)
    first.add_argument("--suite", choices=list(STUDIES), default="metaworld")
    suite = first.parse_known_args(arguments)[0].suite
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        parents=[first],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--tasks", nargs="+", help="train on these")
    parser.add_argument("--held-out", nargs="*", help="tasks and splits never trained on")
    parser.add_argument(
        "--backbones", nargs="+", choices=list(BACKBONES), default=list(BACKBONES), metavar="NAME"
    )
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, help="demonstrations a task")
    parser.add_argument("--noise", type=float, help="perturbation of the demonstrations")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--spread", type=float, help="of the labels, in bins")
    parser.add_argument("--validation", type=float, help="share of the demonstrations")
    parser.add_argument("--evaluations", type=int, help="episodes a task and model")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ticks", action="store_true", help="time control ticks")
    parser.add_argument("--work", type=Path, default=Path("runs/backbones") / suite)
    add_output_options(parser)
    parser.set_defaults(**vars(STUDIES[suite]))
    args = parser.parse_args(arguments)
    if args.plot and not args.ticks:
        parser.error("--plot draws the time of ticks: it needs --ticks")
    args.tasks, held_out = list(args.tasks), ",".join(args.held_out)
    args.held_out = resolve_tasks(get_suite(suite), held_out) if held_out else []
    torch.set_num_threads(1)
    data = args.work / "data"
    collect(suite, args.tasks, args.episodes, args.noise, args.workers, data)
    for seed in range(args.seeds):
        for width in args.widths:
            for label in args.backbones:
                one_model(args, data, label, width, seed)
    results = [json.loads(f.read_text()) for f in sorted(args.work.glob("*/result.json"))]
    report = {
        "machine": machine_name(),
        "suite": suite,
        "tasks": args.tasks,
        "held_out": args.held_out,
        "demonstrations": args.episodes,
        "steps": args.steps,
        "batch": args.batch,
        "models": results,
        "chance": means(by_chance(args.work, suite, args.tasks + args.held_out, args.evaluations)),
        "latencies": latencies(args) if args.ticks else [],
    }
    write(report, args, markdown, plot)


if __name__ == "__main__":
    main()
