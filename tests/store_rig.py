"""A made-up episode for tests of the dataset store."""

from __future__ import annotations

import numpy as np

from lram_core.data.schema import Episode


def episode(length: int, seed: int) -> Episode:
    rng = np.random.default_rng(seed)
    return Episode(
        observations=rng.normal(size=(length, 5)).astype(np.float32),
        actions=rng.uniform(-1, 1, (length, 2)).astype(np.float32),
        rewards=rng.uniform(size=length).astype(np.float32),
        task="reach",
        seed=seed,
        success=bool(seed % 2),
        noise=0.1 * seed,
    )
