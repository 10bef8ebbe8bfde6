"""Do policies learn a Dark-Room in context? Collect, train, evaluate, by one command.

    python -m benchmarks.in_context --json benchmarks/results/in_context.json

Histories of agents that learn 80 goals are collected once. Then, for every backbone and seed, the
commands a user has: ``lram train`` over spans of several trials, ``lram eval --trials`` on goals of
the training and on goals held out. What is there already is not done again, so the command goes
on where it was interrupted.

Training can be done on another machine, which needs no simulator, and its work folder brought
back for the evaluation::

    python -m benchmarks.in_context --train-only --histories DATA --device cuda --jobs 4 --work W
    python -m benchmarks.in_context --histories DATA --device cuda --work W --json FILE
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import write_json
from lram_core.bundle import CONFIG
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


def lram(*words: object, log: Path | None = None) -> None:
    """Run ``lram`` as a user would; what it prints goes to ``log``, if that is given."""
    print("lram", *words, flush=True)
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "lram_core.cli", *map(str, words)]
    if log is None:
        subprocess.run(command, check=True, env=one)
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        subprocess.run(command, check=True, env=one, stdout=file, stderr=subprocess.STDOUT)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Do what is left to do; returns the report, which of ``--train-only`` has no models."""
    data = args.histories or _collected(args)
    wanted = list(product(args.seeds, args.models))
    with ThreadPoolExecutor(args.jobs) as pool:
        for ended in [pool.submit(_train, args, data, *each) for each in wanted]:
            ended.result()
    report: dict[str, Any] = {
        "context": args.context,
        "span": args.span,
        "target_return": args.target_return,
        "models": {},
    }
    for seed, name in () if args.train_only else wanted:
        report["models"].setdefault(name, []).append(_evaluate(args, name, seed))
    return report


def _collected(args: argparse.Namespace) -> Path:
    data: Path = args.work / "histories"
    words = ["--tasks", args.train_tasks, "--episodes", args.history, "--every", args.every]
    lram("collect", "darkroom", "--histories", *words, "--out", data)
    return data


def _key(name: str, seed: int) -> str:
    backbone, suffix, _ = MODELS[name]
    return f"{backbone}{suffix.replace(':', '-')}-{seed}"


def _train(args: argparse.Namespace, data: Path, seed: int, name: str) -> None:
    """Train one model with one seed, unless its bundle is there."""
    backbone, suffix, changes = MODELS[name]
    key = _key(name, seed)
    bundle = args.work / "bundles" / key
    if bundle.exists():
        return
    budget = ("--steps", args.steps, "--minutes", args.minutes)
    lram(
        *("train", "--data", data, "--out", bundle, "--run", args.work / "runs" / key),
        *("--backbone", backbone, "--size", f"{args.size}{suffix}"),
        *(word for change in changes for word in ("--set", change)),
        *("--bins", 5, "--span", args.span, "--stride", args.stride),
        *("--context", args.context, "--batch", args.batch, *budget),
        *("--return-jitter", args.return_jitter, "--seed", seed, "--device", args.device),
        *("--evaluate-every", args.log_every, "--checkpoint-every", args.log_every),
        *(("--compile",) if args.compile else ()),
        log=args.work / "logs" / f"{key}.log" if args.jobs > 1 else None,
    )


def _evaluate(args: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Evaluate one model with one seed, unless its results are there."""
    bundle, results = (args.work / each / _key(name, seed) for each in ("bundles", "results"))
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
    told = json.loads((bundle / CONFIG).read_text())["training"]
    batch = told["config"]["batch"]
    return {
        "seed": seed,
        **{key: told[key] for key in ("parameters", "steps", "seconds", "machine")},
        "batch": batch,
        "moves": told["steps"] * batch * told["config"]["context"],
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
    models = report["models"]
    lines = [
        "| | parameters | seeds | moves of training | minutes | batch | machine |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, runs in models.items():
        each = {key: np.mean([run[key] for run in runs]) for key in ("moves", "seconds")}
        lines.append(
            f"| {name} | {runs[0]['parameters'] / 1e3:.0f}k | {len(runs)} "
            f"| {each['moves'] / 1e6:.3g} M | {each['seconds'] / 60:.3g} | {runs[0]['batch']} "
            f"| {runs[0]['machine']} |"
        )
    tables = {"setting": "\n".join(lines)}
    first = next(iter(models.values()))
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
    parser.add_argument("--histories", type=Path, help="take these; none are collected")
    parser.add_argument("--train-tasks", default="train")
    parser.add_argument("--eval-tasks", default="train,test")
    parser.add_argument("--history", type=int, default=400, help="trials of an agent's life")
    parser.add_argument("--every", type=int, default=2, help="of them, keep one of so many")
    parser.add_argument("--size", default="d64")
    parser.add_argument("--span", type=int, default=20, help="trials that a state is carried over")
    parser.add_argument("--stride", type=int, default=10)
    parser.add_argument("--context", type=int, default=CONTEXT)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=0.0, help="at most, of each training")
    parser.add_argument("--device", default="cpu", help="to train on")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, a process each")
    parser.add_argument("--compile", action="store_true", help="train with torch.compile")
    parser.add_argument("--train-only", action="store_true", help="do not evaluate")
    parser.add_argument("--return-jitter", type=float, default=4.0)
    parser.add_argument("--log-every", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--lives", type=int, default=1)
    parser.add_argument("--target-return", type=float, default=80.0)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "in-context")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="draw the curves into this SVG")
    args = parser.parse_args(arguments)
    report = run(args)
    if args.train_only:
        return
    if args.json:
        write_json(report, args.json)
    if args.plot:
        plot(report, args.plot)
    for text in markdown(report).values():
        print(f"\n{text}")


if __name__ == "__main__":
    main()
