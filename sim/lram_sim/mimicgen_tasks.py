"""The MimicGen tasks: bodies, starts, success rules and subtasks, as tables. Needs no simulator.

Ranges, horizons and what counts as solved are those of Mandlekar et al. 2023; the rules are put in
terms of this package's shapes. x, y and the turn about z are relative to the middle of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from lram_sim.mimicgen_shapes import (
    BASE,
    CABINET,
    CUBES,
    DRAWER_FLOOR,
    DRAWER_HALF,
    FOOT_TOP,
    MACHINE,
    MUG,
    NEEDLE,
    NEEDLE_TIP,
    NUT,
    PEG,
    PIECE_1,
    PIECE_2,
    POD,
    RING_HEIGHT,
    RING_RADIUS,
    SOCKET_FLOOR,
    TRIPOD,
    Body,
)
from lram_sim.mimicgen_world import World
from lram_sim.subtasks import SUCCESS, Subtask

TABLE = 0.8
"""Height (m) of the table's top."""
_PI = float(np.pi)
_NEARLY_CLOSED = float(np.deg2rad(15.0))
"""Angle (rad) of the coffee machine's lid within which it counts as closed."""

Rule = Callable[[World], bool]


@dataclass(frozen=True)
class Range:
    """Where a body starts: x and y in m and its turn about z in rad, each uniform."""

    x: tuple[float, float]
    y: tuple[float, float]
    turn: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Spec:
    """What is to be done.

    Attributes:
        horizon: control ticks.
        success: the rule.
        objects: object → name of its body, in the order of the observation's slots.
        subtasks: in order.
        signals: rule of each signal that ends a subtask.
        bodies: what stands on the table; empty for an environment of robosuite's own.
        variants: variant → body → range.
        joint: name of the hinge or slide that is observed.
        environment: robosuite's, with its own starts; its own success rule counts.
    """

    horizon: int
    success: Rule | None
    objects: Mapping[str, str]
    subtasks: tuple[Subtask, ...]
    signals: Mapping[str, Rule]
    bodies: tuple[Body, ...] = ()
    variants: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    joint: str = ""
    environment: str = ""


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


def _grasp(name: str, least: float = 0.0) -> Rule:
    """The object is held, its origin higher than ``least`` (m) over the table."""
    return lambda world: world.held(name) and bool(world.position(name)[2] > TABLE + least)


def _on_its_peg(nut: str, peg: str) -> Rule:
    def rule(world: World) -> bool:
        way = np.abs(world.position(nut) - world.position(peg))
        return bool(max(way[:2]) < 0.03 and world.position(nut)[2] < 0.87 and world.left(nut))

    return rule


def _in_bin(name: str) -> Rule:
    """In the second bin, whose floor begins at y = 0, and let go."""
    return lambda world: bool(
        world.position(name)[1] > 0.03 and world.position(name)[2] < 0.9 and world.left(name)
    )


def _names(bodies: tuple[Body, ...]) -> dict[str, str]:
    return {body.name: body.name for body in bodies}


def _square(x: float, y: float | None = None, turn: tuple[float, float] = (-_PI, _PI)) -> Range:
    y = x if y is None else y
    return Range((-x, x), (-y, y), turn)


def _cubes(half: float, count: int) -> dict[str, Range]:
    return {body.name: _square(half) for body in CUBES[:count]}


def _pieces(turn: tuple[float, float]) -> dict[str, Range]:
    return {name: _square(0.22, turn=turn) for name in ("piece_1", "piece_2")}


_FIXED = Range((0.0, 0.0), (0.0, 0.0))
_GROCERIES = {"milk": "Milk", "bread": "Bread", "cereal": "Cereal", "can": "Can"}
_MUG = Range((-0.15, 0.15), (-0.25, -0.1), (-_PI, _PI))

SPECS: dict[str, Spec] = {
    "stack": Spec(
        400,
        stacked,
        _names(CUBES[:2]),
        (Subtask("cube_a", "grasp_a", symmetry=4), Subtask("cube_b", SUCCESS, symmetry=4)),
        {"grasp_a": _grasp("cube_a", 0.025)},
        CUBES[:2],
        {"d0": _cubes(0.08, 2), "d1": _cubes(0.2, 2)},
    ),
    "stack-three": Spec(
        400,
        stacked_three,
        _names(CUBES),
        (
            Subtask("cube_a", "grasp_a", symmetry=4),
            Subtask("cube_b", "stack_a", symmetry=4),
            Subtask("cube_c", "grasp_c", symmetry=4),
            Subtask("cube_a", SUCCESS, symmetry=4),
        ),
        {
            "grasp_a": _grasp("cube_a", 0.025),
            "stack_a": stacked,
            "grasp_c": _grasp("cube_c", 0.025),
        },
        CUBES,
        {"d0": _cubes(0.1, 3), "d1": _cubes(0.2, 3)},
    ),
    "square": Spec(
        400,
        nut_on_peg,
        _names((NUT, PEG)),
        (Subtask("nut", "grasp"), Subtask("peg", SUCCESS, symmetry=4)),
        {"grasp": _grasp("nut", 0.02)},
        (PEG, NUT),
        {
            "d0": {
                "nut": Range((-0.115, -0.11), (0.11, 0.225), (-_PI, _PI)),
                "peg": Range((0.23, 0.23), (0.1, 0.1)),
            },
            "d1": {"nut": _square(0.115, 0.255), "peg": Range((-0.1, 0.3), (-0.2, 0.2))},
            "d2": {"nut": _square(0.25), "peg": _square(0.25, turn=(0.0, _PI / 2))},
        },
    ),
    "threading": Spec(
        400,
        threaded,
        _names((NEEDLE, TRIPOD)),
        (Subtask("needle", "grasp"), Subtask("tripod", SUCCESS)),
        {"grasp": _grasp("needle", 0.03)},
        (TRIPOD, NEEDLE),
        {
            "d0": {
                "needle": Range((-0.2, -0.05), (0.15, 0.25), (-2.09, -1.05)),
                "tripod": Range((0.0, 0.0), (-0.15, -0.15), (_PI / 2, _PI / 2)),
            },
            "d1": {
                "needle": Range((-0.2, -0.05), (0.15, 0.25), (-3.67, 0.52)),
                "tripod": Range((-0.1, 0.15), (-0.2, -0.1), (0.52, 2.62)),
            },
            "d2": {
                "needle": Range((-0.2, -0.05), (-0.25, -0.15), (-0.52, 3.67)),
                "tripod": Range((-0.1, 0.15), (0.1, 0.2), (-2.62, -0.52)),
            },
        },
    ),
    "three-piece-assembly": Spec(
        500,
        assembled,
        _names((BASE, PIECE_1, PIECE_2)),
        (
            Subtask("piece_1", "grasp_1", symmetry=4),
            Subtask("base", "seat_1", symmetry=4),
            Subtask("piece_2", "grasp_2", symmetry=4),
            Subtask("piece_1", SUCCESS, symmetry=4),
        ),
        {
            "grasp_1": _grasp("piece_1", 0.01),
            "seat_1": lambda world: piece_1_seated(world) and not world.held("piece_1"),
            "grasp_2": _grasp("piece_2", 0.01),
        },
        (BASE, PIECE_1, PIECE_2),
        {
            "d0": {"base": _FIXED, **_pieces((0.0, 0.0))},
            "d1": {"base": _square(0.22, turn=(0.0, 0.0)), **_pieces((0.0, 0.0))},
            "d2": {"base": _square(0.22, turn=(-0.785, 0.785)), **_pieces((0.0, _PI))},
        },
    ),
    "coffee": Spec(
        400,
        coffee_ready,
        {"pod": "pod", "machine": "machine", "holder": "holder", "lid": "lid"},
        (Subtask("pod", "grasp", symmetry=0), Subtask("machine", SUCCESS)),
        {"grasp": _grasp("pod", 0.01)},
        (MACHINE, POD),
        {
            "d0": {
                "machine": Range((0.0, 0.0), (-0.1, -0.1), (-0.52, -0.52)),
                "pod": Range((-0.13, -0.07), (0.17, 0.23)),
            },
            "d1": {
                "machine": Range((0.05, 0.15), (-0.2, -0.1), (-0.52, 1.05)),
                "pod": Range((-0.2, 0.05), (0.17, 0.3)),
            },
            "d2": {
                "machine": Range((0.05, 0.15), (0.1, 0.2), (-1.05, 0.52)),
                "pod": Range((-0.2, 0.05), (-0.3, -0.17)),
            },
        },
        joint="lid_joint",
    ),
    "mug-cleanup": Spec(
        500,
        tidied,
        {"mug": "mug", "drawer": "drawer"},
        (Subtask("drawer", "open"), Subtask("mug", "grasp"), Subtask("drawer", SUCCESS)),
        {"open": drawer_open, "grasp": _grasp("mug", 0.01)},
        (CABINET, MUG),
        {
            "d0": {"cabinet": Range((0.0, 0.0), (0.3, 0.3)), "mug": _MUG},
            "d1": {"cabinet": Range((-0.15, 0.05), (0.25, 0.35), (-0.52, 0.52)), "mug": _MUG},
        },
        joint="drawer_joint",
    ),
    "nut-assembly": Spec(
        500,
        None,
        {
            "square_nut": "SquareNut_main",
            "round_nut": "RoundNut_main",
            "square_peg": "peg1",
            "round_peg": "peg2",
        },
        (
            Subtask("square_nut", "grasp_square"),
            Subtask("square_peg", "place_square", symmetry=4),
            Subtask("round_nut", "grasp_round"),
            Subtask("round_peg", SUCCESS, symmetry=0),
        ),
        {
            "grasp_square": _grasp("square_nut", 0.04),
            "place_square": _on_its_peg("square_nut", "square_peg"),
            "grasp_round": _grasp("round_nut", 0.04),
        },
        environment="NutAssembly",
    ),
    "pick-place": Spec(
        1000,
        None,
        {name: f"{model}_main" for name, model in _GROCERIES.items()} | {"bin": "bin2"},
        tuple(
            subtask
            for index, name in enumerate(_GROCERIES)
            for subtask in (
                Subtask(name, f"grasp_{name}"),
                Subtask("bin", f"place_{name}" if index < len(_GROCERIES) - 1 else SUCCESS),
            )
        ),
        {f"grasp_{name}": _grasp(name, 0.1) for name in _GROCERIES}
        | {f"place_{name}": _in_bin(name) for name in _GROCERIES},
        environment="PickPlace",
    ),
}
"""What is to be done → its table."""
