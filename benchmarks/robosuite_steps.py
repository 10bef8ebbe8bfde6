"""Control ticks a second of robosuite's tasks against robosuite's own ``env.step``.

    python -m benchmarks.robosuite_steps

Both get the same random actions, tick by tick in turn. Compared are ``RobosuiteTask.step`` with its
observation and ``env.step`` with robosuite's observation of robot and objects, in processor time,
so that other work on the machine does not count. The largest difference of a joint position is
printed too.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from time import process_time

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from lram_core.machine import machine_name
from lram_sim.robosuite_env import EpisodeSource, build_env
from lram_sim.suite_registry import get_suite

SUBJECTS = (
    ("robosuite-panda", "lift"),
    ("robosuite-panda-osc", "lift"),
    ("robosuite-panda", "pick-place-can"),
    ("robosuite-panda-osc", "nut-assembly-square"),
    ("robosuite-sawyer-osc", "stack"),
)
WARM_UP = 5


@dataclass(frozen=True)
class Result:
    """Median processor time of a tick, ms, and the largest difference (rad, m) of a position."""

    theirs: float
    ours: float
    difference: float


def compare(suite_name: str, task_name: str, ticks: int) -> Result:
    """Run both side by side."""
    suite = get_suite(suite_name)
    task = suite.make(task_name)
    env = build_env(task_name, suite.arm, suite.mode, observed=True)  # type: ignore[attr-defined]
    EpisodeSource(env).reset(1)
    task.reset(1)
    rng, drift = np.random.default_rng(0), np.zeros(len(suite.action_fields))
    times: list[tuple[float, float]] = []
    difference = 0.0
    for tick in range(WARM_UP + ticks):
        drift = 0.9 * drift + 0.4 * rng.normal(size=len(drift))
        action = np.clip(drift, -1.0, 1.0)
        begin = process_time()
        env.step(action)
        middle = process_time()
        task.step(action)
        if tick >= WARM_UP:
            times.append((middle - begin, process_time() - middle))
        gap = np.abs(env.sim.data._data.qpos - task.data.qpos).max()
        difference = max(difference, float(gap))
    theirs, ours = 1e3 * np.median(np.array(times), axis=0)
    task.close()
    return Result(float(theirs), float(ours), difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ticks", type=int, default=100)
    ticks = parser.parse_args().ticks
    table = Table(title=machine_name(), box=box.SIMPLE_HEAD)
    for column in ("suite", "task", "env.step", "here", "ticks/s", "faster", "difference"):
        table.add_column(column, no_wrap=True)
    for suite, task in SUBJECTS:
        found = compare(suite, task, ticks)
        table.add_row(
            suite,
            task,
            f"{found.theirs:.2f} ms",
            f"{found.ours:.2f} ms",
            f"{1e3 / found.ours:.0f}",
            f"{found.theirs / found.ours:.1f} x",
            f"{found.difference:.0e}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
