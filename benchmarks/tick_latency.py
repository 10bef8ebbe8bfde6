"""Latency of a whole control tick, single robot: ours by every runtime, and what it stands against.

    python -m benchmarks.tick_latency --sizes 16M 48M --json benchmarks/results/tick_latency.json

For each size and recurrent model: every runtime and precision, the ``xlstm`` package, and the
memory-streaming limit. Then for each size and context: the fastest of ours against a KV-cached
Decision Transformer of equal size by every runtime. Contestants take turns tick by tick; every
ratio is within such a group. Models are built and freed group by group.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.candidates import (
    TOKENS,
    Candidate,
    all_ways,
    exists,
    package_candidate,
    random_model,
    runtime_candidates,
)
from benchmarks.interleave import Budget, on_inputs, take_turns
from benchmarks.latency_tables import markdown
from benchmarks.limit import StreamLimit, state_bytes, weight_bytes
from benchmarks.output import add_output_options, write, write_json
from benchmarks.plots import latency_plot
from lram_core.action_model import ActionModel
from lram_core.backbones.sizes import SIZES
from lram_core.bench.inputs import RandomWalk
from lram_core.device import resolve_device
from lram_core.errors import listed
from lram_core.machine import machine_name
from lram_core.runtimes.base import RuntimeOptions

LIMIT, FLOOR = "limit", "floor"
MODELS = ("xlstm", "xlstm-h128", "mamba")
AGAINST = ("xlstm", "xlstm-h128")
Row = dict[str, Any]


def model_group(
    size: str, model_name: str, options: RuntimeOptions, args: argparse.Namespace
) -> dict[str, Any]:
    """Measure one recurrent model by every way, the package's stack, and the limits."""
    model = random_model(model_name, size).to(options.device)
    candidates, absent = runtime_candidates(model_name, model, options, all_ways(args.runtimes))
    if args.package and "slstm" not in model_name and model.config.backbone == "xlstm":
        candidates.append(package_candidate(model_name, model, options.device))
    limits = {
        precision: StreamLimit.of(model, precision, options.device)
        for precision in dict.fromkeys(c.precision for c in candidates)
    }
    rows = _measure(candidates, limits, model, args)
    medians = {(row["way"], row["precision"]): row["p50_ms"] for row in rows}
    for row in rows:
        for kind in (LIMIT, FLOOR):
            row[f"over_{kind}"] = row["p50_ms"] / medians[kind, row["precision"]]
    return {
        "kind": "model",
        "size": size,
        "model": model_name,
        "parameters_M": sum(p.numel() for p in model.parameters()) / 1e6,
        "state_MB": state_bytes(model) / 1e6,
        "weights_MB": {p: weight_bytes(model, p) / 1e6 for p in limits},
        "rows": rows,
        "absent": absent,
    }


def context_group(
    size: str,
    context: int,
    best: dict[str, list[tuple[str, str]]],
    options: RuntimeOptions,
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Measure the best ways of the recurrent models against a Transformer with a full cache.

    The limit rows are the Transformer's.
    """
    transformer = random_model("transformer", size, context).to(options.device)
    candidates, absent = runtime_candidates(
        "transformer", transformer, options, all_ways(args.runtimes), context
    )
    for name, ways in best.items():
        if name not in args.against:
            continue
        model = random_model(name, size).to(options.device)
        candidates += runtime_candidates(name, model, options, ways)[0]
    # What a perfect kernel for the Transformer could not beat: weights and cache read once.
    limits = {
        precision: StreamLimit(
            weight_bytes(transformer, precision) + state_bytes(transformer), 0, options.device
        )
        for precision in dict.fromkeys(c.precision for c in candidates)
    }
    rows = _measure(candidates, limits, transformer, args)
    return {
        "kind": "context",
        "size": size,
        "context": context,
        "parameters_M": sum(p.numel() for p in transformer.parameters()) / 1e6,
        "state_MB": state_bytes(transformer) / 1e6,
        "rows": rows,
        "absent": absent,
    }


def _measure(
    candidates: list[Candidate],
    limits: dict[str, StreamLimit],
    model: ActionModel,
    args: argparse.Namespace,
) -> list[Row]:
    inputs = RandomWalk(model).take(256)
    contestants = {f"{c.model} {c.way}": on_inputs(c.tick, inputs) for c in candidates}
    for precision, limit in limits.items():
        contestants[f"{LIMIT} {precision}"] = lambda _, limit=limit: limit.limit()
        if limit.rewrites:
            contestants[f"{FLOOR} {precision}"] = lambda _, limit=limit: limit.floor()
    found = take_turns(contestants, Budget(args.ticks, args.seconds))
    rows = []
    for precision in limits:
        for kind in (LIMIT, FLOOR):
            if f"{kind} {precision}" in found:
                about = {"model": None, "way": kind, "precision": precision, "context": None}
                rows.append(about | _figures(found[f"{kind} {precision}"]))
    for c in candidates:
        about = {"model": c.model, "way": c.way, "precision": c.precision, "context": c.context}
        rows.append(about | _figures(found[f"{c.model} {c.way}"]))
    return rows


def _figures(latency: Any) -> dict[str, Any]:
    return {
        "ticks": latency.ticks,
        "p50_ms": latency.p50,
        "p99_ms": latency.p99,
        "max_ms": latency.max,
    }


def best_ways(group: dict[str, Any]) -> list[tuple[str, str]]:
    """The fastest way of each precision in a model's group, as (runtime, precision)."""
    best: dict[str, Row] = {}
    for row in group["rows"]:
        if row["way"] in (LIMIT, FLOOR) or "package" in row["way"]:
            continue
        held = best.get(row["precision"])
        if held is None or row["p50_ms"] < held["p50_ms"]:
            best[row["precision"]] = row
    return [(row["way"].split()[0], precision) for precision, row in best.items()]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything asked for; returns the report."""
    device = resolve_device(args.device)
    torch.set_num_threads(args.threads)
    options = RuntimeOptions(device, "", args.threads)
    begin = time.monotonic()
    report: dict[str, Any] = {
        "machine": machine_name(device),
        "device": device.type,
        "threads": args.threads,
        "torch": torch.__version__,
        "tokens_per_tick": TOKENS,
        "budget": asdict(Budget(args.ticks, args.seconds)),
        "groups": [],
    }

    def done(group: dict[str, Any]) -> None:
        group["seconds"] = time.monotonic() - start
        group["peak_rss_MB"] = peak_rss_bytes() / 1e6
        report["groups"].append(group)
        report["seconds"] = time.monotonic() - begin
        if args.json:  # what is cut off keeps what it has measured
            write_json(report, args.json)
        gc.collect()
        _announce(group)

    peak_rss_bytes()
    for size in args.sizes:
        best: dict[str, list[tuple[str, str]]] = {}
        for name in args.models:
            if exists(name, size):
                start = time.monotonic()
                group = model_group(size, name, options, args)
                best[name] = best_ways(group)
                done(group)
        for context in args.contexts:
            if exists("transformer", size):
                start = time.monotonic()
                done(context_group(size, context, best, options, args))
    return report


def peak_rss_bytes() -> int:
    """Largest resident set since the last call; of the process, where that is not kept count of."""
    try:
        status = Path("/proc/self/status").read_text()
        peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, StopIteration):  # a sandbox need not have all of /proc
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(peak.split()[1]) * 1024


def _announce(group: dict[str, Any]) -> None:
    what = group.get("model") or f"context {group['context']}"
    print(
        f"{group['size']} {what}: {group['seconds']:.0f} s, {group['peak_rss_MB'] / 1e3:.1f} GB",
        flush=True,
    )
    for row in sorted(group["rows"], key=lambda row: row["p50_ms"]):
        over = f"  {row['over_limit']:6.2f} × limit" if "over_limit" in row else ""
        name = (
            f"{row['model']} {row['way']}" if row["model"] else f"{row['way']} {row['precision']}"
        )
        print(f"  {name:38s} p50 {row['p50_ms']:9.3f}  p99 {row['p99_ms']:9.3f} ms{over}")


def _refuse_unknown(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """End with a list of what exists where a size or a model does not."""
    sizes = list(SIZES["transformer"])
    models = [f"{backbone}{kind}" for backbone in SIZES for kind in ("", "-7:1", "-h128")]
    models = [name for name in models if any(exists(name, size) for size in sizes)]
    for what, found, known in (
        ("size", args.sizes, sizes),
        ("model", [*args.models, *args.against], models),
    ):
        for name in found:
            if name not in known:
                parser.error(f"unknown {what} '{name}'; available: {listed(known)}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["16M", "48M"])
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="recurrent models")
    parser.add_argument("--against", nargs="*", default=list(AGAINST), help="models against a DT")
    parser.add_argument("--contexts", nargs="*", type=int, default=[50, 400, 1600])
    parser.add_argument("--runtimes", nargs="+", help="default: all")
    parser.add_argument("--no-package", dest="package", action="store_false")
    parser.add_argument("--ticks", type=int, default=300, help="most ticks of a group")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a group, if over 30 ticks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    add_output_options(parser)
    args = parser.parse_args(arguments)
    _refuse_unknown(args, parser)
    report = run(args)
    write(report, args, markdown, latency_plot)


if __name__ == "__main__":
    main()
