"""What int8 weights change about the actions, over recorded episodes.

    lram collect metaworld --tasks ml45-train --episodes 4 --seed 30000000 --out datasets/agreement
    python -m benchmarks.int8_agreement --bundle models/metaworld-ml45 --data datasets/agreement

Every episode is replayed through each way of running the bundle, teacher-forced: recorded
observations and rewards, the episode's own return-to-go, the state carried from its first tick to
its last. Bins are compared with those of PyTorch in float32 tick by tick. Random weights would say
nothing here: their logits are flat, and the best of 256 nearly equal ones turns on any rounding.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.candidates import all_ways
from benchmarks.output import write_json
from lram_core.bench.bench import open_way
from lram_core.bench.inputs import Inputs
from lram_core.bundle import load_bundle
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.data.store import Dataset
from lram_core.device import resolve_device
from lram_core.errors import DataError
from lram_core.machine import machine_name
from lram_core.returns import returns_to_go
from lram_core.runtimes.base import Runtime, RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime

LEAST_AGREEMENT = 0.99
Bins = np.ndarray[Any, np.dtype[np.int64]]


def episodes(data: Dataset, contract: PolicyContract) -> list[Inputs]:
    """Return the inputs of each recorded episode, in the model's units.

    Raises DataError: the recording's fields are not the bundle's.
    """
    for name in ("observation", "action", "reward"):
        if getattr(data.schema, name) != getattr(contract, name):
            raise DataError(f"{data.path}: its {name} is not the bundle's")
    scale, found = contract.reward.scale, []
    for row in data.episodes.to_pylist():
        part = slice(row["start"], row["start"] + row["length"])
        rewards = data.rewards[part]
        to_go = returns_to_go(rewards, row["return"]) / scale
        found.append(
            Inputs(np.array(data.observations[part]), to_go.astype(np.float32), rewards / scale)
        )
    return found


def replay(runtime: Runtime, recorded: list[Inputs]) -> Bins:
    """Return the bins (ticks, action_size) of all episodes, each from an empty state."""
    bins = []
    for inputs in recorded:
        runtime.reset()
        for tick in range(len(inputs)):
            reward = float(inputs.rewards[tick - 1]) if tick else None
            runtime.tokenise(inputs.observations[tick], float(inputs.returns_to_go[tick]), reward)
            bins.append(runtime.step().copy())
    return np.stack(bins)


def compare(bins: Bins, reference: Bins, labels: Bins, codec: ActionCodec) -> dict[str, Any]:
    """Return how far bins are from the reference's, and how often they are the demonstrator's."""
    apart = np.abs(bins - reference)
    difference = np.abs(codec.decode(bins) - codec.decode(reference))
    return {
        "agreement": float((apart == 0).mean()),
        "within_one_bin": float((apart <= 1).mean()),
        "agreement_by_dimension": (apart == 0).mean(0).tolist(),
        "mean_difference": difference.mean(0).tolist(),
        "largest_difference": difference.max(0).tolist(),
        "right_bin": float((bins == labels).mean()),
    }


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Replay the dataset through every way this machine has; returns the report."""
    device = resolve_device(args.device)
    model, contract = load_bundle(args.bundle, device)
    codec = ActionCodec(contract.action, model.config.bins)
    data = Dataset.open(args.data)
    recorded = episodes(data, contract)[: args.episodes]
    ticks = sum(len(inputs) for inputs in recorded)
    labels = codec.encode(data.actions[:ticks])
    options = RuntimeOptions(device, "", 1, args.bundle)
    reference = replay(TorchRuntime(model, options), recorded)
    ways, absent = {}, []
    for name, precision in all_ways(args.runtimes):
        if (name, precision) == ("torch", "fp32"):
            continue
        runtime, way = open_way(model, name, precision, options)
        if runtime is None:
            absent.append(f"{name} {precision}: {way.unavailable}")
            continue
        bins = replay(runtime, recorded)
        ways[f"{name} {way.precision}"] = compare(bins, reference, labels, codec)
    return {
        "machine": machine_name(device),
        "torch": torch.__version__,
        "bundle": str(args.bundle),
        "data": str(args.data),
        "episodes": len(recorded),
        "ticks": ticks,
        "tasks": len(data.task_names),
        "actions": [{"name": f.name, "unit": f.unit} for f in contract.action],
        "right_bin_reference": float((reference == labels).mean()),
        "ways": ways,
        "absent": absent,
        "success": success(args.success),
    }


def success(folders: list[Path]) -> list[dict[str, Any]]:
    """Return success rates of results of ``lram eval``, and the episodes that turned out otherwise
    than in the first of them (the same tasks and seeds)."""
    found: list[dict[str, Any]] = []
    first: dict[tuple[str, int], bool] = {}
    for folder in folders:
        data = json.loads((folder / "results.json").read_text())
        outcome = {(e["task"], e["seed"]): bool(e["success"]) for e in data["episodes"]}
        first = first or outcome
        if outcome.keys() != first.keys():
            raise DataError(f"{folder}: not the same tasks and seeds as {folders[0]}")
        found.append(
            {
                "subject": data["parameters"].get("runtime") or data["parameters"]["subject"],
                **{key: data["mean"][key] for key in ("episodes", "success_rate", "low", "high")},
                "won": sum(outcome[e] and not first[e] for e in first),
                "lost": sum(first[e] and not outcome[e] for e in first),
            }
        )
    return found


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the Markdown tables of a report."""
    tables = {"agreement": _agreement(report)}
    if report["success"]:
        tables["success"] = _success(report["success"])
    return tables


def _success(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| | episodes | success | 95 % | won / lost against the first |",
        "|---|---|---|---|---|",
    ]
    for number, row in enumerate(rows):
        changed = f"{row['won']} / {row['lost']}" if number else ""
        lines.append(
            f"| {row['subject']} | {row['episodes']} | {row['success_rate']:.3f} "
            f"| {row['low']:.2f} – {row['high']:.2f} | {changed} |"
        )
    return "\n".join(lines)


def _agreement(report: dict[str, Any]) -> str:
    names = [f"{a['name']} [{a['unit']}]" for a in report["actions"]]
    lines = [
        "| | bins equal | within one bin | right bin | mean change of " + ", ".join(names) + " | |",
        "|---|---|---|---|---|---|",
        f"| torch fp32 | | | {100 * report['right_bin_reference']:.2f} % | | |",
    ]
    for name, way in report["ways"].items():
        change = ", ".join(f"{value:.1e}" for value in way["mean_difference"])
        met = way["agreement"] >= LEAST_AGREEMENT
        verdict = "met" if met else "**not met**"
        lines.append(
            f"| {name} | {100 * way['agreement']:.3f} % | {100 * way['within_one_bin']:.3f} % "
            f"| {100 * way['right_bin']:.2f} % | {change} | {verdict} |"
        )
    return (
        f"{report['bundle']}, {report['episodes']} episodes of {report['tasks']} tasks, "
        f"{report['ticks']:,} ticks; wanted: at least {100 * LEAST_AGREEMENT:g} % equal. *Right "
        "bin*: share of bins that are the demonstrator's.\n\n" + "\n".join(lines)
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--bundle", type=Path, default=Path("models/metaworld-ml45"))
    parser.add_argument("--data", type=Path, required=True, help="dataset of lram collect")
    parser.add_argument("--episodes", type=int, help="most episodes; default: all")
    parser.add_argument("--runtimes", nargs="+", help="default: all")
    parser.add_argument(
        "--success", nargs="+", type=Path, default=[], help="folders of lram eval, fp32 first"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    report = measure(args)
    if args.json:
        write_json(report, args.json)
    for table in markdown(report).values():
        print(table + "\n")


if __name__ == "__main__":
    main()
