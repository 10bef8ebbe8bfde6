"""The depthwise causal convolution in front of a memory, cut where an episode starts.

Tap by tap, which is faster than a convolution for the few tokens of a tick and lets an episode
start cut it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONV_WIDTH = 4
_OLD = CONV_WIDTH - 1


class CausalConv(nn.Module):
    """Depthwise convolution over the last ``CONV_WIDTH`` tokens of the same episode."""

    def __init__(self, size: int) -> None:
        super().__init__()
        # A Conv1d for its parameters' names and initialisation.
        self.conv = nn.Conv1d(size, size, CONV_WIDTH, groups=size)

    def forward(self, x: Tensor, past: Tensor, segment: Tensor | None) -> tuple[Tensor, Tensor]:
        return causal_conv(self.conv, x, past, segment)


def causal_conv(
    conv: nn.Conv1d, x: Tensor, past: Tensor, segment: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Apply a depthwise convolution of ``CONV_WIDTH`` taps to tokens of the same episode.

    Args:
        conv: its weight (D, 1, CONV_WIDTH) and bias (D,).
        x: tokens (B, S, D).
        past: the CONV_WIDTH - 1 tokens before them (B, CONV_WIDTH - 1, D).
        segment: see :func:`~lram_core.backbones.layers.segments`.

    Returns:
        (B, S, D), and the past of the next token.
    """
    length = x.shape[1]
    window = torch.cat([past.to(x.dtype), x], dim=1)
    taps = conv.weight[:, 0].t()
    assert conv.bias is not None
    same: list[Tensor] = []
    new_past = window[:, length:]
    if segment is not None:
        numbers = F.pad(segment, (_OLD, 0))
        same = [(numbers[:, t : t + length] == segment).unsqueeze(-1) for t in range(_OLD)]
        new_past = new_past * (numbers[:, length:] == numbers[:, -1:]).unsqueeze(-1)
    # A compiler makes a gradient of its own, and a better one; a GPU would have to wait for rows.
    if torch.is_grad_enabled() and not torch.compiler.is_compiling() and not x.is_cuda:
        rows = [(~mask).flatten().nonzero().squeeze(-1) for mask in same]
        y = _OnCPU.apply(window, taps, conv.bias, *rows)
    else:
        y = _taps(window, taps, conv.bias, same)
    return y, new_past.to(past.dtype)


def _taps(window: Tensor, taps: Tensor, bias: Tensor, same: list[Tensor]) -> Tensor:
    """Window (B, CONV_WIDTH - 1 + S, D) → (B, S, D).

    taps: (CONV_WIDTH, D). same: for each tap but the last, whether the token that it is for is of
    the same episode, (B, S, 1); none where all are.
    """
    length = window.shape[1] - _OLD
    y = torch.addcmul(bias, taps[-1], window[:, _OLD:])
    for tap in range(_OLD):
        older = window[:, tap : tap + length]
        y = torch.addcmul(y, taps[tap], older * same[tap] if same else older)
    return y


class _OnCPU(torch.autograd.Function):
    """As :func:`_taps`, value for value, in half the passes over the tokens, which are its time.

    ``rows`` in place of ``same``: for each tap but the last, which of the B * S tokens the older
    one is not for. They are few, so the others are not multiplied with a mask.
    """

    @staticmethod
    def forward(ctx: Any, window: Tensor, taps: Tensor, bias: Tensor, *rows: Tensor) -> Tensor:
        ctx.save_for_backward(window, taps, *rows)
        length = window.shape[1] - _OLD
        y = torch.addcmul(bias, taps[-1], window[:, _OLD:])
        flat = y.flatten(0, 1)
        for tap in range(_OLD):
            before = flat[rows[tap]] if rows else None
            y.addcmul_(taps[tap], window[:, tap : tap + length])
            if before is not None:
                flat[rows[tap]] = before
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        window, taps, *rows = ctx.saved_tensors
        length = grad.shape[1]
        of_window, of_taps = torch.empty_like(window), torch.empty_like(taps)
        of_window[:, :_OLD] = 0
        torch.mul(grad, taps[-1], out=of_window[:, _OLD:])
        of_taps[-1] = (grad * window[:, _OLD:]).sum((0, 1))
        of_bias = grad.sum((0, 1))
        if rows:
            grad = grad.clone(memory_format=torch.contiguous_format)
        for tap in reversed(range(_OLD)):  # what an older token is not for, a still older is not
            if rows:
                grad.flatten(0, 1)[rows[tap]] = 0
            of_window[:, tap : tap + length].addcmul_(grad, taps[tap])
            of_taps[tap] = (grad * window[:, tap : tap + length]).sum((0, 1))
        return of_window, of_taps, of_bias, *(None for _ in rows)
