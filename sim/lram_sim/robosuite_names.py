"""Names of the robosuite suites: one a robot, tool and controller. Needs no simulator."""

from __future__ import annotations

PREFIX = "robosuite"
ROBOTS = ("panda", "sawyer", "iiwa", "ur5e", "kinova3", "jaco")
CONTROLLERS = ("joint", "osc")
"""Joint position deltas, the default, and operational space deltas of the hand."""
WIPE = "wipe"
"""The task of the suites whose arm carries a wiper instead of a gripper."""


def suite_name(robot: str, controller: str) -> str:
    """Return the name of a suite: ``robosuite-panda``, ``robosuite-panda-osc``."""
    return f"{PREFIX}-{robot}" + ("" if controller == "joint" else f"-{controller}")


def suite_names() -> list[str]:
    """Return the names of all suites."""
    return [suite_name(robot, controller) for robot in ROBOTS for controller in CONTROLLERS]


def split_name(name: str) -> tuple[str, str]:
    """Return robot and controller of a suite's name, which must be one of :func:`suite_names`."""
    for robot in ROBOTS:
        for controller in CONTROLLERS:
            if suite_name(robot, controller) == name:
                return robot, controller
    raise ValueError(f"'{name}' is no robosuite suite")


def wiper_name(robot: str, controller: str) -> str:
    """Return the name of a suite with a wiper: ``robosuite-panda-wiper[-osc]``."""
    return suite_name(f"{robot}-wiper", controller)


def wiper_names() -> list[str]:
    """Return the names of all suites with a wiper."""
    return [wiper_name(robot, controller) for robot in ROBOTS for controller in CONTROLLERS]


def split_wiper_name(name: str) -> tuple[str, str]:
    """Return robot and controller of one of :func:`wiper_names`."""
    for robot in ROBOTS:
        for controller in CONTROLLERS:
            if wiper_name(robot, controller) == name:
                return robot, controller
    raise ValueError(f"'{name}' is no robosuite suite with a wiper")
