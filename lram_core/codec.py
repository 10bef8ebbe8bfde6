"""Actions as bins: 256 uniform ones a dimension between the action's limits (paper, section 3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField


class ActionCodec:
    """Turns action values into bin numbers and back.

    A bin decodes to its **centre**, so that a round trip is off by half a bin at most and without
    bias. (The lower edge, as decoded elsewhere, pulls every action by half a bin and cannot reach
    the upper limit's neighbourhood.)
    """

    def __init__(self, fields: tuple[ActionField, ...], bins: int = 256) -> None:
        if bins < 2:
            raise ValueError(f"expected at least 2 bins, got {bins}")
        self.bins = bins
        self.low = np.array([field.low for field in fields], dtype=np.float64)
        self.high = np.array([field.high for field in fields], dtype=np.float64)
        self.width = (self.high - self.low) / bins

    def encode(self, actions: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the bin of each value, shape (..., action_size); values beyond a limit take the
        outermost bin. Raises ValueError on a value that is not finite."""
        values = np.asarray(actions, dtype=np.float64)
        if not np.isfinite(values).all():
            raise ValueError("actions to encode are not finite")
        inside = np.clip(values, self.low, self.high)
        index = np.floor((inside - self.low) / self.width).astype(np.int64)
        return np.minimum(index, self.bins - 1)

    def decode(self, index: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return the bin centres, shape (..., action_size), in the units of the action fields."""
        return self.low + (np.asarray(index, dtype=np.float64) + 0.5) * self.width
