"""Do policies learn a Dark-Room in context? Collect, train, evaluate, by one command.

    python -m benchmarks.in_context --json benchmarks/results/in_context.json

Histories of agents that learn 80 goals are collected once. Then, for every backbone and seed, the
commands a user has: ``lram train`` over spans of several trials, ``lram eval --trials`` on goals of
the training and on goals held out. What is there already is not done again, so the command goes
on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import write_json
from lram_core.bundle import load_joint_bundle
from lram_core.machine import machine_name
from lram_core.training.config import TrainConfig
from lram_sim.trials import SHOWN, Curve, draw, read_results

ROOT = Path(__file__).parents[1]
CONTEXT = 200
MODELS = {
    "xLSTM [7:1]": ("xlstm", "-7:1", ()),
    "xLSTM [1:0]": ("xlstm", "", ()),
    "Mamba": ("mamba", "", ()),
    "DT": ("transformer", "", (f"context={CONTEXT}", "num_layers=2")),
}
"""Name → backbone, suffix of its size, changes to the size."""
SPLITS = {"train": "goals of the training", "test": "goals held out"}


def lram(*words: object) -> None:
    """Run ``lram`` as a user would."""
    print("lram", *words, flush=True)
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "lram_core.cli", *map(str, words)], check=True, env=one)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what is left to do; returns the report."""
    work: Path = args.work
    data = work / "histories"
    words = ["--tasks", args.train_tasks, "--episodes", args.history, "--every", args.every]
    lram("collect", "darkroom", "--histories", *words, "--out", data)
    report: dict[str, Any] = {
        "machine": machine_name(),
        "context": args.context,
        "batch": args.batch,
        "steps": args.steps,
        "span": args.span,
        "target_return": args.target_return,
        "models": {},
    }
    for seed in args.seeds:
        for name in args.models:
            report["models"].setdefault(name, []).append(one(args, data, name, seed))
    return report


def one(args: argparse.Namespace, data: Path, name: str, seed: int) -> dict[str, Any]:
    """Train and evaluate one model with one seed."""
    backbone, suffix, changes = MODELS[name]
    key = f"{backbone}{suffix.replace(':', '-')}-{seed}"
    bundle, results = args.work / "bundles" / key, args.work / "results" / key
    timing = args.work / "results" / f"{key}.json"
    if not bundle.exists():
        begin = time.monotonic()
        lram(
            *("train", "--data", data, "--out", bundle, "--run", args.work / "runs" / key),
            *("--backbone", backbone, "--size", f"{args.size}{suffix}"),
            *(word for change in changes for word in ("--set", change)),
            *("--bins", 5, "--span", args.span, "--stride", args.stride),
            *("--context", args.context, "--batch", args.batch, "--steps", args.steps),
            *("--return-jitter", args.return_jitter, "--seed", seed, "--device", "cpu"),
            *("--evaluate-every", args.log_every, "--checkpoint-every", args.log_every),
        )
        write_json({"train_s": time.monotonic() - begin}, timing)
    if not results.exists():
        lram(
            *("eval", "--suite", "darkroom", "--bundle", bundle, "--tasks", args.eval_tasks),
            *("--trials", args.trials, "--episodes", args.lives, "--seed", seed),
            *("--target-return", args.target_return, "--out", results),
        )
    found = read_results(results)
    splits = found["splits"]
    returns = {
        split: [life for task in part["tasks"] for life in found["returns"][task]]
        for split, part in splits.items()
    }
    model, _ = load_joint_bundle(bundle)
    trained = json.loads(timing.read_text()) if timing.exists() else {}
    return {
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        **trained,
        "returns": returns,
        "best": {split: part["best"] for split, part in splits.items()},
    }


def curves(report: dict[str, Any], split: str) -> dict[str, Curve]:
    """Return the curve of each model over all of its seeds and lives."""
    return {
        name: Curve.of(np.concatenate([np.array(run["returns"][split]) for run in runs]))
        for name, runs in report["models"].items()
        if all(split in run["returns"] for run in runs)
    }


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's tables: ``setting``, ``train`` and ``test``."""
    first = next(iter(report["models"].values()))
    ticks = report["steps"] * report["batch"] * report["context"]
    sizes = ", ".join(
        f"{name} {runs[0]['parameters'] / 1e3:.0f}k" for name, runs in report["models"].items()
    )
    tables = {
        "setting": f"{report['machine']}; {len(first)} seed(s); {ticks:,} moves of training "
        f"({report['steps']} steps of {report['batch']} windows of {report['context']}); "
        f"parameters: {sizes}."
    }
    for split in SPLITS:
        found = curves(report, split)
        if found:
            tables[split] = _table(found, first[0]["best"][split])
    return tables


def _table(found: dict[str, Curve], best: float) -> str:
    trials = len(next(iter(found.values())).mean)
    shown = [number for number in SHOWN if number <= trials]
    lines = [
        "| | " + " | ".join(f"trial {n}" for n in shown) + " | 95 % of the last | last ten |",
        "|---" * (len(shown) + 3) + "|",
    ]
    for name, curve in found.items():
        cells = [f"{curve.mean[n - 1]:.1f}" for n in shown]
        lines.append(
            f"| {name} | {' | '.join(cells)} | {curve.low[-1]:.1f} – {curve.high[-1]:.1f} "
            f"| {np.mean(curve.mean[-10:]):.1f} |"
        )
    lines.append(f"| *shortest ways* | {' | '.join([f'{best:.1f}'] * len(shown))} | | {best:.1f} |")
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the curves of the goals held out."""
    first = next(iter(report["models"].values()))
    draw(curves(report, "test"), {"": first[0]["best"]["test"]}, path)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--train-tasks", default="train")
    parser.add_argument("--eval-tasks", default="train,test")
    parser.add_argument("--history", type=int, default=400, help="trials of an agent's life")
    parser.add_argument("--every", type=int, default=10, help="of them, keep one of so many")
    parser.add_argument("--size", default="d64")
    parser.add_argument("--span", type=int, default=20, help="trials that a state is carried over")
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--context", type=int, default=CONTEXT)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--return-jitter", type=float, default=TrainConfig.return_jitter)
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--lives", type=int, default=1)
    parser.add_argument("--target-return", type=float, default=80.0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "in-context")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves into this SVG")
    args = parser.parse_args(arguments)
    report = run(args)
    if args.json:
        write_json(report, args.json)
    if args.plot:
        plot(report, args.plot)
    for text in markdown(report).values():
        print(f"\n{text}")


if __name__ == "__main__":
    main()
