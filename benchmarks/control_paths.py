"""Success of a bundle by the way its commands take, made of the results of ``lram demo``.

    python -m benchmarks.control_paths lockstep=runs/paths/native positions=runs/paths/position \\
        --json benchmarks/results/robosuite_realtime.json

Each argument names a way and the folder of its results. Of a run in real time it also counts what
was missed: readings that no tick answered, by the bag, and control ticks that the simulator left
out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import write_json
from lram_core.errors import CommandError
from lram_core.machine import machine_name
from lram_core.statistics import bootstrap_interval
from lram_ros.bags.mcap_scan import scan_mcap
from lram_ros.episode_state import EpisodeState

_LEFT_OUT = re.compile(r"too slow for real time: (\d+) control ticks left out")


def read(folder: Path) -> dict[str, Any]:
    """Return what a folder of ``lram demo`` says about success, ticks and what was missed."""
    summary = json.loads((folder / "summary.json").read_text())
    runs = defaultdict(list)
    for run in summary["runs"]:
        runs[run["task"]].append([bool(run["success"]), run["ticks"]])
    found = {"suite": summary["suite"], "mode": summary["mode"], "tasks": dict(runs)}
    found["machine"] = machine_name()
    if summary["mode"] == "realtime":
        found["missed"], found["readings"] = _missed(folder / "bag/bag.mcap")
        log = (folder / "logs/sim_bridge.log").read_text()
        found["left_out"] = max(map(int, _LEFT_OUT.findall(log)), default=0)
        found["tick_ms"] = summary["tick_ms"]
    return found


def _missed(bag: Path) -> tuple[int, int]:
    """Return (readings of running episodes without a policy tick, all of them).

    Counted from an episode's first tick on: before it the inputs have to prove alive.
    """
    from rclpy.serialization import deserialize_message

    from lram_ros.message_fields import message_class

    readings: dict[int, list[int]] = defaultdict(list)
    ticks: dict[int, set[int]] = defaultdict(set)
    for message in scan_mcap(bag):
        if message.topic not in ("/episode", "/policy/tick"):
            continue
        told = deserialize_message(message.data, message_class(message.type))
        stamp = told.header.stamp.sec * 1_000_000_000 + told.header.stamp.nanosec
        if message.topic == "/policy/tick":
            ticks[told.episode].add(stamp)
        elif told.state == EpisodeState.RUNNING:
            readings[told.episode].append(stamp)
    missed = total = 0
    for episode, answered in ticks.items():
        due = [stamp for stamp in readings[episode] if stamp >= min(answered)]
        missed += len(set(due) - answered)
        total += len(due)
    return missed, total


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's tables: ``success`` and, for real time, ``missed``."""
    ways = report["ways"]
    tasks = list(next(iter(ways.values()))["tasks"])
    lines = [f"| task | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    for task in tasks:
        cells = [_cell(way["tasks"][task]) for way in ways.values()]
        lines.append(f"| {task} | {' | '.join(cells)} |")
    means = []
    for way in ways.values():
        groups = [np.array([won for won, _ in way["tasks"][task]], dtype=float) for task in tasks]
        low, high = bootstrap_interval(groups)
        means.append(f"{np.mean([g.mean() for g in groups]):.3f} ({low:.2f} – {high:.2f})")
    lines.append(f"| mean (95 %) | {' | '.join(means)} |")
    rows = []
    for name, way in ways.items():
        if way["mode"] == "realtime":
            ms = way["tick_ms"]
            rows.append(
                f"| {name} | {way['missed']} of {way['readings']} | {way['left_out']} | "
                f"{ms['p50']:.1f} | {ms['p99']:.1f} | {ms['max']:.0f} |"
            )
    found = {"success": "\n".join(lines)}
    if rows:
        head = [
            "| | readings without a tick | ticks the simulator left out | policy's tick, p50 (ms) "
            "| p99 | largest |",
            "|---|---|---|---|---|---|",
        ]
        found["missed"] = "\n".join([*head, *rows])
    return found


def _cell(episodes: list[list[Any]]) -> str:
    wins = [ticks for won, ticks in episodes if won]
    mean = f", {np.mean(wins):.0f} ticks" if wins else ""
    return f"{len(wins)}/{len(episodes)}{mean}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("ways", nargs="+", metavar="NAME=FOLDER", help="results of lram demo")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    report: dict[str, Any] = {"ways": {}}
    for way in args.ways:
        name, equals, folder = way.partition("=")
        if not equals:
            raise CommandError(f"expected NAME=FOLDER, found '{way}'")
        report["ways"][name] = read(Path(folder))
    if args.json:
        write_json(report, args.json)
    for table in markdown(report).values():
        print(table, end="\n\n")


if __name__ == "__main__":
    main()
