"""int8 weights: symmetric, one float32 scale for every block of 32 inputs of an output.

One definition for every runtime that has int8 weights, so that they agree with each other and with
a model whose weights are the dequantised ones.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.action_model import ActionModel

BLOCK = 32
_LARGEST = 127

# The large projections, by the name of the layer: nearly all bytes of the weights. What shapes the
# gates, the norms and the logits stays in float32.
PROJECTIONS = ("proj_up", "proj_down", "in_proj", "out_proj", "qkv")


def quantise(weight: Tensor, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """Round a weight matrix to int8.

    Args:
        weight: (out, in), float. An ``in`` that is no multiple of ``block`` has a shorter last
            block.

    Returns:
        int8 (out, in) in [-127, 127], and float32 scales (out, ceil(in / block)): the largest
        magnitude of the block / 127, so ``weight ≈ int8 * scale``. A block of zeros has scale 0.
    """
    columns = weight.shape[1]
    padded = F.pad(weight.detach().float(), (0, -columns % block)).unflatten(1, (-1, block))
    scales = padded.abs().amax(-1) / _LARGEST
    # The smallest normal number: a block of zeros is divided by it, not by zero.
    divisor = scales.clamp_min(torch.finfo(torch.float32).tiny).unsqueeze(-1)
    rounded = (padded / divisor).round().clamp(-_LARGEST, _LARGEST)
    return rounded.flatten(1)[:, :columns].to(torch.int8).contiguous(), scales


def dequantise(values: Tensor, scales: Tensor, block: int = BLOCK) -> Tensor:
    """Inverse of :func:`quantise`: int8 (out, in) and scales → float32 (out, in)."""
    return values.float() * scales.repeat_interleave(block, dim=1)[:, : values.shape[1]]


def projection_names(model: ActionModel) -> list[str]:
    """Names in ``model.state_dict()`` of the backbone's large weight matrices."""
    return [
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and name.startswith("backbone.")
        and name.rsplit(".", 1)[-1] in PROJECTIONS
    ]


def quantised_names(model: ActionModel) -> list[str]:
    """Names of the weight matrices that int8 runtimes quantise.

    All large ones but those of the first and the last block. The first reads the sensors, and
    every later block builds on its rounding: with it, the shipped policy chooses another bin than
    in float32 2.2 times in a hundred, without it 1.2, without both 0.9.
    """
    names = projection_names(model)
    blocks = {name: _block(name) for name in names}
    ends = (0, max(blocks.values(), default=0))
    return [name for name in names if blocks[name] not in ends]


def _block(name: str) -> int:
    """The number in ``backbone.blocks.3.xlstm.proj_up.weight``."""
    return next(int(part) for part in name.split(".") if part.isdigit())


def dequantised_model(model: ActionModel) -> ActionModel:
    """Return a copy whose quantised weights are rounded: what an int8 runtime computes."""
    rounded = copy.deepcopy(model)
    weights = rounded.state_dict()
    for name in quantised_names(model):
        weights[name].copy_(dequantise(*quantise(weights[name])))
    return rounded
