"""The MimicGen tasks: bodies, starts, rules and subtasks, as tables. Needs no simulator.

Ranges and horizons are those of Mandlekar et al. 2023. x, y and the turn about z are relative to
the middle of the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from lram_sim.mimicgen_rules import (
    Rule,
    assembled,
    coffee_ready,
    drawer_open,
    grasp,
    in_bin,
    nut_on_peg,
    on_its_peg,
    piece_1_seated,
    stacked,
    stacked_three,
    threaded,
    tidied,
)
from lram_sim.mimicgen_shapes import (
    BASE,
    CABINET,
    CUBES,
    MACHINE,
    MUG,
    NEEDLE,
    NUT,
    PEG,
    PIECE_1,
    PIECE_2,
    POD,
    TRIPOD,
    Body,
)
from lram_sim.subtasks import SUCCESS, Subtask

_PI = float(np.pi)


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
        {"grasp_a": grasp("cube_a", 0.025)},
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
            "grasp_a": grasp("cube_a", 0.025),
            "stack_a": stacked,
            "grasp_c": grasp("cube_c", 0.025),
        },
        CUBES,
        {"d0": _cubes(0.1, 3), "d1": _cubes(0.2, 3)},
    ),
    "square": Spec(
        400,
        nut_on_peg,
        _names((NUT, PEG)),
        (Subtask("nut", "grasp"), Subtask("peg", SUCCESS, symmetry=4)),
        {"grasp": grasp("nut", 0.02)},
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
        {"grasp": grasp("needle", 0.03)},
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
            "grasp_1": grasp("piece_1", 0.01),
            "seat_1": lambda world: piece_1_seated(world) and not world.held("piece_1"),
            "grasp_2": grasp("piece_2", 0.01),
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
        {"grasp": grasp("pod", 0.01)},
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
        {"open": drawer_open, "grasp": grasp("mug", 0.01)},
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
            "grasp_square": grasp("square_nut", 0.04),
            "place_square": on_its_peg("square_nut", "square_peg"),
            "grasp_round": grasp("round_nut", 0.04),
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
        {f"grasp_{name}": grasp(name, 0.1) for name in _GROCERIES}
        | {f"place_{name}": in_bin(name) for name in _GROCERIES},
        environment="PickPlace",
    ),
}
"""What is to be done → its table."""
