"""Errors of decoded actions, in physical units: one figure for all fields of a unit.

An action field's value may be a part of a unit, ``0.05 rad`` for instance. Its error counts in
radians, and is averaged with those of the other fields in radians, never with a gripper's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField
from lram_core.units import split_unit

MIXED = "mae"
"""What earlier releases wrote: the mean over all fields, each in its own unit."""


def error_units(fields: Sequence[ActionField]) -> dict[str, str]:
    """Return metric → unit, in the order of the fields: ``mae_rad`` → ``rad``.

    The metric's name is one word of letters, digits and underscores: ``mae_m_per_s`` is in m/s,
    ``mae_1`` of fields without a unit.
    """
    return {_name(unit): unit for unit in dict.fromkeys(split_unit(f.unit)[1] for f in fields)}


def mean_errors(fields: Sequence[ActionField], errors: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return metric → mean absolute error in the unit of :func:`error_units`.

    Args:
        fields: of the action.
        errors: mean absolute error of each field, in its own unit; shape (fields,).
    """
    groups: dict[str, list[float]] = {}
    for field, error in zip(fields, errors, strict=True):
        factor, unit = split_unit(field.unit)
        groups.setdefault(_name(unit), []).append(factor * float(error))
    return {name: sum(values) / len(values) for name, values in groups.items()}


def describe_errors(
    fields: Sequence[ActionField], metrics: Mapping[str, float], prefix: str = ""
) -> str:
    """Return the errors of an embodiment in words, with their units.

    Args:
        fields: of the action.
        metrics: of a training, those of earlier releases too.
        prefix: before the names of the embodiment's metrics.

    Returns:
        Such as ``0.0031 rad, 0.05 (gripper)``; empty where none was measured.
    """
    told = []
    for name, unit in error_units(fields).items():
        if (value := metrics.get(prefix + name)) is not None:
            # A figure without a unit says whose it is.
            own = [f.name for f in fields if split_unit(f.unit)[1] == unit]
            told.append(f"{value:.3g} " + (f"({', '.join(own)})" if unit == "1" else unit))
    if not told and (value := metrics.get(prefix + MIXED)) is not None:
        told.append(f"{value:.4f} (mean of all fields, each in its own unit)")
    return ", ".join(told)


def _name(unit: str) -> str:
    return "mae_" + re.sub(r"\W+", "_", unit.replace("/", " per ")).strip("_")
