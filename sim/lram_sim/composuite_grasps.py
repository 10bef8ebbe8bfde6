"""How a hand can hold Composuite's objects, and how it can hold them where they are to go.

Boxes are taken from above, straight or tilted. A dumbbell's discs are wider than the hand opens, so
its bar is taken from the side; a plate lies on a stem, so the hand takes its rim like a fork, one
finger below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_planning_scene import Grip, Pose
from lram_sim.composuite_shapes import SURFACE, THINGS
from lram_sim.rotations import rotation

Array = npt.NDArray[np.float64]

_UP = np.array([0.0, 0.0, 1.0])
_CAN_TOP = 0.9855
_BACK = 0.07
"""Distance (m) from which the hand moves straight to its grasp."""

WIDTHS = {"box": 0.04, "dumbbell": 0.04, "plate": 0.014, "hollowbox": 0.016}
"""What is between the fingers when an object is held, m."""


@dataclass(frozen=True)
class Grasp:
    """A way to take the object: the hand's pose at it, and the one it comes from."""

    pose: Pose
    before: Pose

    def settled(self) -> Grip:
        """Return where a plate is in the hand that has closed: its disc lies along the fingers."""
        up = float(np.sign(self.pose.turn[2, 0]))
        along, normal = np.array([0.0, 0.0, 1.0]), np.array([up, 0.0, 0.0])
        turn = np.column_stack((along, np.cross(normal, along), normal))
        return Grip(0.036 * along - 0.02 * normal, turn)

    def grip(self, place: Array, turn: Array) -> Grip:
        """Return where the object is in the hand, from its pose in the world."""
        back = self.pose.turn.T
        return Grip(back @ (place - self.pose.position), back @ turn)


@dataclass(frozen=True)
class Placement:
    """A way to put the object: the hand's poses on the way, straight from one to the next.

    The arm comes to the first as it likes.
    """

    poses: tuple[Pose, ...]


def grasps(thing: str, place: Array, turn: Array, odd: bool = False) -> list[Grasp]:
    """Return the ways to take an object from its pose in the world, the usual ones first.

    Args:
        thing: the object.
        place: (3,) its position, m.
        turn: (3, 3) its rotation.
        odd: whether to return many more, for where an obstacle leaves none of the usual ones.
    """
    yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
    if thing == "dumbbell":
        return list(_bar(place, odd))
    if thing == "plate":
        return list(_rim(place, odd))
    return list(_above(thing, place, yaw, odd))


def _above(thing: str, place: Array, yaw: float, odd: bool) -> Iterator[Grasp]:
    hollow = thing == "hollowbox"
    # A box turns in the fingers that close on it askew.
    askew, heights = ((0.0, 0.3, -0.3), (0.004, 0.016)) if odd else ((0.0,), (0.004,))
    if hollow:
        heights = (0.05,)
    ways = product((0.0, 0.25, 0.45, 0.65, 0.85) if odd else (0.0, 0.45, 0.85), range(4))
    for (tilt, quarter), more, height in product(ways, askew, heights):
        if tilt == 0.0 and quarter > 1:  # the same with the fingers exchanged
            continue
        azimuth = yaw + quarter * np.pi / 2
        turn = _hand(azimuth + more, np.pi / 2 - tilt)
        across = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        # Of a hollow box one wall is taken, a finger inside.
        for side in (1, -1) if hollow else (0,):
            at = place + 0.03 * side * across + height * _UP
            yield from _both_ways(at, turn)


def _bar(place: Array, odd: bool) -> Iterator[Grasp]:
    ways: tuple[tuple[float, float], ...] = ((0.4, -0.008), (0.2, -0.008))
    if odd:
        ways = (*ways, (0.4, -0.02), (0.6, -0.02), (0.6, -0.008))
    for down, height in ways:
        for azimuth in _around(odd):
            turn = _hand(azimuth, down)
            at = place + height * _UP + 0.006 * turn[:, 2]
            yield from _both_ways(at, turn)


def _around(odd: bool) -> Array:
    """Return azimuths (rad), denser where any will do."""
    return np.arange(30) * np.pi / 15 if odd else np.arange(15) * np.pi / 7.5


def _rim(place: Array, odd: bool) -> Iterator[Grasp]:
    ways: tuple[tuple[float, float], ...] = ((0.25, 0.053), (0.45, 0.0515))
    if odd:
        ways = ((0.25, 0.051), (0.45, 0.0495), (0.6, 0.0495), (0.8, 0.0495))
    for down, height in ways:
        for azimuth in _around(odd):
            level = _hand(azimuth, down)
            # A quarter turn about the hand's own axis: one finger above the other.
            turn = np.column_stack((level[:, 1], -level[:, 0], level[:, 2]))
            outward = -np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
            at = place + 0.036 * outward
            at = np.array([at[0], at[1], SURFACE + height])
            yield from _both_ways(at, turn)


def _both_ways(at: Array, turn: Array) -> Iterator[Grasp]:
    """Yield a grasp and the one with the two fingers exchanged."""
    for sign in (1.0, -1.0):
        turned = turn * np.array([sign, sign, 1.0])
        yield Grasp(Pose(at, turned), Pose(at - _BACK * turn[:, 2], turned))


def _hand(azimuth: float, down: float) -> Array:
    """Return the turn of a hand that points to an azimuth, ``down`` below the horizon (rad).

    Its fingers move horizontally.
    """
    out = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    z = np.cos(down) * out - np.sin(down) * _UP
    x = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
    return np.column_stack((x, np.cross(z, x), z))


def placements(
    objective: str, obstacle: str, thing: str, grip: Grip, hand: Array, place: Array
) -> Iterator[Placement]:
    """Yield the ways to put the object down, of which any will do.

    Args:
        grip: how the hand holds it.
        hand: (3, 3) turn of the hand as it holds it now.
        place: (3,) where the object is now, m.
    """
    if objective == "push":
        yield from _dragged(obstacle, thing, grip, hand, place)
    elif objective == "pickplace":
        for turn in _turned(hand, (0.0, 0.8, -0.8, 1.57, -1.57)):
            for x, y in ((0.1, 0.15), (0.1, 0.22), (0.0, 0.18), (0.18, 0.18)):
                end = np.array([x, y, 0.887])  # below 0.9, where it counts
                yield _from(end + 0.085 * _UP, end, grip, turn)
    elif objective == "shelf":
        for turn in _turned(hand, (0.0, 0.5, -0.5, 1.0, -1.0, 1.57, -1.57, 2.2, -2.2)):
            for tilted in _tilted_to(turn, thing):
                for x in (0.2, 0.24, 0.16) if obstacle == "goalwall" else (0.0, 0.1, 0.2, -0.05):
                    low = lowest(thing, tilted @ grip.turn)
                    high = -lowest(thing, -tilted @ grip.turn)
                    z = 0.945 + 0.0775 - (low + high) / 2
                    if thing == "plate":  # the finger above it needs the room
                        z = 0.945 + 0.02 - low
                    end = np.array([x, 0.14, z])
                    yield _from(end - np.array([0.0, 0.16, 0.0]), end, grip, tilted)
    else:
        for turn in _turned(hand, (0.0, 0.8, -0.8, 1.57, -1.57)):
            for steep in _steep(turn) if thing in ("dumbbell", "plate") else (turn,):
                low = lowest(thing, steep @ grip.turn)
                end = np.array([0.1, 0.18, _CAN_TOP + 0.02 - low])
                yield Placement((_pose(end, grip, steep),))


def _dragged(
    obstacle: str, thing: str, grip: Grip, hand: Array, place: Array
) -> Iterator[Placement]:
    """Yield ways close to the floor: an object that leaves it is no longer pushed."""
    z = place[2]
    goal = np.array([0.1, 0.13, z])
    ways: list[list[Array]] = [[goal]]
    if obstacle == "goalwall":
        radius = THINGS[thing].radius
        ways = [
            [np.array([x, -0.07, z]), np.array([x, 0.03, z]), goal]
            for x in (0.14 + radius, 0.17 + radius)
        ]
    for way in ways:
        for turns in ((0.0, 0.0), (0.0, 0.6), (0.0, -0.6)):
            steps = np.linspace(*turns, len(way))
            yield Placement(
                tuple(
                    _pose(at, grip, rotation(step * _UP) @ hand)
                    for at, step in zip(way, steps, strict=True)
                )
            )


def _from(first: Array, last: Array, grip: Grip, turn: Array) -> Placement:
    return Placement((_pose(first, grip, turn), _pose(last, grip, turn)))


def _pose(place: Array, grip: Grip, turn: Array) -> Pose:
    """Return the hand's pose that puts the object at ``place``."""
    return Pose(place - turn @ grip.position, turn)


def _turned(hand: Array, yaws: tuple[float, ...]) -> Iterator[Array]:
    for yaw in yaws:
        yield rotation(yaw * _UP) @ hand


def _tilted_to(turn: Array, thing: str) -> Iterator[Array]:
    """Yield turns that point into the shelf (+y), more or less level."""
    tilts = {"dumbbell": (0.0,), "plate": (0.0, 0.25, 0.45)}
    for tilt in tilts.get(thing, (0.0, 0.4, 0.8, 1.1)):
        tilted = rotation(np.array([tilt, 0.0, 0.0])) @ turn
        out = tilted[:, 2]
        if out[1] > 0.6 and out[2] > -0.8:
            yield tilted


def _steep(turn: Array) -> Iterator[Array]:
    """Yield turns of the hand to point down, so that what it holds falls out."""
    out = turn[:, 2]
    level = float(np.hypot(out[0], out[1]))
    for down in (1.2, 1.5):
        angle = down - np.arctan2(-out[2], level)
        axis = np.cross(out, -_UP) / max(level, 1e-6)
        yield rotation(angle * axis) @ turn


def lowest(thing: str, turn: Array) -> float:
    """Return how far the lowest point of a turned object is above its origin (negative), m."""
    found = 0.0
    for part in THINGS[thing].parts:
        middle = float(turn[2] @ np.array(part.at))
        if part.shape == "box":
            reach = float(np.abs(turn[2]) @ np.array(part.size))
        else:
            radius, half = part.size
            upright = abs(float(turn[2, 2]))
            reach = half * upright + radius * float(np.sqrt(max(0.0, 1.0 - upright**2)))
        found = min(found, middle - reach)
    return found
