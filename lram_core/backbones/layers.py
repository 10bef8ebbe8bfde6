"""Layers that several backbones share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_JOINED = 4
"""Blocks of a block-diagonal map that make one matrix, for many tokens."""


def many_tokens(x: Tensor) -> bool:
    """Whether so many rows (..., D) are worth some work on the weights first, as in training."""
    return x.shape[:-1].numel() >= 64


class ResidualNorm(nn.Module):
    """LayerNorm over ``groups`` equal parts, without bias, scaled by ``1 + weight``."""

    def __init__(self, size: int, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        if self.groups == 1 and x.dtype == self.weight.dtype:
            return F.layer_norm(x, x.shape[-1:], 1.0 + self.weight)
        parts = x.unflatten(-1, (self.groups, -1))
        return F.layer_norm(parts, parts.shape[-1:]).flatten(-2) * (1.0 + self.weight)


class BlockDiagonal(nn.Module):
    """Linear map without bias that mixes neighbouring channels within ``blocks`` equal blocks."""

    def __init__(self, size: int, blocks: int) -> None:
        super().__init__()
        width = size // blocks
        self.weight = nn.Parameter(torch.empty(blocks, width, width))

    def forward(self, x: Tensor) -> Tensor:
        if self._many(x):
            return self._products(x).transpose(0, 1).reshape(x.shape)
        parts = x.unflatten(-1, (self.weight.shape[0], -1))
        return torch.einsum("...hi,hoi->...ho", parts, self.weight).flatten(-2)

    def by_heads(self, x: Tensor, heads: int) -> Tensor:
        """As :meth:`forward`, of (B, S, D); returns (B, heads, S, D / heads)."""
        if self._many(x) and self.weight.shape[0] % (_JOINED * heads) == 0:
            # Written in this order at once.
            made = self._products(x).unflatten(1, x.shape[:2]).unflatten(0, (heads, -1))
            return made.permute(2, 0, 3, 1, 4).flatten(-2)
        return self(x).unflatten(-1, (heads, -1)).transpose(1, 2)

    def _many(self, x: Tensor) -> bool:
        return many_tokens(x) and self.weight.shape[0] % _JOINED == 0

    def _products(self, x: Tensor) -> Tensor:
        """Several blocks in one matrix with zeros between them: fewer and larger products.

        For the tokens of a training batch that is twice as fast, forward and backward. Returns
        (matrices, tokens, channels of a matrix).
        """
        joined = self.weight.unflatten(0, (-1, _JOINED)).permute(0, 3, 2, 1)  # groups, in, out, of
        dense = torch.diag_embed(joined).permute(0, 3, 1, 4, 2).flatten(3, 4).flatten(1, 2)
        return torch.bmm(x.reshape(-1, *dense.shape[:2]).transpose(0, 1), dense)


def segments(reset_mask: Tensor | None) -> Tensor | None:
    """Number the episodes of a window: episode starts at or before each token, (B, S) int64.

    Segment 0 continues the episode of the state. None stays None: no episode starts.
    """
    return None if reset_mask is None else torch.cumsum(reset_mask.long(), dim=-1)
