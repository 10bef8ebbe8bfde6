"""Rows of memory-mapped arrays as tensors, read when a batch asks for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.data.pictures import PictureRows

Rows = npt.NDArray[np.float32]
_BLOCK, _VALUES = 1 << 16, 1 << 23  # rows, and their values


def memory(device: torch.device | str) -> int:
    """Bytes of memory of a device, or of this machine."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class MappedRows:
    r"""Arrays end to end, (N, size), that stay in their files.

    ``rows[index]`` with an integer tensor of any shape gives a tensor (\*index.shape, size).
    """

    def __init__(
        self,
        arrays: Sequence[Rows],
        device: torch.device | str,
        convert: Callable[[Rows], npt.NDArray] | None = None,
    ) -> None:
        """Args:
        arrays: float32 (n_i, size) each, usually memory maps.
        device: where the tensors go.
        convert: what is made of the rows of a batch.
        """
        self._arrays = list(arrays)
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self._device = torch.device(device)
        self._convert = convert

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Tensor) -> Tensor:
        wanted = index.cpu().numpy()
        flat = wanted.reshape(-1)
        if flat.size and not 0 <= flat.min() <= flat.max() < len(self):
            raise IndexError(f"rows 0 … {len(self) - 1} are there, asked for {flat.max()}")
        rows = np.empty((flat.size, self._arrays[0].shape[1]), dtype=np.float32)
        owner = np.searchsorted(self._starts, flat, side="right") - 1
        for number in np.unique(owner):
            here = owner == number
            rows[here] = self._arrays[number][flat[here] - self._starts[number]]
        made = rows if self._convert is None else self._convert(rows)
        return torch.from_numpy(made).reshape(*wanted.shape, made.shape[-1]).to(self._device)

    def std_mean(self, columns: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return standard deviation and mean over all rows, float64 (size,); reads every row once.

        As ``torch.std_mean(…, dim=0, correction=0)``, in bounded memory.

        Args:
            columns: those that are no pixels, of observations with pictures; None for all.
        """
        if columns is not None:
            return self._without_pixels(columns.cpu().numpy()).std_mean()
        count = 0
        mean = np.zeros(self._arrays[0].shape[1])
        squares = np.zeros_like(mean)
        rows = max(1, min(_BLOCK, _VALUES // max(1, len(mean))))
        for array in self._arrays:
            for start in range(0, len(array), rows):
                block = np.asarray(array[start : start + rows], dtype=np.float64)
                if self._convert is not None:
                    block = self._convert(block.astype(np.float32)).astype(np.float64)
                size, middle = len(block), block.mean(0)
                apart = middle - mean
                squares += ((block - middle) ** 2).sum(0) + apart**2 * count * size / (count + size)
                mean += apart * size / (count + size)
                count += size
        return torch.from_numpy(np.sqrt(squares / count)), torch.from_numpy(mean)

    def _without_pixels(self, columns: npt.NDArray[np.intp]) -> MappedRows:
        """The same rows without their pixels, which are not read."""
        # Datasets of earlier releases keep pixels among the other values.
        arrays = [
            array.values if isinstance(array, PictureRows) else np.asarray(array[:, columns])
            for array in self._arrays
        ]
        return MappedRows(arrays, self._device, self._convert)
