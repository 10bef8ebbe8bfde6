"""Composuite's objects, furniture and obstacles as primitives, in metres. Needs no simulator.

Sizes, places and success regions are those of the benchmark (Mendez et al. 2022); the shapes are
given here as lists of boxes and cylinders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SURFACE = 0.82
"""Height (z) of the floor of both bins."""
BIN = (0.1, -0.26, 0.8)
"""Centre of the slab of the bin that the object starts in."""
BIN_SIZE = (0.2, 0.25, 0.02)
ROUGH = (1.0, 1.0, 1.0)
PLAIN = (1.0, 0.005, 0.0001)


@dataclass(frozen=True)
class Part:
    """A primitive: ``box`` (half sizes) or ``cylinder`` (radius, half length; upright)."""

    shape: str
    size: tuple[float, ...]
    at: tuple[float, float, float]
    friction: tuple[float, float, float] = PLAIN


@dataclass(frozen=True)
class Thing:
    """An object to be moved.

    Attributes:
        parts: its primitives, around the body's origin.
        radius, bottom, top: extent around the origin.
        stiff: contacts harder and with torsional friction, as the benchmark has them.
        texture: robosuite's.
    """

    parts: tuple[Part, ...]
    radius: float
    bottom: float
    top: float
    stiff: bool
    texture: str


def _hollow() -> tuple[Part, ...]:
    sides = ((0.0, 0.03), (0.03, 0.0), (0.0, -0.03), (-0.03, 0.0))
    walls = (
        Part("box", (0.03, 0.008, 0.03) if x == 0 else (0.008, 0.03, 0.03), (x, y, 0.03), ROUGH)
        for x, y in sides
    )
    return (Part("box", (0.03, 0.03, 0.008), (0, 0, 0), ROUGH), *walls)


THINGS = {
    "box": Thing(
        (Part("box", (0.02, 0.02, 0.03), (0, 0, 0), ROUGH),), 0.02, -0.03, 0.03, False, "WoodLight"
    ),
    "dumbbell": Thing(
        (
            Part("cylinder", (0.02, 0.045), (0, 0, 0), ROUGH),
            Part("cylinder", (0.045, 0.0035), (0, 0, 0.045), ROUGH),
            Part("cylinder", (0.045, 0.0035), (0, 0, -0.045), ROUGH),
        ),
        0.045,
        -0.052,
        0.052,
        True,
        "Metal",
    ),
    "plate": Thing(
        (
            Part("box", (0.01, 0.01, 0.02), (0, 0, 0)),
            Part("cylinder", (0.06, 0.007), (0, 0, 0.02), ROUGH),
        ),
        0.06,
        -0.02,
        0.034,
        True,
        "Ceramic",
    ),
    "hollowbox": Thing(_hollow(), 0.038, -0.008, 0.068, False, "WoodLight"),
}


@dataclass(frozen=True)
class Furniture:
    """A body that stands still: its name, place, turn about z (rad) and primitives."""

    name: str
    at: tuple[float, float, float]
    parts: tuple[Part, ...]
    turn: float = 0.0
    texture: str = "WoodLight"


def _bin1(closed: bool) -> Furniture:
    x, y, _ = BIN_SIZE
    rims = [
        Part("box", (x + 0.01, 0.01, 0.01), (0, -y, 0.03)),
        Part("box", (0.01, y, 0.01), (x, 0, 0.03)),
        Part("box", (0.01, y, 0.01), (-x, 0, 0.03)),
    ]
    if closed:  # the side of the goal; a pushed object has to leave there
        rims.append(Part("box", (x + 0.01, 0.01, 0.01), (0, y, 0.03)))
    return Furniture("bin1", BIN, (Part("box", BIN_SIZE, (0, 0, 0)), *rims))


def _bin2(centre_y: float, closed: bool) -> Furniture:
    x, y = 0.2, 0.175
    rims = [
        Part("box", (x, 0.01, 0.05), (0, y, 0.05)),
        Part("box", (0.01, y, 0.05), (x, 0, 0.05)),
        Part("box", (0.01, y, 0.05), (-x, 0, 0.05)),
    ]
    if closed:
        rims.append(Part("box", (x + 0.01, 0.01, 0.05), (0, -y, 0.05)))
    floor = Part("box", (x, y, 0.02), (0, 0, 0))
    return Furniture("bin2", (0.1, centre_y, 0.8), (floor, *rims), texture="WoodDark")


def _shelf() -> Furniture:
    parts = (
        Part("box", (0.2, 0.01, 0.15), (0, 0, 0.15)),
        Part("box", (0.2, 0.1, 0.0725), (0, -0.09, 0.0725)),
        Part("box", (0.2, 0.1, 0.05), (0, -0.09, 0.35)),
    )
    return Furniture("shelf", (0.1, 0.28, 0.8), parts, texture="WoodDark")


def _trashcan() -> Furniture:
    half, thin, middle = 0.08, 0.005, 0.0805
    parts = (
        Part("box", (half, half, thin), (0, 0, 0)),
        Part("box", (half, thin, half), (0, half, middle)),
        Part("box", (half, thin, half), (0, -half, middle)),
        Part("box", (thin, half, half), (half, 0, middle)),
        Part("box", (thin, half, half), (-half, 0, middle)),
    )
    return Furniture("trashcan", (0.1, 0.18, 0.825), parts, texture="WoodBlue")


def furniture(objective: str) -> tuple[Furniture, ...]:
    """Return what stands on the floor for an objective."""
    if objective == "pickplace":
        return _bin1(True), _bin2(0.18, True)
    if objective == "push":
        return _bin1(False), _bin2(0.13, False)
    if objective == "shelf":
        return _bin1(True), _bin2(0.13, True), _shelf()
    return _bin1(True), _bin2(0.18, True), _trashcan()


GOALS = {
    "pickplace": (0.1, 0.18, 0.8),
    "push": (0.1, 0.13, 0.8),
    "shelf": (0.1, 0.18, 0.945),
    "trashcan": (0.1, 0.18, 0.83),
}
"""Objective → the point that the bottom of the goal's marker stands on."""


def obstacle_furniture(kind: str) -> Furniture | None:
    """Return an obstacle, a wall of bricks; None for ``none``.

    A goal wall stands between the bins on the robot's side, 0.28 m high. An object wall, 0.25 m
    high, stands between robot and object; the door is one with a gap of 0.18 m.
    """
    if kind == "none":
        return None
    if kind == "goalwall":
        parts = (Part("box", (0.105, 0.005, 0.14), (-0.095, 0, 0.02)),)
        return Furniture("obstacle", (0.1, -0.01, 0.94), parts, texture="Bricks")
    half, middles = (0.07, (-0.16, 0.16)) if kind == "objectdoor" else (0.1, (0.0,))
    bricks = tuple(Part("box", (half, 0.005, 0.125), (x, 0, 0.02)) for x in middles)
    where = (BIN[0] - BIN_SIZE[0] / 2.2, BIN[1], 0.925)
    return Furniture("obstacle", where, bricks, turn=np.pi / 2, texture="Bricks")


def placement(thing: Thing, kind: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the ranges of x and y (m) in which an object's centre is drawn.

    Behind an object's wall the range is half as deep. A plate is wider than that: the ends of its
    range change places, as they do in the benchmark.
    """
    first = 0.0 if kind.startswith("object") else -BIN_SIZE[0] / 2
    x = sorted((first + thing.radius, BIN_SIZE[0] / 2 - thing.radius))
    y = BIN_SIZE[1] / 2 - thing.radius
    return (BIN[0] + x[0], BIN[0] + x[1]), (BIN[1] - y, BIN[1] + y)
