"""The convolution before a memory: what a training step computes on a CPU is what is defined."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lram_core.backbones.causal_conv import CONV_WIDTH, CausalConv
from lram_core.backbones.layers import segments

SIZE = 5


def by_definition(conv: CausalConv, x: Tensor, past: Tensor, starts: Tensor) -> Tensor:
    """Token by token: each tap's token, if no episode starts after it."""
    weight, bias = conv.conv.weight[:, 0], conv.conv.bias
    assert bias is not None
    tokens = torch.cat([past, x], dim=1)
    rows = []
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            value = bias
            for back in range(CONV_WIDTH):
                if not starts[b, max(0, t - back + 1) : t + 1].any():
                    value = value + weight[:, CONV_WIDTH - 1 - back] * tokens[b, t + 3 - back]
            rows.append(value)
    return torch.stack(rows).view(x.shape)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=3))
def test_values_and_gradients_are_those_of_the_definition(starts: list[list[bool]]) -> None:
    torch.manual_seed(0)
    conv, mask = CausalConv(SIZE).double(), torch.tensor(starts)
    x = torch.randn(*mask.shape, SIZE, dtype=torch.float64, requires_grad=True)
    past = torch.randn(len(mask), CONV_WIDTH - 1, SIZE, dtype=torch.float64, requires_grad=True)
    inputs = [x, past, *conv.parameters()]
    want = by_definition(conv, x, past, mask)
    gradients = torch.autograd.grad(want.sin().sum(), inputs)
    for segment in (segments(mask), *([] if mask.any() else [None])):
        y, _ = conv(x, past, segment)
        torch.testing.assert_close(y, want)
        for a, b in zip(torch.autograd.grad(y.sin().sum(), inputs), gradients, strict=True):
            torch.testing.assert_close(a, b)


def test_without_a_gradient_the_values_are_the_same() -> None:
    """Where nothing is learnt masks are multiplied with; learning on a CPU goes without them."""
    conv, x, past = CausalConv(SIZE), torch.randn(2, 20, SIZE), torch.randn(2, 3, SIZE)
    mask = torch.zeros(2, 20, dtype=torch.bool)
    mask[1, 7] = True
    for segment in (None, segments(mask)):
        learning, past_then = conv(x, past, segment)
        with torch.no_grad():
            acting, past_now = conv(x, past, segment)
        assert torch.equal(learning, acting)
        assert torch.equal(past_then, past_now)
