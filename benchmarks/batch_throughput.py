"""One model for many robots: ticks a second over the number of robots in a batch.

    python -m benchmarks.batch_throughput --json benchmarks/results/batch_throughput.json

For comparison the fastest single-robot runtime, called for one robot after the other: what a batch
must beat to be worth having on that machine.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.candidates import random_model
from benchmarks.output import write_json
from lram_core.action_model import ActionModel
from lram_core.batch_policy import BatchPolicy
from lram_core.bench.inputs import RandomWalk
from lram_core.bench.timing import Latency, tick_seconds, time_ticks
from lram_core.bundle import load_bundle, load_contract
from lram_core.contract import PolicyContract
from lram_core.device import resolve_device
from lram_core.machine import machine_name
from lram_core.runtimes import AUTO, make_runtime
from lram_core.runtimes.base import RuntimeOptions

BUNDLE = Path("models/metaworld-ml45")
ROBOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def subject(name: str) -> tuple[ActionModel, PolicyContract]:
    """A bundle's folder, or a size of an xLSTM with random weights behind the shipped contract."""
    if Path(name).is_dir():
        return load_bundle(name)
    size, _, suffix = name.partition("-")
    model = random_model(f"xlstm-{suffix}" if suffix else "xlstm", size)
    return model, load_contract(BUNDLE)


def curve(
    model: ActionModel, contract: PolicyContract, device: torch.device, args: argparse.Namespace
) -> dict[str, Any]:
    """Return the points of one model."""
    points = []
    for robots in args.robots:
        policy = BatchPolicy(model, contract, robots, device, precision=args.precision)
        first = float(np.median(tick_seconds(policy, 3)))
        latency = Latency.of(tick_seconds(policy, max(5, min(500, int(args.seconds / first)))))
        points.append(
            {
                "robots": robots,
                "ticks": latency.ticks,
                "p50_ms": latency.p50,
                "p99_ms": latency.p99,
                "ticks_per_second": 1e3 * robots / latency.p50,
            }
        )
        print(f"{robots:4d} robots: p50 {latency.p50:.3f} ms, {policy.describe()}", flush=True)
        description = policy.describe()
        del policy
        gc.collect()
    return {"runtime": description.split(" (")[0], "points": points}


def single(model: ActionModel, device: torch.device, args: argparse.Namespace) -> dict[str, Any]:
    """The fastest runtime for one robot, as it would be called for each in turn."""
    runtime = make_runtime(model, AUTO, RuntimeOptions(device, "", args.threads))
    inputs = RandomWalk(model).take(200)
    latency = time_ticks({0: runtime}, inputs, reward_early=False)[0]
    return {"runtime": runtime.describe(), "p50_ms": latency.p50}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure all subjects; returns the report."""
    device = resolve_device(args.device)
    torch.set_num_threads(args.threads)
    series = []
    for name in args.subjects:
        model, contract = subject(name)
        model = model.to(device)
        found = curve(model, contract, device, args)
        title = f"{Path(name).name}, {found['runtime']}"
        series.append({"name": title, **found, "single": single(model, device, args)})
    return {
        "machine": machine_name(device),
        "device": device.type,
        "threads": args.threads,
        "torch": torch.__version__,
        "series": series,
    }


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the Markdown table of a report."""
    lines = []
    for series in report["series"]:
        one = series["single"]
        lines += [
            "",
            f"{series['name']}; one robot after the other by {one['runtime']}: "
            f"{one['p50_ms']:.3f} ms each, {1e3 / one['p50_ms']:,.0f} ticks/s:",
            "",
            "| robots | p50 ms | p99 ms | ticks/s of each | ticks/s of all | × one by one |",
            "|---|---|---|---|---|---|",
        ]
        for p in series["points"]:
            ratio = p["ticks_per_second"] * one["p50_ms"] / 1e3
            lines.append(
                f"| {p['robots']} | {p['p50_ms']:.2f} | {p['p99_ms']:.2f} "
                f"| {1e3 / p['p50_ms']:,.1f} | {p['ticks_per_second']:,.0f} | {ratio:.2f} |"
            )
    where = f"{report['machine']}, {report['threads']} thread(s), torch {report['torch']}"
    return {"curve": "\n".join([f"{where}.", *lines])}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--subjects", nargs="+", default=[str(BUNDLE), "16M-h128"], help="bundles, or sizes"
    )
    parser.add_argument("--robots", nargs="+", type=int, default=list(ROBOTS))
    parser.add_argument("--seconds", type=float, default=3.0, help="of each point")
    parser.add_argument("--precision", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    report = measure(args)
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["curve"])


if __name__ == "__main__":
    main()
