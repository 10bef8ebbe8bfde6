"""Perturbations of an expert's actions, so that a cloned policy sees how to recover.

One kind an episode: nothing, independent noise a tick, correlated noise that drifts, or pushes that
drag the arm somewhere for a while. The label stays the expert's own action in every kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

KINDS = ("none", "gaussian", "correlated", "pushes")
WEIGHTS = (0.15, 0.25, 0.30, 0.30)

_CORRELATION_TICKS = 12.0
_PUSH_TICKS = (5, 20)
_FIRST_PUSH_WITHIN = 40
_TICKS_BETWEEN_PUSHES = 50.0
_GRIPPER_PUSH_SHARE = 0.3
_FULL_PUSH_NOISE = 0.3
"""Noise scale at which a push may be as strong as the strongest action."""


class Perturbation:
    """Turns the expert's action into the executed one.

    Args:
        kind: one of :data:`KINDS`.
        scale: standard deviation of the noise, as a share of the largest action; pushes have an
            amplitude of up to ``scale / 0.3`` of it (at most all of it).
        rng: the episode's random generator.
        grippers: indices of the actions that most pushes leave alone.
    """

    def __init__(
        self,
        kind: str,
        scale: float,
        rng: np.random.Generator,
        grippers: Sequence[int] = (-1,),
    ) -> None:
        self.kind = kind if scale > 0 else "none"
        self.scale = scale if self.kind != "none" else 0.0
        self._rng = rng
        self._grippers = list(grippers)
        self._drift: Array | None = None
        self._push: Array | None = None
        self._grip = False
        self._left = 0
        # The shortest tasks take 30 ticks: without a date the first push would often not come.
        self._until_first = int(rng.integers(_FIRST_PUSH_WITHIN)) if kind == "pushes" else 0

    def apply(self, clean: Array) -> Array:
        """Return the action to execute, within [-1, 1], for the expert's action ``clean``."""
        if self.kind == "none":
            return clean
        if self.kind == "pushes":
            return self._pushed(clean)
        fresh = self._rng.normal(0.0, self.scale, clean.shape)
        if self.kind == "correlated":
            # An Ornstein-Uhlenbeck process with the same spread at every tick.
            keep = float(np.exp(-1.0 / _CORRELATION_TICKS))
            if self._drift is None:
                self._drift = fresh
            else:
                self._drift = keep * self._drift + np.sqrt(1.0 - keep * keep) * fresh
            fresh = self._drift
        return np.clip(clean + fresh, -1.0, 1.0)

    def _pushed(self, clean: Array) -> Array:
        rng = self._rng
        self._until_first -= 1
        starts = rng.random() < 1.0 / _TICKS_BETWEEN_PUSHES and self._until_first < 0
        if self._left == 0 and (starts or self._until_first == -1):
            self._left = int(rng.integers(_PUSH_TICKS[0], _PUSH_TICKS[1] + 1))
            self._grip = bool(rng.random() < _GRIPPER_PUSH_SHARE)
            self._push = rng.uniform(-1.0, 1.0, clean.shape) * min(
                1.0, self.scale / _FULL_PUSH_NOISE
            )
        if self._left == 0 or self._push is None:
            return clean
        self._left -= 1
        pushed = self._push.copy()
        if not self._grip:
            pushed[self._grippers] = clean[self._grippers]
        return pushed


def draw(noise: float, rng: np.random.Generator) -> tuple[str, float]:
    """Draw an episode's kind and scale (0 … ``noise``).

    Pushes get the whole scale: their amplitudes are random already.
    """
    kind = str(rng.choice(KINDS, p=WEIGHTS))
    scale = float(rng.uniform(0.0, noise))
    if kind == "none" or noise == 0:
        return "none", 0.0
    return kind, noise if kind == "pushes" else scale
