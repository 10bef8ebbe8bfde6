"""Success of a bundle through ROS 2, made of the summaries of ``lram demo``.

    for arm in panda iiwa ur5e; do
        lram demo --bundle models/robosuite-arms --suite robosuite-$arm --no-video \\
            --tasks lift,stack,pick-place-can --episodes 20 --out runs/arms/$arm
    done
    python -m benchmarks.lockstep runs/arms/* --json benchmarks/results/robosuite_lockstep.json
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import write_json
from lram_core.statistics import bootstrap_interval, wilson_interval


def read(folder: Path) -> dict[str, Any]:
    """Return what a folder of ``lram demo`` says about success."""
    summary = json.loads((folder / "summary.json").read_text())
    return {
        "suite": summary["suite"],
        "mode": summary["mode"],
        "seed": summary["seed"],
        "tasks": {task["task"]: [task["successes"], task["episodes"]] for task in summary["tasks"]},
    }


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``success``."""
    lines = ["| suite | task | success | 95 % |", "|---|---|---|---|"]
    groups = []
    for run in report["runs"]:
        for task, (wins, episodes) in run["tasks"].items():
            low, high = wilson_interval(wins, episodes)
            lines.append(
                f"| {run['suite']} | {task} | {wins}/{episodes} | {low:.2f} – {high:.2f} |"
            )
            groups.append(np.repeat([1.0, 0.0], [wins, episodes - wins]))
    low, high = bootstrap_interval(groups)
    mean = float(np.mean([group.mean() for group in groups]))
    lines.append(f"| mean | {len(groups)} tasks | {mean:.3f} | {low:.2f} – {high:.2f} |")
    return {"success": "\n".join(lines)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="results of lram demo")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    report = {"runs": [read(folder) for folder in args.folders]}
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["success"])


if __name__ == "__main__":
    main()
