"""A plan for a thousand million transitions, from measured rates: bytes, hours, machines.

    python -m benchmarks.scale_plan                        # with the rates measured here
    python -m benchmarks.scale_plan --transitions 1e8 --cores 32 --days 2

The rates come from :mod:`benchmarks.scale_rates`; every formula is in :func:`plan`.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPORT = Path(__file__).with_name("results") / "scale_plan.json"
TOKENS = 3  # a timestep: state, return-to-go, reward
FLOPS = 6  # a weight and token: 2 forwards, 4 backwards
SIZES_M = {"16M": 16.1, "48M": 47.9, "110M": 108.3, "206M": 206.5}
"""Size → million parameters, xLSTM [1:0]."""


@dataclass(frozen=True)
class Assumptions:
    """What is chosen, and what is not measured here.

    Attributes:
        transitions: to collect, store and train on once.
        cores: of one collecting machine, each as fast as the measured one.
        days: within which the collection is to be done.
        peak: FLOP/s of one GPU, bf16 (an H100's data sheet).
        utilisation: share of it that the training reaches. A target: docs/scaling.md tells what was
            seen.
    """

    transitions: float = 1e9
    cores: int = 64
    days: float = 1.0
    peak: float = 989e12
    utilisation: float = 0.35


@dataclass(frozen=True)
class Plan:
    """What one suite's transitions take: bytes, processor hours, machines."""

    store_bytes: float
    part_bytes: float
    core_hours: float
    machines: int
    bytes_per_s: float


def plan(rates: dict[str, Any], chosen: Assumptions) -> Plan:
    """Return the plan of a suite; ``rates`` are those of one in the report's ``collected``."""
    core_hours = chosen.transitions / rates["kept_per_s"] / 3600
    seconds = chosen.days * 86_400
    return Plan(
        store_bytes=chosen.transitions * rates["bytes"],
        part_bytes=chosen.transitions * rates["part_bytes"],
        core_hours=core_hours,
        machines=math.ceil(core_hours / (chosen.cores * 24 * chosen.days)),
        bytes_per_s=chosen.transitions * rates["part_bytes"] / seconds,
    )


def cpu_hours(report: dict[str, Any], chosen: Assumptions) -> float:
    """Hours of one core to train on every transition once, at the measured size."""
    return float(chosen.transitions / report["trained"]["timesteps_per_s"] / 3600)


def gpu_hours(parameters_m: float, chosen: Assumptions) -> float:
    """Hours of one GPU to train on every transition once."""
    work = FLOPS * parameters_m * 1e6 * TOKENS * chosen.transitions
    return work / (chosen.peak * chosen.utilisation) / 3600


def markdown(report: dict[str, Any], chosen: Assumptions | None = None) -> dict[str, str]:
    """Return the manual's tables: ``rates``, ``collection``, ``training``."""
    chosen = chosen or Assumptions()
    return {
        "rates": _rates(report),
        "collection": _collection(report, chosen),
        "training": _training(report, chosen),
    }


def _rates(report: dict[str, Any]) -> str:
    lines = [
        f"{report['machine']}; rates a second of processor time of one core.",
        "",
        "| suite | tasks | simulated ticks/s | kept transitions/s | bytes a transition "
        "| compressed, on the way |",
        "|---|---|---|---|---|---|",
    ]
    for suite, found in report["collected"].items():
        lines.append(
            f"| {suite} | {', '.join(found['tasks'])} | {found['steps_per_s']:,.0f} "
            f"| {found['kept_per_s']:,.0f} | {found['bytes']:.0f} | {found['part_bytes']:.0f} |"
        )
    trained = report["trained"]
    lines += [
        "",
        f"Random windows of 50 ticks are read at {report['loaded_per_s']:,.0f} transitions/s; "
        f"`lram train --size {trained['size']} --batch {trained['batch']}` takes "
        f"{trained['timesteps_per_s']:,.0f} a second at least (timed by "
        "`python -m benchmarks.learn_from_bag`, start-up included).",
    ]
    return "\n".join(lines)


def _collection(report: dict[str, Any], chosen: Assumptions) -> str:
    lines = [
        f"{chosen.transitions:.0e} transitions of one suite, machines of {chosen.cores} such cores "
        f"for {chosen.days:g} d:",
        "",
        "| suite | store | parts | core hours | machines | parts a second, all machines |",
        "|---|---|---|---|---|---|",
    ]
    for suite, rates in report["collected"].items():
        found = plan(rates, chosen)
        lines.append(
            f"| {suite} | {found.store_bytes / 1e9:,.0f} GB | {found.part_bytes / 1e9:,.0f} GB "
            f"| {found.core_hours:,.0f} | {found.machines} | {found.bytes_per_s / 1e6:.1f} MB |"
        )
    return "\n".join(lines)


def _training(report: dict[str, Any], chosen: Assumptions) -> str:
    size = report["trained"]["size"]
    lines = [
        f"{chosen.transitions:.0e} transitions, each seen once:",
        "",
        "| size | hours of one core, measured rate | FLOP | hours of one GPU "
        f"at {100 * chosen.utilisation:g} % of {chosen.peak / 1e12:g} TFLOP/s | of eight "
        "| transitions/s that eight ask of the loader |",
        "|---|---|---|---|---|---|",
        f"| {size} | {cpu_hours(report, chosen):,.0f} | | | | |",
    ]
    for name, parameters in SIZES_M.items():
        hours = gpu_hours(parameters, chosen)
        work = FLOPS * parameters * 1e6 * TOKENS * chosen.transitions
        lines.append(
            f"| {name} | | {work:.1e} | {hours:,.1f} | {hours / 8:,.2f} "
            f"| {8 * chosen.transitions / (3600 * hours):,.0f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in vars(Assumptions()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("--report", type=Path, default=REPORT)
    args = vars(parser.parse_args(arguments))
    report = json.loads(args.pop("report").read_text())
    for text in markdown(report, Assumptions(**args)).values():
        print(f"{text}\n")


if __name__ == "__main__":
    main()
