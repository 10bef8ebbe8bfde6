"""Interval estimates for success rates."""

from __future__ import annotations

import math


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a success rate (z = 1.96: 95 %).

    It stays inside [0, 1] and keeps a width at 0 and at ``trials`` successes, where the normal
    approximation collapses.

    Raises:
        ValueError: not 0 <= successes <= trials, or no trial at all.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"expected 0 <= successes <= trials and trials >= 1, got {successes}/{trials}"
        )
    rate = successes / trials
    spread = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    centre, scale = rate + z * z / (2 * trials), 1 + z * z / trials
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return low, high
