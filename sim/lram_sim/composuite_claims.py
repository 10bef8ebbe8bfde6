"""The Composuite tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes: ``python -m benchmarks.expert_rates``. It can be tried in the
others, but it fails too often, or was not measured, so no demonstrations are collected there.
"""

from __future__ import annotations

from lram_sim.composuite_names import OBJECTIVES, OBJECTS

_WITHOUT_OBSTACLE = tuple(f"{o}-none-{objective}" for o in OBJECTS for objective in OBJECTIVES)
_PAST_OBSTACLES: dict[str, dict[str, str]] = {
    "panda": {
        "box-goalwall": "pickplace shelf trashcan",
        "hollowbox-goalwall": "pickplace shelf trashcan",
        "plate-goalwall": "pickplace shelf trashcan",
        "dumbbell-goalwall": "trashcan",
        "box-objectdoor": "pickplace push shelf trashcan",
        "hollowbox-objectdoor": "pickplace push shelf trashcan",
        "box-objectwall": "pickplace push shelf trashcan",
        "hollowbox-objectwall": "pickplace push shelf trashcan",
        "plate-objectwall": "pickplace",
        "dumbbell-objectwall": "trashcan",
    },
    "iiwa": {
        "box-goalwall": "pickplace push shelf trashcan",
        "hollowbox-goalwall": "pickplace push shelf trashcan",
        "plate-goalwall": "pickplace shelf trashcan",
        "dumbbell-goalwall": "shelf trashcan",
        "box-objectdoor": "pickplace push shelf trashcan",
        "hollowbox-objectdoor": "pickplace push shelf trashcan",
        "box-objectwall": "pickplace push shelf trashcan",
        "hollowbox-objectwall": "pickplace push shelf trashcan",
        "plate-objectwall": "pickplace push shelf trashcan",
        "dumbbell-objectwall": "push",
    },
    "jaco": {
        "box-goalwall": "pickplace shelf trashcan",
        "hollowbox-goalwall": "pickplace push shelf trashcan",
        "plate-goalwall": "pickplace trashcan",
        "dumbbell-goalwall": "trashcan",
        "box-objectdoor": "push shelf trashcan",
        "hollowbox-objectdoor": "pickplace push shelf trashcan",
        "plate-objectdoor": "pickplace trashcan",
        "box-objectwall": "push",
        "hollowbox-objectwall": "pickplace push shelf trashcan",
        "plate-objectwall": "pickplace push trashcan",
        "dumbbell-objectwall": "pickplace push trashcan",
    },
    "kinova3": {
        "box-goalwall": "pickplace shelf trashcan",
        "hollowbox-goalwall": "pickplace shelf trashcan",
        "plate-goalwall": "shelf trashcan",
        "dumbbell-goalwall": "shelf trashcan",
        "box-objectdoor": "push shelf trashcan",
        "hollowbox-objectdoor": "pickplace push shelf trashcan",
        "plate-objectdoor": "pickplace",
        "box-objectwall": "push trashcan",
        "hollowbox-objectwall": "pickplace push shelf trashcan",
        "plate-objectwall": "pickplace push trashcan",
        "dumbbell-objectwall": "pickplace",
    },
}
"""Robot → object and obstacle → objectives."""
_TOO_SELDOM = {"kinova3": ("box-none-pickplace",)}


def _claimed(robot: str) -> tuple[str, ...]:
    past = _PAST_OBSTACLES[robot].items()
    every = (*_WITHOUT_OBSTACLE, *(f"{pair}-{o}" for pair, found in past for o in found.split()))
    return tuple(task for task in every if task not in _TOO_SELDOM.get(robot, ()))


CLAIMED: dict[str, tuple[str, ...]] = {robot: _claimed(robot) for robot in _PAST_OBSTACLES}
"""Robot → tasks."""
