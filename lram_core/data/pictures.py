"""Pictures in a dataset: a byte a pixel on the disk, values from 0 to 1 when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import ObservationField, pictures
from lram_core.errors import DataError

_LEVELS = (np.arange(256) / 255).astype(np.float32)
_DRIFT = 1e-6
"""How far beyond 0 … 1 rounding may carry a pixel."""


@dataclass(frozen=True, eq=False)
class PictureLayout:
    """Which values of an observation are pixels.

    Attributes:
        shown: bool (observation_size,), True for a pixel.
    """

    shown: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, observation: Sequence[ObservationField]) -> PictureLayout:
        shown = np.zeros(sum(field.size for field in observation), np.bool_)
        for first, height, width, channels in pictures(tuple(observation)):
            shown[first : first + height * width * channels] = True
        return cls(shown)

    @property
    def pixels(self) -> int:
        return int(self.shown.sum())

    @cached_property
    def others(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(~self.shown)

    def split(
        self, observations: npt.NDArray[np.float32], where: str
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return the other values, float32 (N, …), and the pixels, uint8 (N, pixels).

        Args:
            observations: float32 (N, observation_size).
            where: what they are, for messages.

        Raises:
            DataError: a pixel is not from 0 to 1.
        """
        seen = observations[:, self.shown]
        if seen.size and not -_DRIFT <= seen.min() <= seen.max() <= 1 + _DRIFT:
            raise DataError(
                f"{where}: pixels from {seen.min():g} to {seen.max():g}; expected 0 to 1"
            )
        return observations[:, ~self.shown], np.rint(255 * seen).astype(np.uint8)

    def join(
        self, values: npt.NDArray[np.float32], pixels: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.float32]:
        """Return the observations that :meth:`split` took apart, in steps of 1 / 255."""
        joined = np.empty((len(values), len(self.shown)), np.float32)
        joined[:, ~self.shown] = values
        joined[:, self.shown] = _LEVELS[pixels]
        return joined


@dataclass(frozen=True, eq=False)
class PictureRows:
    """Observations (N, size) whose pixels are kept apart, as bytes; indexed as one array.

    Attributes:
        values: float32 (N, …), what is no pixel. pixels: uint8 (N, …).
        layout: of an observation.
    """

    values: npt.NDArray[np.float32]
    pixels: npt.NDArray[np.uint8]
    layout: PictureLayout

    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.values), len(self.layout.shown)

    @property
    def nbytes(self) -> int:
        """Of the array that this stands for."""
        return 4 * self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> npt.NDArray[np.float32]:
        """Rows, or (rows, columns), as float32; a whole picture is made for each row."""
        rows, rest = (index[0], index[1:]) if isinstance(index, tuple) else (index, ())
        if isinstance(rows, (int, np.integer)):
            return self[rows : rows + 1 or None].__getitem__((0, *rest))
        made = self.layout.join(self.values[rows], self.pixels[rows])
        return made.__getitem__((slice(None), *rest)) if rest else made

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self[:] if dtype is None else self[:].astype(dtype)


def without_pixels(array: Any) -> npt.NDArray[np.float32]:
    """Return an array of a dataset without its pixels, which are bytes and need no check."""
    return array.values if isinstance(array, PictureRows) else array
