"""The manual's tables of robosuite's scripted experts, from ``results/expert_rates.json``."""

from __future__ import annotations

import numpy as np

from benchmarks.expert_rates import Rates, won
from lram_sim.robosuite_env import ENVIRONMENTS
from lram_sim.robosuite_names import CONTROLLERS, ROBOTS, WIPE, suite_name, wiper_name

Ticks = list[int | None]


def markdown(rates: Rates) -> dict[str, str]:
    """Return a table a controller: ``joint`` and ``osc``; a row a task, a column an arm."""
    return {controller: _table(rates, controller) for controller in CONTROLLERS}


def _table(rates: Rates, controller: str) -> str:
    lines = [f"| task | {' | '.join(ROBOTS)} |", "|---" * (1 + len(ROBOTS)) + "|"]
    for task in (*ENVIRONMENTS, WIPE):
        name = wiper_name if task == WIPE else suite_name
        ticks = [rates.get(name(robot, controller), {}).get(task, []) for robot in ROBOTS]
        lines.append(f"| {task} | {' | '.join(map(_cell, ticks))} |")
    return "\n".join(lines)


def _cell(ticks: Ticks) -> str:
    """Return successes, episodes and mean ticks of a success; a dash where none was run."""
    successes = won(ticks)
    if not ticks:
        return "–"
    mean = f", {np.mean(successes):.0f}" if successes else ""
    return f"{len(successes)}/{len(ticks)}{mean}"
