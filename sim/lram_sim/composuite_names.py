"""Names of the Composuite suites and tasks, and the split. Needs no simulator.

A suite is one arm, ``composuite-<robot>``; a task is an object, an obstacle and an objective,
``box-none-pickplace``.
"""

from __future__ import annotations

from itertools import product

PREFIX = "composuite"
ROBOTS = ("iiwa", "jaco", "kinova3", "panda")
OBJECTS = ("box", "dumbbell", "plate", "hollowbox")
OBSTACLES = ("none", "goalwall", "objectdoor", "objectwall")
OBJECTIVES = ("pickplace", "push", "shelf", "trashcan")
HELD_OUT = ("panda", "objectwall")
"""Robot and obstacle that are never trained on together."""


def suite_names() -> list[str]:
    """Return the names of all suites."""
    return [f"{PREFIX}-{robot}" for robot in ROBOTS]


def task_names() -> list[str]:
    """Return the names of the 64 tasks of each suite."""
    return ["-".join(parts) for parts in product(OBJECTS, OBSTACLES, OBJECTIVES)]


def split_task(name: str) -> tuple[str, str, str]:
    """Return object, obstacle and objective of a task's name (one of :func:`task_names`)."""
    thing, obstacle, objective = name.split("-")
    return thing, obstacle, objective


def is_held_out(robot: str, task: str) -> bool:
    """Tell whether a robot's task is one of the 16 that are kept for testing."""
    return (robot, split_task(task)[1]) == HELD_OUT
