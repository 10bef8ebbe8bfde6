"""The manual's table of the success rates of the MimicGen experts."""

from __future__ import annotations

import numpy as np

from benchmarks.expert_rates import Rates, won
from lram_core.statistics import wilson_interval
from lram_sim.mimicgen_claims import CLAIMED
from lram_sim.mimicgen_names import task_names

_SUITES = ("mimicgen-panda-osc", "mimicgen-panda")


def markdown(report: Rates) -> dict[str, str]:
    """Return the tables by name."""
    lines = [
        "| task | OSC: success | 95 % interval | mean ticks | joints: success | 95 % interval "
        "| mean ticks |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in task_names():
        cells = [_cells(suite, task, report.get(suite, {}).get(task, [])) for suite in _SUITES]
        if any(cells):
            lines.append(f"| {task} | " + " | ".join(found or " | | " for found in cells) + " |")
    return {"mimicgen": "\n".join(lines)}


def _cells(suite: str, task: str, ticks: list[int | None]) -> str:
    """Return success, interval and mean ticks; the success in bold where it is claimed."""
    if not ticks:
        return ""
    successes = won(ticks)
    low, high = wilson_interval(len(successes), len(ticks))
    share = f"{len(successes)}/{len(ticks)}"
    if task in CLAIMED.get(suite, ()):
        share = f"**{share}**"
    mean = f"{np.mean(successes):.0f}" if successes else "-"
    return f"{share} | {low:.2f} … {high:.2f} | {mean}"
