"""Endless plausible inputs of a model: a random walk in the units it was trained in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lram_core.action_model import ActionModel
from lram_core.runtimes.base import FloatArray

MEMORY = 0.98
"""Share of a tick's value that the next one keeps; the walk's spread is one standard deviation."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of T control ticks, in scaled units.

    Attributes:
        observations: float32 (T, observation_size).
        returns_to_go: float32 (T,).
        rewards: float32 (T,), of each tick's action.
    """

    observations: FloatArray
    returns_to_go: FloatArray
    rewards: FloatArray

    def __len__(self) -> int:
        return len(self.rewards)


class RandomWalk:
    """A stationary walk around the training data's mean, with its standard deviation.

    Args:
        model: gives sizes and input statistics.
        seed: the walk is a function of it.
    """

    def __init__(self, model: ActionModel, seed: int = 0) -> None:
        norms = (model.observation_norm, model.return_norm, model.reward_norm)
        self._mean = np.concatenate([norm.mean.cpu().numpy() for norm in norms])
        self._std = np.concatenate([norm.std.cpu().numpy() for norm in norms])
        if model.config.pictures:
            # Pixels have no statistics: they are from 0 to 1.
            pixels = np.ones(model.config.observation_size, dtype=bool)
            pixels[model.others.cpu().numpy()] = False
            mean, std = np.full(len(pixels), 0.5), np.full(len(pixels), 0.25)
            mean[~pixels], std[~pixels] = self._mean[:-2], self._std[:-2]
            self._mean = np.concatenate([mean, self._mean[-2:]]).astype(np.float32)
            self._std = np.concatenate([std, self._std[-2:]]).astype(np.float32)
        self._rng = np.random.default_rng(seed)
        self._at = self._rng.standard_normal(len(self._mean))

    def take(self, ticks: int) -> Inputs:
        """Return the next ``ticks`` ticks of the walk."""
        values = np.sqrt(1 - MEMORY**2) * self._rng.standard_normal((ticks, len(self._at)))
        for value in values:
            value += MEMORY * self._at
            self._at = value
        self._at = self._at.copy()
        scaled = (self._mean + self._std * values).astype(np.float32)
        return Inputs(
            np.ascontiguousarray(scaled[:, :-2]),
            np.ascontiguousarray(scaled[:, -2]),
            np.ascontiguousarray(scaled[:, -1]),
        )
