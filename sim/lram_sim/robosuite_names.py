"""Names of the robosuite suites: one a robot, tool and controller. Needs no simulator."""

from __future__ import annotations

from collections.abc import Callable

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
    """Return robot and controller of one of :func:`suite_names`. Raises ValueError."""
    return _split(name, suite_name)


def wiper_name(robot: str, controller: str) -> str:
    """Return the name of a suite with a wiper: ``robosuite-panda-wiper[-osc]``."""
    return suite_name(f"{robot}-wiper", controller)


def wiper_names() -> list[str]:
    """Return the names of all suites with a wiper."""
    return [wiper_name(robot, controller) for robot in ROBOTS for controller in CONTROLLERS]


def split_wiper_name(name: str) -> tuple[str, str]:
    """Return robot and controller of one of :func:`wiper_names`. Raises ValueError."""
    return _split(name, wiper_name)


def _split(name: str, made_by: Callable[[str, str], str]) -> tuple[str, str]:
    for robot in ROBOTS:
        for controller in CONTROLLERS:
            if made_by(robot, controller) == name:
                return robot, controller
    raise ValueError(f"'{name}' is no suite of robosuite's arms with that tool")
