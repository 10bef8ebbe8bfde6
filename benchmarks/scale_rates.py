"""Measures what a plan for large data needs: bytes, collection, loading and training rates.

    python -m benchmarks.scale_rates --json benchmarks/results/scale_plan.json

Collection and loading are timed in processor time of one core, so that other work on the machine
does not count. :mod:`benchmarks.scale_plan` makes the plan of them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks import scale_plan
from benchmarks.output import write_json
from lram_core.data.parts import merge_parts, write_part
from lram_core.data.store import Dataset
from lram_core.machine import machine_name
from lram_sim.demonstrate import Recipe, demonstrate
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite

SUBJECTS = {
    "metaworld": ("reach-v3", "drawer-open-v3", "pick-place-v3"),
    "robosuite-panda": ("lift",),
    "dmcontrol-reacher": ("easy",),
}
"""Suite → tasks whose experts collect."""
WINDOW = 50  # ticks
RESULTS = Path(__file__).with_name("results")


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


def trained_before(steps: int = 250, batch: int = 8, context: int = 50) -> dict[str, Any]:
    """The rate of the training that :mod:`benchmarks.learn_from_bag` timed, start-up included.

    Its time is wall time of one thread: the rate is a lower bound. The arguments are its defaults.
    """
    report = json.loads((RESULTS / "learn_from_bag.json").read_text())
    rate = steps * batch * context / min(way["train_s"] for way in report["ways"].values())
    return {"size": "d128", "batch": batch, "timesteps_per_s": rate}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--suites", nargs="+", default=list(SUBJECTS))
    parser.add_argument("--episodes", type=int, default=20, help="of each task")
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
            "trained": trained_before(),
        }
    if args.json:
        write_json(report, args.json)
    for name, text in scale_plan.markdown(report).items():
        print(f"\n{name}\n\n{text}")


if __name__ == "__main__":
    main()
