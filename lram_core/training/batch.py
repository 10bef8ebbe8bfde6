"""A batch of windows, from the data to the loss."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from lram_core.backbones.products import bf16_products, has_bf16_units
from lram_core.data.arrays import TrainingArrays
from lram_core.data.stream import Windows
from lram_core.training.config import TrainConfig


def gather(arrays: TrainingArrays, windows: Windows, device: torch.device) -> dict[str, Tensor]:
    """Fetch the rows of one batch of windows; on a GPU without waiting for what it still does."""

    def there(values: npt.NDArray[Any]) -> Tensor:
        tensor = torch.from_numpy(values)
        if device.type == "cuda":  # from other memory a copy waits for all that was asked before
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    index, offset = there(windows.index), there(windows.return_offset)
    return {
        "observations": arrays.observations[index],
        "returns_to_go": arrays.returns_to_go[index] + offset,
        "rewards": arrays.rewards[index],
        "bins": arrays.bins[index],
        "actions": arrays.actions[index],
        "start": there(windows.start),
    }


def rows_of(windows: Windows, part: int, streams: int) -> Windows:
    """Return the rows of one part of a batch, ``streams`` of them."""
    rows = slice(part * streams, (part + 1) * streams)
    return Windows(windows.index[rows], windows.start[rows], windows.return_offset[rows])


def in_bf16(device: torch.device, config: TrainConfig) -> bool:
    """Whether the matrix products are to be in bfloat16."""
    if device.type == "cuda":
        return config.bf16
    return has_bf16_units() if config.bf16_cpu == "auto" else config.bf16_cpu


def mixed_precision(
    device: torch.device, config: TrainConfig
) -> contextlib.AbstractContextManager[None]:
    """bfloat16 for the matrix products, of the passes and their gradients; not the recurrence."""
    on = in_bf16(device, config)
    if device.type == "cuda":
        return torch.autocast(device.type, torch.bfloat16, enabled=on)
    return bf16_products(on)


def action_loss(logits: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy, mean over ticks and action dimensions (paper, section 3)."""
    return F.cross_entropy(logits.float().flatten(0, -2), bins.flatten())


def spread_loss(logits: Tensor, bins: Tensor, spread: float) -> Tensor:
    """Cross-entropy against a bell curve over the bins, centred on the label.

    A bin next to the right one is nearly right, which a one-hot label does not tell: with few
    demonstrations the model learns it from this (HL-Gauss, Imani and White 2018).

    Args:
        logits: (..., bins). bins: (...) the labels.
        spread: standard deviation, in bins; 0 for one-hot labels.
    """
    if not spread:
        return action_loss(logits, bins)
    scores = logits.float().flatten(0, -2)
    count = scores.shape[-1]
    numbers = torch.arange(count, device=scores.device)
    distance = (numbers[:, None] - numbers) / spread
    curves = torch.softmax(-0.5 * distance.square(), dim=-1)
    return F.cross_entropy(scores, curves[bins.flatten()])
