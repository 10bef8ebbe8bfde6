"""Where the bodies of a MimicGen task start: drawn from its ranges, with room between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lram_sim.mimicgen_shapes import Body
from lram_sim.mimicgen_tasks import Range

Place = tuple[float, float, float]
_TRIES = 5000


def draw(rng: Any, bodies: Sequence[Body], ranges: Mapping[str, Range]) -> list[Place]:
    """Return x (m), y (m) and turn (rad) of each body; all are drawn anew until none is too near.

    Args:
        rng: a ``numpy.random.Generator``.
        bodies: with the radius of the circle that each takes on the table.
        ranges: body → range.

    Raises:
        RuntimeError: the ranges leave no room.
    """
    for _ in range(_TRIES):
        places = [_one(rng, ranges[body.name]) for body in bodies]
        if all(
            np.hypot(a[0] - b[0], a[1] - b[1]) > bodies[i].radius + bodies[j].radius
            for i, a in enumerate(places)
            for j, b in enumerate(places[:i])
        ):
            return places
    raise RuntimeError(f"no room for {[body.name for body in bodies]} in {dict(ranges)}")


def _one(rng: Any, place: Range) -> Place:
    x, y, turn = (float(rng.uniform(*ends)) for ends in (place.x, place.y, place.turn))
    return x, y, turn
