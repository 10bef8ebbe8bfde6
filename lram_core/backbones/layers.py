"""Layers that several backbones share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONV_WIDTH = 4
_JOINED, _MANY_TOKENS = 4, 64
"""Blocks of a block-diagonal map that make one matrix, from so many tokens on."""


class ResidualNorm(nn.Module):
    """LayerNorm over ``groups`` equal parts, without bias, scaled by ``1 + weight``."""

    def __init__(self, size: int, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unflatten(-1, (self.groups, -1))
        return F.layer_norm(parts, parts.shape[-1:]).flatten(-2) * (1.0 + self.weight)


class BlockDiagonal(nn.Module):
    """Linear map without bias that mixes neighbouring channels within ``blocks`` equal blocks."""

    def __init__(self, size: int, blocks: int) -> None:
        super().__init__()
        width = size // blocks
        self.weight = nn.Parameter(torch.empty(blocks, width, width))

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[:-1].numel() >= _MANY_TOKENS and self.weight.shape[0] % _JOINED == 0:
            return self._many(x)
        parts = x.unflatten(-1, (self.weight.shape[0], -1))
        return torch.einsum("...hi,hoi->...ho", parts, self.weight).flatten(-2)

    def _many(self, x: Tensor) -> Tensor:
        """Several blocks in one matrix with zeros between them: fewer and larger products.

        For the tokens of a training batch that is twice as fast, forward and backward.
        """
        joined = self.weight.unflatten(0, (-1, _JOINED)).permute(0, 3, 2, 1)  # groups, in, out, of
        dense = torch.diag_embed(joined).permute(0, 3, 1, 4, 2).flatten(3, 4).flatten(1, 2)
        parts = x.reshape(-1, *dense.shape[:2]).transpose(0, 1)
        return torch.bmm(parts, dense).transpose(0, 1).reshape(x.shape)


class CausalConv(nn.Module):
    """Depthwise convolution over the last ``CONV_WIDTH`` tokens of the same episode."""

    def __init__(self, size: int) -> None:
        super().__init__()
        # A Conv1d for its parameters' names and initialisation; see causal_conv.
        self.conv = nn.Conv1d(size, size, CONV_WIDTH, groups=size)

    def forward(self, x: Tensor, past: Tensor, segment: Tensor | None) -> tuple[Tensor, Tensor]:
        return causal_conv(self.conv, x, past, segment)


def causal_conv(
    conv: nn.Conv1d, x: Tensor, past: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Apply a depthwise convolution of ``CONV_WIDTH`` taps to tokens of the same episode.

    Args:
        conv: its weight (D, 1, CONV_WIDTH) and bias (D,); applied tap by tap, which is faster than
            a convolution for the few tokens of a tick and lets an episode start cut it.
        x: tokens (B, S, D).
        past: the CONV_WIDTH - 1 tokens before them (B, CONV_WIDTH - 1, D).
        segment: see :func:`segments`.

    Returns:
        (B, S, D), and the past of the next token.
    """
    length = x.shape[1]
    window = torch.cat([past.to(x.dtype), x], dim=1)
    taps = conv.weight[:, 0].t()
    bias = conv.bias
    assert bias is not None
    y = torch.addcmul(bias, taps[-1], x)
    numbers = None if segment is None else F.pad(segment, (CONV_WIDTH - 1, 0))
    for tap in range(CONV_WIDTH - 1):
        older = window[:, tap : tap + length]
        if numbers is not None and segment is not None:
            same = numbers[:, tap : tap + length] == segment
            older = older * same.unsqueeze(-1)
        y = torch.addcmul(y, taps[tap], older)
    new_past = window[:, length:]
    if numbers is not None:
        new_past = new_past * (numbers[:, length:] == numbers[:, -1:]).unsqueeze(-1)
    return y, new_past.to(past.dtype)


def segments(reset_mask: Tensor | None) -> Tensor | None:
    """Number the episodes of a window: episode starts at or before each token, (B, S) int64.

    Segment 0 continues the episode of the state. None stays None: no episode starts.
    """
    return None if reset_mask is None else torch.cumsum(reset_mask.long(), dim=-1)
