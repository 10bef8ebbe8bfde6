"""Returns and returns-to-go of demonstrations (paper, section 3: undiscounted)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_core.contract import RewardSpec


def episode_return(rewards: npt.ArrayLike, success: bool, spec: RewardSpec) -> float:
    """Return the sum of ``rewards`` plus the ceiling reward for steps that a success left unused.

    A demonstration ends at success, so its plain sum of dense rewards would grow with the time it
    took: a higher return would mean a slower policy. Crediting the remaining steps of the horizon
    at the reward's ceiling makes a faster success the higher return, as it is over a fixed-length
    episode.
    """
    values = np.asarray(rewards, dtype=np.float64)
    unused = max(0, spec.horizon - values.size) if success else 0
    return float(values.sum() + spec.ceiling * unused)


def returns_to_go(rewards: npt.ArrayLike, total: float) -> npt.NDArray[np.float64]:
    """Return-to-go before each step, shape (T,): ``total`` less the rewards already received."""
    values = np.asarray(rewards, dtype=np.float64)
    return total - np.concatenate(([0.0], np.cumsum(values)[:-1]))
