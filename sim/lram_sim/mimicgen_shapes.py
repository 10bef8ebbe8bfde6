"""The bodies of the MimicGen tasks as primitives, in metres. Needs no simulator.

Shapes are this package's own, of the kind that the tasks are about (Mandlekar et al. 2023): nut and
peg have robosuite's measures, all the rest is chosen so that every gripper here can take it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Vector = tuple[float, float, float]
Colour = tuple[float, float, float, float]

WOOD, DARK = (0.80, 0.68, 0.50, 1.0), (0.42, 0.29, 0.20, 1.0)
RED, GREEN, BLUE = (0.75, 0.2, 0.18, 1.0), (0.25, 0.6, 0.3, 1.0), (0.25, 0.4, 0.75, 1.0)
BRASS, STEEL, BLACK = (0.75, 0.6, 0.25, 1.0), (0.65, 0.67, 0.7, 1.0), (0.15, 0.15, 0.16, 1.0)
_ROUGH = (1.0, 0.3, 0.1)
_SMOOTH = (0.3, 0.005, 0.0001)


@dataclass(frozen=True)
class Part:
    """A primitive: ``box`` (half sizes) or ``cylinder`` (radius, half length; along z).

    Attributes:
        turn: rotation vector in the body's frame, rad.
    """

    shape: str
    size: tuple[float, ...]
    at: Vector
    colour: Colour
    turn: Vector = (0.0, 0.0, 0.0)
    friction: Vector = _ROUGH
    density: float = 400.0


@dataclass(frozen=True)
class Joint:
    """A ``hinge`` or ``slide``: axis in the body's frame, range (rad, m), where it starts.

    Attributes:
        damping, friction: N s/m and N, or N m s/rad and N m.
    """

    kind: str
    axis: Vector
    range: tuple[float, float]
    start: float
    damping: float
    friction: float


@dataclass(frozen=True)
class Body:
    """A body of a task; its origin is at the bottom, in the middle, unless ``bottom`` says else.

    Attributes:
        radius: of a circle around the origin that holds it, seen from above.
        free: it can be moved; else it stands still, or moves by its ``joint``.
        bottom: height of its lowest point over the origin.
        at: place in the frame of the body that it is part of.
        children: bodies that are part of it.
    """

    name: str
    parts: tuple[Part, ...]
    radius: float = 0.0
    free: bool = True
    bottom: float = 0.0
    at: Vector = (0.0, 0.0, 0.0)
    joint: Joint | None = None
    children: tuple[Body, ...] = ()


def _box(half: Vector, at: Vector, colour: Colour, **more: object) -> Part:
    return Part("box", half, at, colour, **more)  # type: ignore[arg-type]


def _walls(inner: float, outer: float, low: float, high: float, colour: Colour) -> tuple[Part, ...]:
    """Four walls around a square hole of half width ``inner``, between two heights."""
    middle, thick = (inner + outer) / 2, (outer - inner) / 2
    height, z = (high - low) / 2, (high + low) / 2
    return (
        _box((thick, outer, height), (middle, 0, z), colour),
        _box((thick, outer, height), (-middle, 0, z), colour),
        _box((inner, thick, height), (0, middle, z), colour),
        _box((inner, thick, height), (0, -middle, z), colour),
    )


def _ring(
    radius: float, thick: float, half: float, middle: Vector, colour: Colour, lying: bool
) -> tuple[Part, ...]:
    """Eight boxes around a hole of ``radius``: ``lying``, around z, or standing, around x."""
    reach = (radius + thick) * np.tan(np.pi / 8)
    parts = []
    for index in range(8):
        angle = index * np.pi / 4
        away = radius + thick / 2
        u, v = away * np.cos(angle), away * np.sin(angle)
        if lying:
            size, way, turn = (thick / 2, reach, half), (u, v, 0.0), (0.0, 0.0, angle)
        else:
            size, way, turn = (half, thick / 2, reach), (0.0, u, v), (angle, 0.0, 0.0)
        at = (middle[0] + way[0], middle[1] + way[1], middle[2] + way[2])
        parts.append(_box(size, at, colour, turn=turn))
    return tuple(parts)


def cube(name: str, half: float, colour: Colour) -> Body:
    """A cube; its origin is in the middle."""
    parts = (_box((half, half, half), (0, 0, 0), colour, density=1000.0),)
    return Body(name, parts, radius=half * 2**0.5, bottom=-half)


CUBES = (cube("cube_a", 0.02, RED), cube("cube_b", 0.025, GREEN), cube("cube_c", 0.02, BLUE))

PEG_TOP = 0.13
NUT = Body(
    "nut",
    tuple(
        _box(half, at, BRASS, friction=(0.95, 0.3, 0.1), density=100.0)
        for half, at in (
            ((0.0105, 0.04375, 0.01), (-0.03325, 0, 0)),
            ((0.03125, 0.0105, 0.01), (0, 0.03325, 0)),
            ((0.03125, 0.0105, 0.01), (0, -0.03325, 0)),
            ((0.0105, 0.04375, 0.01), (0.03325, 0, 0)),
            ((0.02525, 0.015875, 0.01), (0.054, 0, 0)),
        )
    ),
    radius=0.08,
    bottom=-0.01,
)
"""Its origin is in the middle of the hole; the handle points along x."""
PEG = Body(
    "peg",
    (_box((0.016, 0.016, PEG_TOP / 2), (0, 0, PEG_TOP / 2), STEEL),),
    radius=0.023,
    free=False,
)

NEEDLE_TIP = 0.08
"""How far the needle's tip is before its origin, along its x axis."""
NEEDLE_HEIGHT = 0.02
NEEDLE = Body(
    "needle",
    (
        _box((0.02, 0.012, 0.02), (-0.06, 0, 0), RED),
        _box((0.06, 0.003, 0.003), (0.02, 0, 0), STEEL),
    ),
    radius=0.08,
    bottom=-NEEDLE_HEIGHT,
)
RING_HEIGHT, RING_RADIUS = 0.12, 0.014
TRIPOD = Body(
    "tripod",
    (
        *_ring(RING_RADIUS, 0.006, 0.004, (0, 0, RING_HEIGHT), BLUE, lying=False),
        _box((0.004, 0.004, 0.048), (0, 0, 0.053), DARK),
        *(
            _box(
                (0.03, 0.006, 0.004),
                (0.03 * np.cos(angle), 0.03 * np.sin(angle), 0.004),
                DARK,
                turn=(0, 0, angle),
            )
            for angle in (np.pi / 2, np.pi * 7 / 6, np.pi * 11 / 6)
        ),
    ),
    radius=0.06,
    free=False,
)
"""Three feet, a post and a ring whose axis is x."""

SOCKET_FLOOR, SOCKET_TOP = 0.01, 0.04
BASE = Body(
    "base",
    (
        _box((0.045, 0.045, 0.005), (0, 0, 0.005), DARK),
        *_walls(0.025, 0.045, SOCKET_FLOOR, SOCKET_TOP, DARK),
    ),
    radius=0.064,
    free=False,
)
FOOT_TOP, PIN_TOP = 0.04, 0.075
PIECE_1 = Body(
    "piece_1",
    (
        _box((0.021, 0.021, FOOT_TOP / 2), (0, 0, FOOT_TOP / 2), RED),
        _box((0.009, 0.009, (PIN_TOP - FOOT_TOP) / 2), (0, 0, (PIN_TOP + FOOT_TOP) / 2), RED),
    ),
    radius=0.03,
)
"""A block with a pin on top."""
PIECE_2 = Body(
    "piece_2",
    (
        *_walls(0.013, 0.021, 0.0, 0.045, BLUE),
        _box((0.021, 0.021, 0.005), (0, 0, 0.05), BLUE),
    ),
    radius=0.03,
)
"""A cap, open below."""

POD_HEIGHT = 0.04
POD = Body(
    "pod",
    (
        Part("cylinder", (0.019, POD_HEIGHT / 2 - 0.001), (0, 0, POD_HEIGHT / 2), DARK),
        # What it stands on: a cylinder alone rocks, and sinks in by 2 mm.
        _box((0.012, 0.012, POD_HEIGHT / 2), (0, 0, POD_HEIGHT / 2), DARK),
    ),
    radius=0.019,
)
HOLDER: Vector = (-0.06, 0.0, 0.07)
"""The floor that the pod stands on, in the machine."""
HOLDER_RIM = 0.025
_HINGE: Vector = (-0.025, 0.0, 0.12)
_LID = Body(
    "lid",
    (_box((0.035, 0.032, 0.004), (-0.037, 0, 0), STEEL, density=200.0),),
    free=False,
    at=_HINGE,
    joint=Joint("hinge", (0, 1, 0), (0.0, 1.85), 1.85, damping=0.002, friction=0.0005),
)
MACHINE = Body(
    "machine",
    (
        _box((0.09, 0.05, 0.01), (0, 0, 0.01), BLACK),
        _box((0.035, 0.05, 0.05), (0.05, 0, 0.07), BLACK),
        _box((0.025, 0.015, 0.022), (-0.01, 0, 0.044), BLACK),
    ),
    radius=0.11,
    free=False,
    children=(
        Body(
            "holder",
            (
                Part("cylinder", (0.034, 0.004), (0, 0, -0.004), BLACK),
                *_ring(0.025, 0.006, HOLDER_RIM / 2, (0, 0, HOLDER_RIM / 2), BLACK, lying=True),
            ),
            free=False,
            at=HOLDER,
        ),
        _LID,
    ),
)
"""Its front, with the holder, points along -x; the lid leans back at the start."""

DRAWER_WAY = 0.13
DRAWER_FLOOR = 0.014
DRAWER_HALF = (0.088, 0.064)
"""Half the room in the drawer, m."""
HANDLE: Vector = (0.0, -0.152, 0.082)
"""Middle of the handle's bar, in the drawer: fingers fit behind it, a palm over the cabinet."""
_DRAWER = Body(
    "drawer",
    (
        _box((0.094, 0.07, 0.005), (0, 0, 0.009), WOOD),
        _box((0.003, 0.07, 0.023), (0.091, 0, 0.037), WOOD),
        _box((0.003, 0.07, 0.023), (-0.091, 0, 0.037), WOOD),
        _box((0.094, 0.003, 0.023), (0, 0.067, 0.037), WOOD),
        _box((0.1, 0.008, 0.043), (0, -0.077, 0.047), WOOD),
        *(_box((0.005, 0.034, 0.006), (x, -0.118, HANDLE[2]), STEEL) for x in (-0.045, 0.045)),
        _box((0.05, 0.006, 0.008), HANDLE, STEEL),
    ),
    free=False,
    joint=Joint("slide", (0, -1, 0), (0.0, DRAWER_WAY), 0.0, damping=2.0, friction=0.6),
)
CABINET = Body(
    "cabinet",
    (
        _box((0.004, 0.085, 0.046), (0.106, 0, 0.046), DARK),
        _box((0.004, 0.085, 0.046), (-0.106, 0, 0.046), DARK),
        _box((0.11, 0.004, 0.046), (0, 0.081, 0.046), DARK),
        _box((0.11, 0.085, 0.003), (0, 0, 0.095), DARK),
    ),
    radius=0.14,
    free=False,
    children=(_DRAWER,),
)
"""Its front points along -y: there the drawer comes out."""
MUG_RADIUS = 0.03
MUG = Body(
    "mug",
    (
        _box((0.02, 0.02, 0.004), (0, 0, 0.004), RED),
        *_ring(MUG_RADIUS - 0.004, 0.004, 0.033, (0, 0, 0.037), RED, lying=True),
        *(_box((0.009, 0.004, 0.004), (0.037, 0, z), RED) for z in (0.02, 0.05)),
        _box((0.004, 0.004, 0.019), (0.046, 0, 0.035), RED),
    ),
    radius=0.05,
)
"""Its handle points along x."""
