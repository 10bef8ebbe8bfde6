"""Actions as bins: 256 uniform ones a dimension between the action's limits (paper, section 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_core.contract import DISCRETE, ActionField
from lram_core.errors import ContractError


class ActionCodec:
    """Turns action values into bin numbers and back.

    A bin decodes to its **centre**, so that a round trip is off by half a bin at most and without
    bias. (The lower edge, as decoded elsewhere, pulls every action by half a bin and cannot reach
    the upper limit's neighbourhood.)

    A discrete action has a bin a choice, the first ones there are; a bin beyond the last choice
    decodes to it.

    Raises:
        ContractError: a discrete action has more choices than there are bins.
        ValueError: there are fewer than 2 bins.
    """

    def __init__(self, fields: tuple[ActionField, ...], bins: int = 256) -> None:
        if bins < 2:
            raise ValueError(f"expected at least 2 bins, got {bins}")
        self.bins = bins
        low = np.array([field.low for field in fields], dtype=np.float64)
        high = np.array([field.high for field in fields], dtype=np.float64)
        for field in fields:
            if field.kind == DISCRETE and field.high - field.low >= bins:
                raise ContractError(
                    f"action {field.name} has {field.high - field.low + 1:g} choices, "
                    f"the model {bins} bins; it needs at least as many"
                )
        choice = np.array([field.kind == DISCRETE for field in fields], dtype=bool)
        self.width = np.where(choice, 1.0, (high - low) / bins)
        self.low = np.where(choice, low - 0.5, low)
        self.high = np.where(choice, high + 0.5, high)
        self._last = np.where(choice, high - low, bins - 1).astype(np.int64)

    def encode(self, actions: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the bin of each value, shape (..., action_size); values beyond a limit take the
        outermost bin. Raises ValueError on a value that is not finite."""
        values = np.asarray(actions, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("actions to encode are not finite")
        inside = np.clip(values, self.low, self.high)
        index = np.floor((inside - self.low) / self.width).astype(np.int64)
        return np.minimum(index, self._last)

    def decode(self, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the bin centres, shape (..., action_size), in the units of the action fields."""
        inside = np.minimum(np.asarray(index), self._last)
        return self.low + (inside.astype(np.float64) + 0.5) * self.width
