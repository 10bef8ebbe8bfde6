"""Units of contracts and the conversions between them: an explicit table, nothing is guessed.

A unit is a name of the table, or a number and a name: ``0.01 m`` is a hundredth of a metre, the way
a policy trained on normalised centimetres writes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lram_core.errors import ContractError, listed
from lram_core.units import split_unit

# Dimension → unit → what one of it is in the dimension's SI unit, which is the first.
TABLE: dict[str, dict[str, float]] = {
    "plain number": {"1": 1.0, "%": 0.01},
    "length": {"m": 1.0, "cm": 1e-2, "mm": 1e-3},
    "angle": {"rad": 1.0, "mrad": 1e-3, "deg": math.pi / 180, "rev": 2 * math.pi},
    "velocity": {"m/s": 1.0, "cm/s": 1e-2, "mm/s": 1e-3},
    "angular velocity": {
        "rad/s": 1.0,
        "deg/s": math.pi / 180,
        "rpm": 2 * math.pi / 60,
    },
    "acceleration": {"m/s^2": 1.0, "mm/s^2": 1e-3, "g": 9.80665},
    "angular acceleration": {"rad/s^2": 1.0, "deg/s^2": math.pi / 180},
    "force": {"N": 1.0, "mN": 1e-3, "kN": 1e3},
    "torque": {"N m": 1.0, "N mm": 1e-3, "N cm": 1e-2},
    "time": {"s": 1.0, "ms": 1e-3},
    "current": {"A": 1.0, "mA": 1e-3},
}
# What a change a second of one dimension is.
RATES = {"length": "velocity", "angle": "angular velocity"}
_SPELLINGS = {"N·m": "N m", "Nm": "N m", "N*m": "N m", "m/s²": "m/s^2", "rad/s²": "rad/s^2"}
_NAMES = {name: dimension for dimension, units in TABLE.items() for name in units}


@dataclass(frozen=True)
class Unit:
    """A unit: its dimension, and what one of it is in the dimension's SI unit."""

    dimension: str
    factor: float


def parse_unit(text: str) -> Unit:
    """Read a unit such as ``deg/s`` or ``0.01 m``.

    Raises:
        ContractError: it is not in the table; the message lists what is.
    """
    scale, name = split_unit(text)
    name = _SPELLINGS.get(name, name)
    if name not in _NAMES or not (math.isfinite(scale) and scale > 0):
        raise ContractError(f"unit '{text}' is unknown; known are {listed(_NAMES)}")
    dimension = _NAMES[name]
    return Unit(dimension, scale * TABLE[dimension][name])


def conversion(found: str, wanted: str) -> float:
    """Return what values in ``found`` are multiplied by to be in ``wanted``.

    The same text on both sides is 1 whatever it says: two sides that agree need no table.

    Raises:
        ContractError: a unit is unknown, or they are of different dimensions.
    """
    if found == wanted:
        return 1.0
    ours, theirs = parse_unit(found), parse_unit(wanted)
    if ours.dimension != theirs.dimension:
        raise ContractError(
            f"unit '{found}' ({ours.dimension}) cannot become '{wanted}' ({theirs.dimension}); "
            f"units of {theirs.dimension} are {listed(TABLE[theirs.dimension])}"
        )
    return ours.factor / theirs.factor


def rate_conversion(found: str, wanted: str) -> float:
    """As :func:`conversion`, for values in ``found`` a second: ``rad`` becomes ``deg/s``.

    Raises:
        ContractError: a unit is unknown, or ``wanted`` is not a rate of ``found``.
    """
    ours, theirs = parse_unit(found), parse_unit(wanted)
    if RATES.get(ours.dimension) != theirs.dimension:
        raise ContractError(
            f"unit '{wanted}' ({theirs.dimension}) is not '{found}' ({ours.dimension}) a second"
        )
    return ours.factor / theirs.factor
