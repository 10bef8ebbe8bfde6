"""A ring of the last W tokens' keys or values, for sequences that are each at their own place.

Token number p of an episode (from 0) lies in slot ``p % W``. What lies in which slot follows from
the number of tokens seen alone, so an episode's start needs no clearing: whatever a slot still
holds of an earlier episode belongs to a negative token number and is seen by nobody.
"""

from __future__ import annotations

import torch
from torch import Tensor


def held_tokens(position: Tensor, size: int) -> Tensor:
    """Return the token number in each slot, (B, W); negative where there is none.

    position: tokens seen since the episode's start, (B,) int64. size: W.
    """
    last = position.unsqueeze(-1) - 1
    slots = torch.arange(size, device=position.device)
    return last - torch.remainder(last - slots, size)


def written(cache: Tensor, rows: Tensor, numbers: Tensor, in_place: bool = False) -> Tensor:
    """Return the ring with T further tokens of the same episode, T at most W.

    Args:
        cache: (B, NH, W, DH).
        rows: of the new tokens (B, NH, T, DH).
        numbers: their token numbers (B, T).
        in_place: write into ``cache`` itself: T rows are moved instead of W.
    """
    slots = torch.remainder(numbers, cache.shape[2])[:, None, :, None].expand(rows.shape)
    rows = rows.to(cache.dtype)
    return cache.scatter_(2, slots, rows) if in_place else cache.scatter(2, slots, rows)


def refilled(cache: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
    """As :func:`written`, for any number of tokens S, with episode starts among them."""
    size, length = cache.shape[2], rows.shape[2]
    last = numbers[:, -1:]
    age = last - held_tokens(last[:, 0] + 1, size)
    # Tokens of this window that belong to the episode at its end.
    fresh = age < torch.clamp(last + 1, max=length)
    source = torch.clamp(length - 1 - age, min=0)[:, None, :, None]
    taken = torch.gather(rows.to(cache.dtype), 2, source.expand(cache.shape))
    return torch.where(fresh[:, None, :, None], taken, cache)
