"""Products with weights, in bfloat16 where a processor has units for that.

A recent processor multiplies bfloat16 matrices several times faster than float32 ones (AMX).
Autocast makes little of it: whatever follows a product computes in bfloat16 too, and converts back
and forth. Here the factors alone are rounded, inside the product; sums and results are float32, so
that nothing around it changes. On a GPU autocast does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.errors import RuntimeUnavailable

# What says how float32 products are made; None in a PyTorch that cannot be told.
_MATMUL: Any = getattr(torch.backends.mkldnn, "matmul", None)
_on = False


def has_bf16_units() -> bool:
    """Whether the processor has units for products of bfloat16 matrices, which PyTorch can use."""
    # There is no public name for it.
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return _MATMUL is not None and asked is not None and bool(asked())


@contextmanager
def bf16_products(on: bool = True) -> Iterator[None]:
    """Round the factors of :func:`linear` on a CPU to bfloat16, in the block and its gradients.

    Raises:
        RuntimeUnavailable: this PyTorch cannot.
    """
    global _on
    if on and _MATMUL is None:
        raise RuntimeUnavailable(
            f"bfloat16 products on a CPU (bf16_cpu) need PyTorch 2.9 or newer, found "
            f"{torch.__version__}"
        )
    before, _on = _on, on
    try:
        yield
    finally:
        _on = before


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x (…, in), weight (out, in), bias (out,) → x @ weightᵀ + bias (…, out)."""
    if _on and x.device.type == "cpu" and x.dtype == torch.float32:
        return _Rounded.apply(x, weight, bias)
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """A linear layer that :func:`bf16_products` speeds up."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


@contextmanager
def _rounding() -> Iterator[None]:
    before = _MATMUL.fp32_precision
    _MATMUL.fp32_precision = "bf16"
    try:
        yield
    finally:
        _MATMUL.fp32_precision = before


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    with _rounding():
        return F.linear(x, weight, bias)


def _gradients(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    rows, inputs = grad.flatten(0, -2), x.flatten(0, -2)
    with _rounding():
        return (rows @ weight).view(x.shape), rows.t() @ inputs


# torch.compile takes operators whole, where it would not see the switch; they cost some 50 µs each.
# Schemas are written out: an older PyTorch cannot read them off postponed annotations.
_product_op = torch.library.custom_op(
    "lram::linear_bf16",
    _product,
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor? bias) -> Tensor",
)
_gradients_op = torch.library.custom_op(
    "lram::linear_bf16_grad",
    _gradients,
    mutates_args=(),
    schema="(Tensor grad, Tensor x, Tensor weight) -> (Tensor, Tensor)",
)


@_product_op.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


@_gradients_op.register_fake
def _(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), torch.empty_like(weight)


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return (_product_op if torch.compiler.is_compiling() else _product)(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradients = _gradients_op if torch.compiler.is_compiling() else _gradients
        of_x, of_weight = gradients(grad, x, weight)
        return of_x, of_weight, grad.flatten(0, -2).sum(0) if ctx.biased else None
