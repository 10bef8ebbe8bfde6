"""The text of a unit: a name, or a number and a name, as in ``0.05 rad``."""

from __future__ import annotations

import contextlib


def split_unit(text: str) -> tuple[float, str]:
    """Return how many of a unit one step of a value is, and the unit's name.

    ``0.05 rad`` is (0.05, ``rad``), ``m/s`` is (1.0, ``m/s``), ``1`` is (1.0, ``1``). Nothing is
    checked: :func:`lram_ros.units.parse_unit` knows which units there are.
    """
    head, _, tail = text.strip().partition(" ")
    if tail:
        with contextlib.suppress(ValueError):  # `N m`: the space belongs to the name
            return float(head), tail.strip()
    return 1.0, text.strip()
