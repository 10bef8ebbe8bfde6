"""Interval estimates for success rates and mean returns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


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


def bootstrap_interval(
    groups: Sequence[npt.NDArray[np.float64]], resamples: int = 10_000, share: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the mean over groups of the groups' means.

    Values are resampled within their group (a task's episodes), as in Agarwal et al. 2021, "Deep
    reinforcement learning at the edge of the statistical precipice". The same values give the same
    interval.

    Args:
        groups: values by group, each (N,) with N >= 1.
        resamples: number of bootstrap samples.
        share: probability mass of the interval.

    Raises:
        ValueError: no group, or an empty one.
    """
    if not groups or not all(len(group) for group in groups):
        raise ValueError("expected at least one group, and one value in each")
    rng = np.random.default_rng(0)
    means = np.zeros(resamples)
    for group in groups:
        drawn = rng.integers(0, len(group), (resamples, len(group)))
        means += np.asarray(group, dtype=np.float64)[drawn].mean(axis=1) / len(groups)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)
