"""The manual's table of the success rates of the MimicGen experts."""

from __future__ import annotations

from typing import Any

import numpy as np

from lram_core.statistics import wilson_interval
from lram_sim.mimicgen_claims import CLAIMED
from lram_sim.mimicgen_names import task_names

_SUITES = ("mimicgen-panda-osc", "mimicgen-panda")


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the tables; a report is suite → task → ticks of each success, None for a failure."""
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
    won = [count for count in ticks if count is not None]
    low, high = wilson_interval(len(won), len(ticks))
    share = f"{len(won)}/{len(ticks)}"
    if task in CLAIMED.get(suite, ()):
        share = f"**{share}**"
    mean = f"{np.mean(won):.0f}" if won else "-"
    return f"{share} | {low:.2f} … {high:.2f} | {mean}"
