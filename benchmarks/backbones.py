"""What a backbone and its size buy: loss, success and tick latency, on one fixed data set.

    python -m benchmarks.backbones --json benchmarks/results/backbones.json

Collects the demonstrations, trains every backbone at every size from several seeds for the same
number of optimiser steps, evaluates each model at starts that no demonstration has, and times
their control ticks in turns. What is done stays in ``--work``: an interrupted run goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.backbones_report import BACKBONES, markdown, plot
from benchmarks.candidates import tick_of
from benchmarks.interleave import Budget, on_inputs, take_turns
from benchmarks.output import add_output_options, write
from benchmarks.stages import collect, learn, score
from lram_core.bench.inputs import RandomWalk
from lram_core.bundle import load_bundle
from lram_core.machine import machine_name
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import RuntimeOptions
from lram_core.training.config import TrainConfig

TASKS = (
    "reach-v3",
    "push-v3",
    "drawer-open-v3",
    "window-open-v3",
    "button-press-topdown-v3",
)


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


def one_model(args: argparse.Namespace, data: Path, label: str, width: int, seed: int) -> None:
    """Train and evaluate one model; its figures go to ``result.json``, last."""
    folder: Path = args.work / f"{label.replace(':', '')}-d{width}-s{seed}"
    if (folder / "result.json").exists():
        return
    backbone, options = options_of(label, width)
    config = TrainConfig(
        backbone=backbone,
        backbone_options=options,
        batch=args.batch,
        steps=args.steps,
        seed=seed,
        held_out=0.1,
        evaluate_every=args.steps,
        device="cpu",
    )
    metrics = learn([data], folder, config)
    found = score(folder, "metaworld", args.tasks, args.evaluations, args.workers)
    wins = {task: int(sum(values)) for task, values in found.items()}
    result = {
        "backbone": label,
        "width": width,
        "seed": seed,
        "parameters": sum(p.numel() for p in load_bundle(folder / "bundle")[0].parameters()),
        "loss": metrics["loss"],
        "mae_m": metrics["mae_m"],
        "wins": wins,
        "episodes": args.evaluations,
    }
    (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")


def latencies(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time the control tick of every backbone and size in turns, a Transformer's cache full.

    Each in PyTorch, and in the runtime that ``auto`` takes on this machine.
    """
    contestants, runtimes = {}, {}
    for label in BACKBONES:
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
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 96, 128])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--episodes", type=int, default=60, help="demonstrations a task")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=10, help="episodes a task and model")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/backbones"))
    add_output_options(parser)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = collect("metaworld", args.tasks, args.episodes, 0.2, args.workers, args.work / "data")
    for seed in range(args.seeds):
        for width in args.widths:
            for label in BACKBONES:
                one_model(args, data, label, width, seed)
    results = [json.loads(f.read_text()) for f in sorted(args.work.glob("*/result.json"))]
    report = {
        "machine": machine_name(),
        "tasks": args.tasks,
        "demonstrations": args.episodes,
        "steps": args.steps,
        "batch": args.batch,
        "models": results,
        "latencies": latencies(args),
    }
    write(report, args, markdown, plot)


if __name__ == "__main__":
    main()
