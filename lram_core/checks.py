"""What a caller gives, as the numbers it should be, or one clear error.

The model's inputs are float32: a number that is infinite there counts as infinite, however finite
it is in float64.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import CommandError, ContractError

LARGEST = float(np.finfo(np.float32).max)


def array(given: object) -> npt.NDArray[Any]:
    """Return an array; of the dtype ``object`` where none can be made: ragged, or on a GPU."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError):
        return np.array(None)


def numbers(what: str, given: object, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return an array of real numbers. Raises ContractError: it is none, or of another shape."""
    expected = f"numbers of shape {shape}" if shape else "a number"
    return np.asarray(_checked(what, given, shape, "biuf", expected), dtype=np.float64)


def flags(what: str, given: object, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return an array of bool. Raises ContractError: it is none, or of another shape."""
    return _checked(what, given, shape, "b", f"bool {shape}")


def number(what: str, given: object) -> float:
    """Return a real number. Raises ContractError where it is none."""
    return float(numbers(what, given, ()))


def count(what: str, given: object) -> int:
    """Return a whole number of at least 1. Raises CommandError where it is none."""
    try:
        value = operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        raise CommandError(f"{what}: expected a whole number, found {_short(given)}") from None
    if value < 1:
        raise CommandError(f"{what}: expected at least 1, found {value}")
    return value


def finite32(values: Any, scale: float = 1.0) -> Any:
    """Return, for a number or each of an array, whether it is finite in float32.

    Args:
        values: float64.
        scale: the quotient by it must be finite, too.
    """
    return abs(values) <= LARGEST * min(1.0, scale)


def _checked(
    what: str, given: object, shape: tuple[int, ...], kinds: str, expected: str
) -> npt.NDArray[Any]:
    values = array(given)
    if values.dtype.kind not in kinds:
        raise ContractError(f"{what}: expected {expected}, found {_short(given)}")
    if values.shape != shape:
        raise ContractError(f"{what}: expected {expected}, found shape {values.shape}")
    return values


def _short(given: object) -> str:
    text = " ".join(repr(given).split())
    return text if len(text) <= 40 else text[:40] + "…"
