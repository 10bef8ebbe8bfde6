"""Does a policy learn as much from recorded bags as from the simulator's own demonstrations?

    python -m benchmarks.learn_from_bag --json benchmarks/results/learn_from_bag.json

One pipeline, twice, by the commands that a user has. *Native*: ``lram collect`` writes the store
in-process. *Bag*: the same expert drives the simulated robot over topics, a recorder writes
rosbag2, ``lram data import`` makes the store. Then, for both: ``lram train``, ``lram replay`` of
bags that were held out, ``lram eval`` at starts that no demonstration has.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import write_json
from lram_core.data.store import Dataset
from lram_core.machine import machine_name
from lram_core.statistics import wilson_interval
from lram_ros.children import Children, ros_arguments
from lram_ros.domain import isolation, reserved_domain
from lram_ros.episode_driver import EpisodeDriver, make_plan
from lram_ros.process import ros
from lram_ros.surroundings import environment

ROOT = Path(__file__).parents[1]
CONTRACT = ROOT / "config" / "metaworld.yaml"
WAYS = ("native", "bag")
_READY_S = 120.0


def lram(*words: object) -> str:
    """Run ``lram`` as a user would; returns what it prints."""
    command = [sys.executable, "-m", "lram_core.cli", *map(str, words)]
    print("lram", *words, flush=True)
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=one)
    return done.stdout


def record(task: str, episodes: int, seed: int, folder: Path) -> dict[str, float]:
    """Record episodes of the task's expert through the bridge.

    Returns:
        Number of episodes, successes, and the control ticks a second of the whole graph.
    """
    plan = make_plan((task,), episodes, seed, 0)
    with reserved_domain() as domain:
        variables = {**isolation(domain), "OMP_NUM_THREADS": "1"}
        with environment(variables), Children(folder / "logs", variables) as children:
            bridge = {"suite": "metaworld", "mode": "lockstep"}
            children.start("bridge", "lram_sim.bridge_node", ros_arguments(bridge))
            node = {"bundle": "expert", "contract": str(CONTRACT)}
            children.start("expert", "benchmarks.expert_node", ros_arguments(node))
            output = {"output": str(folder / "bag")}
            children.start("recorder", "lram_ros.recorder", ros_arguments(output))
            with ros([]):
                driver = EpisodeDriver(children.check)
                try:
                    driver.wait_ready(recorder=True, timeout=_READY_S)
                    begin = time.monotonic()
                    results = list(driver.run(plan))
                    seconds = time.monotonic() - begin
                finally:
                    driver.close()
    ticks = sum(result.ticks for result in results)
    return {
        "episodes": len(results),
        "success": sum(result.success for result in results),
        "ticks_per_s": ticks / seconds,
    }


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run both pipelines; returns the report."""
    work: Path = args.work
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    native, imported = work / "native", work / "imported"
    recorded = record(args.task, args.episodes, args.seed, work / "recorded")
    held_out = record(args.task, args.held_out, args.seed + args.episodes, work / "held-out")
    words = ["--tasks", args.task, "--episodes", args.episodes, "--seed", args.seed, "--noise", 0]
    lram("collect", "metaworld", *words, "--workers", 1, "--out", native)
    like = ["--contract", CONTRACT, "--like", native]
    lram("data", "import", "rosbag2", work / "recorded" / "bag", *like, "--out", imported)
    report: dict[str, Any] = {
        "machine": machine_name(),
        "task": args.task,
        "recorded": recorded,
        "held_out": held_out,
        "data": compare(native, imported),
        "ways": {},
    }
    for way, data in zip(WAYS, (native, imported), strict=True):
        bundle = work / f"bundle-{way}"
        shape = ["--size", args.size, "--steps", args.steps, "--batch", args.batch]
        begin = time.monotonic()
        lram("train", "--data", data, "--out", bundle, "--run", work / f"run-{way}", *shape)
        seconds = time.monotonic() - begin
        bags = work / "held-out" / "bag"
        said = lram("replay", bags, "--policy", bundle, "--contract", CONTRACT, "--json")
        out = work / f"eval-{way}"
        tasks = ["--tasks", args.task, "--episodes", args.evaluations]
        lram("eval", "--bundle", bundle, *tasks, "--workers", 1, "--out", out)
        report["ways"][way] = {
            "train_s": seconds,
            "replay": figures(json.loads(said)),
            "success": success(json.loads((out / "results.json").read_text())),
        }
    return report


def figures(replay: dict[str, Any]) -> dict[str, float]:
    """What a replay's summary says of its one policy."""
    (found,) = replay["policies"]
    return {
        "ticks": replay["ticks"],
        "episodes": replay["episodes"],
        "accuracy": found["tokens"]["accuracy"],
        "perplexity": found["tokens"]["perplexity"],
        "error_percent": found["mean_error_percent_of_range"],
    }


def success(results: dict[str, Any]) -> tuple[int, int]:
    """Successes and episodes of an evaluation."""
    outcomes = results["episodes"]
    return sum(bool(each["success"]) for each in outcomes), len(outcomes)


def compare(native: Path, imported: Path) -> dict[str, Any]:
    """How far the imported store is the native one."""
    sets = [Dataset.open(path) for path in (native, imported)]
    same = {}
    for name in ("observations", "actions", "rewards"):
        arrays = [np.asarray(getattr(each, name)) for each in sets]
        equal = arrays[0].shape == arrays[1].shape
        same[name] = float(np.abs(arrays[0] - arrays[1]).max()) if equal else None
    return {
        "episodes": [len(each.episodes) for each in sets],
        "ticks": [len(each.rewards) for each in sets],
        "largest_difference": same,
    }


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``pipelines``."""
    recorded, data = report["recorded"], report["data"]
    differences = ", ".join(
        f"{name} {'of another size' if value is None else f'{value:.1e}'}"
        for name, value in data["largest_difference"].items()
    )
    lines = [
        f"{report['machine']}; {report['task']}: {recorded['episodes']:.0f} episodes of its expert "
        f"over topics at {recorded['ticks_per_s']:.0f} ticks/s, {recorded['success']:.0f} of them "
        f"successful; {data['ticks'][0]:,} ticks in the native store, {data['ticks'][1]:,} in the "
        f"imported one, largest difference: {differences}.",
        "",
        "| trained on | success at unseen starts | 95 % | tokens right on held-out bags "
        "| perplexity | mean error |",
        "|---|---|---|---|---|---|",
    ]
    for way, name in zip(WAYS, ("the simulator's own store", "recorded bags"), strict=True):
        found = report["ways"][way]
        wins, count = found["success"]
        low, high = wilson_interval(wins, count)
        replay = found["replay"]
        lines.append(
            f"| {name} | {wins / count:.2f} of {count} | {low:.2f} – {high:.2f} "
            f"| {100 * replay['accuracy']:.1f} % | {replay['perplexity']:.2f} "
            f"| {replay['error_percent']:.2f} % of the range |"
        )
    return {"pipelines": "\n".join(lines)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="drawer-open-v3")
    parser.add_argument("--episodes", type=int, default=60, help="recorded for training")
    parser.add_argument("--held-out", type=int, default=10, help="recorded for the replay")
    parser.add_argument("--evaluations", type=int, default=60, help="episodes in simulation")
    parser.add_argument("--seed", type=int, default=40_000_000)
    parser.add_argument("--size", default="d128")
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "learn-from-bag")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    report = run(args)
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["pipelines"])


if __name__ == "__main__":
    main()
