"""Measures what a plan for large data needs: bytes, collection, loading and training rates.

    python -m benchmarks.scale_rates --json benchmarks/results/scale_plan.json

All rates are for a second of processor time of one core, so that other work on the machine does not
count. :mod:`benchmarks.scale_plan` makes the plan of them.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks import scale_plan
from benchmarks.output import write_json
from lram_core.data.store import Dataset, merge_parts, write_part
from lram_core.machine import machine_name
from lram_sim.demonstrate import Recipe, demonstrate
from lram_sim.suite import dataset_schema, get_suite

SUBJECTS = {
    "metaworld": ("reach-v3", "drawer-open-v3", "pick-place-v3"),
    "robosuite-panda": ("lift",),
    "dmcontrol-reacher": ("easy",),
}
"""Suite → tasks whose experts collect."""
WINDOW = 50  # ticks


def collect(suite_name: str, tasks: tuple[str, ...], episodes: int, out: Path) -> dict[str, Any]:
    """Collect as ``lram collect`` does, in this process; returns rates and sizes."""
    suite = get_suite(suite_name)
    seconds, steps, kept, parts = 0.0, 0, 0, []
    for name in tasks:
        task = suite.make(name)
        demonstrate(task, range(1), Recipe(1, 10_000, 0.3))  # first calls are slower
        begin = process_time()
        found, tally = demonstrate(task, range(episodes), Recipe(episodes, 0, 0.3))
        seconds += process_time() - begin
        steps += tally.steps
        kept += sum(len(episode.rewards) for episode in found)
        parts.append(out.with_name(f"{out.name}-{name}.npz"))
        write_part(parts[-1], found)
        task.close()
    merge_parts(parts, out, dataset_schema(suite), {})
    return {
        "tasks": list(tasks),
        "episodes": episodes * len(tasks),
        "kept": kept,
        "steps_per_s": steps / seconds,
        "kept_per_s": kept / seconds,
        "bytes": _size(out.iterdir()) / kept,
        "part_bytes": _size(parts) / kept,
    }


def _size(paths: Any) -> int:
    return sum(path.stat().st_size for path in paths)


def load(data: Path, windows: int) -> float:
    """Ticks a second that random windows are read at, from the memory-mapped store."""
    found = Dataset.open(data)
    lengths = np.asarray(found.episodes["length"])
    rng = np.random.default_rng(0)
    ticks, begin = 0, process_time()
    for episode in rng.integers(len(lengths), size=windows):
        length = min(WINDOW, int(lengths[episode]))
        window = found.window(int(episode), 0, length)
        ticks += length
        for name in ("observations", "actions", "rewards", "returns_to_go"):
            np.array(getattr(window, name))
    return ticks / (process_time() - begin)


def train(data: Path, size: str, steps: tuple[int, int], batch: int, work: Path) -> dict[str, Any]:
    """Timesteps a second of ``lram train``: what the steps of a longer run cost more."""
    spent = []
    for count in steps:
        out, run = work / f"{size}-{count}", work / f"run-{size}-{count}"
        words = ["--data", data, "--size", size, "--steps", count, "--batch", batch, "--out", out]
        command = [sys.executable, "-m", "lram_core.cli", "train", *map(str, words)]
        one = {**os.environ, "OMP_NUM_THREADS": "1"}
        before = _children()
        subprocess.run([*command, "--run", str(run)], check=True, capture_output=True, env=one)
        spent.append(_children() - before)
    text = (work / f"{size}-{steps[1]}" / "policy.yaml").read_text()
    (context,) = re.findall(r"^context: (\d+)$", text, re.MULTILINE)
    ticks = (steps[1] - steps[0]) * batch * int(context)
    return {"size": size, "batch": batch, "timesteps_per_s": ticks / (spent[1] - spent[0])}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suites", nargs="+", default=list(SUBJECTS))
    parser.add_argument("--episodes", type=int, default=20, help="of each task")
    parser.add_argument("--size", default="d128")
    parser.add_argument("--steps", type=int, nargs=2, default=(5, 35))
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--windows", type=int, default=20_000)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        collected = {
            suite: collect(suite, SUBJECTS[suite], args.episodes, work / suite)
            for suite in args.suites
        }
        data = work / args.suites[0]
        report = {
            "machine": machine_name(),
            "collected": collected,
            "loaded_per_s": load(data, args.windows),
            "trained": train(data, args.size, tuple(args.steps), args.batch, work),
        }
    if args.json:
        write_json(report, args.json)
    for name, text in scale_plan.markdown(report).items():
        print(f"\n{name}\n\n{text}")


if __name__ == "__main__":
    main()
