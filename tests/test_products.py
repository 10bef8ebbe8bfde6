"""Products with weights in bfloat16: what is rounded, what is not, and when."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lram_core.backbones import products
from lram_core.backbones.products import Linear, bf16_products, has_bf16_units
from lram_core.errors import RuntimeUnavailable

ROWS, IN, OUT = 48, 96, 64


def rounded(x: Tensor) -> Tensor:
    """As the product takes it: rounded where the processor does, in float64."""
    return (x.bfloat16() if has_bf16_units() else x).double()


@pytest.fixture
def layer() -> Linear:
    torch.manual_seed(0)
    return Linear(IN, OUT)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, ROWS // 4, IN, generator=torch.Generator().manual_seed(1))


def test_factors_are_rounded_and_sums_are_not(layer: Linear, x: Tensor) -> None:
    x.requires_grad_()
    with bf16_products():
        y = layer(x)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    found = [y.detach(), *torch.autograd.grad(y, [x, layer.weight, layer.bias], grad)]
    rows = grad.flatten(0, -2)
    expected = [
        rounded(x) @ rounded(layer.weight).t() + layer.bias.double(),
        rounded(grad) @ rounded(layer.weight),
        rounded(rows).t() @ rounded(x.flatten(0, -2)),
        rows.double().sum(0),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs.detach(), atol=1e-4, rtol=1e-5)


def test_nothing_but_the_block_is_touched(layer: Linear, x: Tensor) -> None:
    weight = layer.weight.detach()
    layer_before, product_before = layer(x), x @ weight.t()
    with bf16_products():
        rounds = not torch.equal(layer(x), layer_before)
        assert torch.equal(x @ weight.t(), product_before)  # of other products, nothing
        with bf16_products(False):
            assert torch.equal(layer(x), layer_before)
    assert rounds == has_bf16_units()
    with pytest.raises(RuntimeError), bf16_products():
        layer(x[..., 1:])
    assert torch.equal(layer(x), layer_before)
    assert torch.equal(x @ weight.t(), product_before)


def test_a_compiled_layer_rounds_too(layer: Linear, x: Tensor) -> None:
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for on in (True, False, True):
        with bf16_products(on):
            y, z = layer(x.requires_grad_()), compiled(x)
            assert torch.equal(y, z)
            for ours, theirs in zip(
                torch.autograd.grad(z.square().sum(), [x, layer.weight]),
                torch.autograd.grad(y.square().sum(), [x, layer.weight]),
                strict=True,
            ):
                assert torch.equal(ours, theirs)


def test_an_older_pytorch_has_none(
    layer: Linear, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_MATMUL", None)
    assert not has_bf16_units()
    needed = pytest.raises(RuntimeUnavailable, match=r"need PyTorch 2\.9 or newer, found")
    with needed, bf16_products():
        layer(x)
    with bf16_products(False):
        layer(x)
