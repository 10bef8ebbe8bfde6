"""What counts as solved in the MimicGen tasks, and what ends their subtasks. Needs no simulator.

What counts as solved is as in Mandlekar et al. 2023, put in terms of this package's shapes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lram_sim.mimicgen_shapes import (
    DRAWER_FLOOR,
    DRAWER_HALF,
    FOOT_TOP,
    NEEDLE_TIP,
    RING_HEIGHT,
    RING_RADIUS,
    SOCKET_FLOOR,
)
from lram_sim.mimicgen_world import World

TABLE = 0.8
"""Height (m) of the table's top."""
_NEARLY_CLOSED = float(np.deg2rad(15.0))
"""Angle (rad) of the coffee machine's lid within which it counts as closed."""

Rule = Callable[[World], bool]


def stacked(world: World) -> bool:
    """Cube A lies on cube B: off the table, touching it, and let go."""
    return _on(world, "cube_a", "cube_b")


def stacked_three(world: World) -> bool:
    """Cube A lies on cube B and cube C on cube A, both let go."""
    return stacked(world) and _on(world, "cube_c", "cube_a")


def nut_on_peg(world: World) -> bool:
    """The nut is within 3 cm of the peg along both axes, below 5 cm, and the hand has left it."""
    way = np.abs(world.position("nut") - world.position("peg"))
    low = world.position("nut")[2] < TABLE + 0.05
    return bool(max(way[:2]) < 0.03 and low and world.left("nut"))


def threaded(world: World) -> bool:
    """The needle goes through the ring, from either side, its tip at least 2 cm beyond."""
    ring = world.position("tripod") + world.axes("tripod") @ np.array([0.0, 0.0, RING_HEIGHT])
    along, needle = world.axes("tripod")[:, 0], world.axes("needle")[:, 0]
    steep = float(along @ needle)
    if abs(steep) < 0.8:
        return False
    # Where the needle's axis cuts the ring's plane, and how far behind the tip that is.
    cut = float(along @ (ring - world.position("needle"))) / steep
    aside = np.linalg.norm(world.position("needle") + cut * needle - ring)
    return bool(aside < RING_RADIUS and -0.04 < cut < NEEDLE_TIP - 0.02)


def piece_1_seated(world: World) -> bool:
    """The first piece stands in the base's socket: within 6 mm aside and 5 mm in height."""
    return _seated(world, "piece_1", "base", SOCKET_FLOOR)


def assembled(world: World) -> bool:
    """The first piece stands in the base, the second one on its pin, and both are let go."""
    seated = piece_1_seated(world) and _seated(world, "piece_2", "piece_1", FOOT_TOP)
    return seated and not world.held("piece_1") and not world.held("piece_2")


def pod_in_holder(world: World) -> bool:
    """The pod stands in the machine's holder: within 8 mm aside and 5 mm in height."""
    x, y, z = world.inside("pod", "holder")
    return bool(np.hypot(x, y) < 0.008 and abs(z) < 0.005 and world.upright("pod"))


def coffee_ready(world: World) -> bool:
    """The pod stands in the holder and the lid is within 15 degrees of closed."""
    return pod_in_holder(world) and world.joint() < _NEARLY_CLOSED


def drawer_open(world: World) -> bool:
    """The drawer is out by more than 11 cm."""
    return world.joint() > 0.11


def mug_in_drawer(world: World) -> bool:
    """The mug's middle is over the drawer's floor, lower than the drawer's walls, and let go."""
    x, y, z = world.inside("mug", "drawer")
    within = abs(x) < DRAWER_HALF[0] and abs(y) < DRAWER_HALF[1]
    return bool(within and abs(z - DRAWER_FLOOR) < 0.05 and not world.held("mug"))


def tidied(world: World) -> bool:
    """The mug is in the drawer and the drawer is within 1 cm of closed."""
    return mug_in_drawer(world) and world.joint() < 0.01


def _on(world: World, upper: str, lower: str) -> bool:
    above = world.position(upper)[2] > world.position(lower)[2] + 0.02
    return bool(above and world.touching(upper, lower) and not world.held(upper))


def _seated(world: World, name: str, other: str, height: float) -> bool:
    x, y, z = world.inside(name, other)
    return bool(np.hypot(x, y) < 0.006 and abs(z - height) < 0.005 and world.upright(name))


def grasp(name: str, least: float = 0.0) -> Rule:
    """The object is held, its origin higher than ``least`` (m) over the table."""
    return lambda world: world.held(name) and bool(world.position(name)[2] > TABLE + least)


def on_its_peg(nut: str, peg: str) -> Rule:
    """The nut is around the peg, down at its foot, and let go."""

    def rule(world: World) -> bool:
        way = np.abs(world.position(nut) - world.position(peg))
        return bool(max(way[:2]) < 0.03 and world.position(nut)[2] < 0.87 and world.left(nut))

    return rule


def in_bin(name: str) -> Rule:
    """In the second bin, whose floor begins at y = 0, and let go."""
    return lambda world: bool(
        world.position(name)[1] > 0.03 and world.position(name)[2] < 0.9 and world.left(name)
    )
