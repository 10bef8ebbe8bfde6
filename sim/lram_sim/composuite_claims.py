"""The Composuite tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes: ``python -m benchmarks.expert_rates``. It can be tried in the
others, but it fails too often, or was not measured, so no demonstrations are collected there.
"""

from __future__ import annotations

from lram_sim.composuite_names import OBJECTIVES, OBJECTS

_WITHOUT_OBSTACLE = tuple(f"{o}-none-{objective}" for o in OBJECTS for objective in OBJECTIVES)
CLAIMED: dict[str, tuple[str, ...]] = {
    "panda": _WITHOUT_OBSTACLE,
    "iiwa": _WITHOUT_OBSTACLE,
    "jaco": _WITHOUT_OBSTACLE,
    "kinova3": tuple(task for task in _WITHOUT_OBSTACLE if task != "box-none-pickplace"),
}
"""Robot → tasks."""
