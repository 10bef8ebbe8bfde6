"""The Composuite tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes: ``python -m benchmarks.expert_rates``. It can be tried in the
others, but it fails too often, or was not measured, so no demonstrations are collected there.
"""

from __future__ import annotations

from lram_sim.composuite_names import OBJECTIVES, OBJECTS

_WITHOUT_OBSTACLE = tuple(f"{o}-none-{objective}" for o in OBJECTS for objective in OBJECTIVES)
_PAST_OBSTACLES = (
    "box-goalwall-pickplace",
    "hollowbox-goalwall-pickplace",
    "hollowbox-objectwall-pickplace",
    *(
        f"{o}-objectdoor-{objective}"
        for o in ("box", "hollowbox")
        for objective in ("pickplace", "push", "trashcan")
    ),
)
CLAIMED: dict[str, tuple[str, ...]] = {
    "panda": (*_WITHOUT_OBSTACLE, *_PAST_OBSTACLES),
    "iiwa": _WITHOUT_OBSTACLE,
    "jaco": _WITHOUT_OBSTACLE,
    "kinova3": tuple(task for task in _WITHOUT_OBSTACLE if task != "box-none-pickplace"),
}
"""Robot → tasks."""
