"""Names of the MimicGen suites and tasks. Needs no simulator.

A suite is an arm and a controller, ``mimicgen-panda`` or ``mimicgen-panda-osc``; a task is what is
to be done and how widely it starts, ``stack-d0``.
"""

from __future__ import annotations

from lram_sim.robosuite_names import CONTROLLERS

PREFIX = "mimicgen"
ROBOTS = ("panda", "sawyer", "iiwa", "ur5e")
VARIANTS = {
    "stack": ("d0", "d1"),
    "stack-three": ("d0", "d1"),
    "square": ("d0", "d1", "d2"),
    "threading": ("d0", "d1", "d2"),
    "three-piece-assembly": ("d0", "d1", "d2"),
    "coffee": ("d0", "d1", "d2"),
    "mug-cleanup": ("d0", "d1"),
    "nut-assembly": ("d0",),
    "pick-place": ("d0",),
}
"""What is to be done → its distributions of starts, from narrow to wide."""
HELD_OUT = ("threading-d2", "three-piece-assembly-d2")
"""Of Panda: never trained on in the LRAM paper."""


def suite_name(robot: str, controller: str) -> str:
    """Return the name of a suite: ``mimicgen-panda``, ``mimicgen-panda-osc``."""
    return f"{PREFIX}-{robot}" + ("" if controller == "joint" else f"-{controller}")


def suite_names() -> list[str]:
    """Return the names of all suites."""
    return [suite_name(robot, controller) for robot in ROBOTS for controller in CONTROLLERS]


def split_name(name: str) -> tuple[str, str]:
    """Return robot and controller of a suite's name (one of :func:`suite_names`)."""
    robot, _, controller = name.removeprefix(f"{PREFIX}-").partition("-")
    return robot, controller or "joint"


def task_names() -> list[str]:
    """Return the names of the tasks of each suite."""
    return [f"{kind}-{variant}" for kind, variants in VARIANTS.items() for variant in variants]


def split_task(name: str) -> tuple[str, str]:
    """Return what is to be done and the variant of a task's name (one of :func:`task_names`)."""
    kind, _, variant = name.rpartition("-")
    return kind, variant
