"""A few rows times a large weight matrix, as fast as the matrix can be read.

A program has some outputs and reads their weights, all of the inner dimension, in loads that do
not wait for one another: what counts is the bytes on their way at a time, and those that the
programs of a multiprocessor ask for are more than latency times bandwidth. What little there is to
do before and after the product is done by the same programs, as a launch costs as much as the
product of a small model.
"""

# mypy: disable-error-code="assignment, var-annotated"
# Tuples grow in a kernel's unrolled loops.

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lram_core.kernels import early
from lram_core.kernels.early import wait

MAX_ROWS = 4
"""From more rows on tensor cores are the faster ones."""
_PROGRAM_BYTES = 20 * 1024  # of weights: about 40 registers a thread
_FEW_BYTES = 2 * 1024  # not worth a program
_PROGRAMS = 256  # what keeps 132 multiprocessors busy
_MOST_OUTPUTS = 8
_FEW_WEIGHTS = 8192  # a program of four warps: 64 a thread
_NORM_EPS = 1e-5  # PyTorch's for a LayerNorm
_WIDEST_NORM = 4096  # channels: the rows are in registers


def few_rows(x: Tensor, weight: Tensor, norm: Tensor | None = None) -> bool:
    """Whether :func:`product` is for these; otherwise matrix products of the library are."""
    rows = x.numel() // x.shape[-1]
    return rows <= MAX_ROWS and (norm is None or weight.shape[1] <= _WIDEST_NORM)


def product(
    x: Tensor,
    weight: Tensor,
    *,
    norm: Tensor | None = None,
    bias: Tensor | None = None,
    residual: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return ``x @ weight.T + bias + residual``, summed in float32.

    Args:
        x: (..., K), float32 or bfloat16, at most MAX_ROWS rows.
        weight: (N, K), float32 or bfloat16.
        norm: (K,): first take the LayerNorm of a row, scaled by 1 + norm, in ``weight``'s dtype.
        bias: (N,) float32. residual: (..., N) float32.
        dtype: of the result.
    """
    outputs, inner = weight.shape
    rows = x.numel() // inner
    assert rows <= MAX_ROWS, f"at most {MAX_ROWS} rows, found {rows}"
    assert weight.is_contiguous()
    y = torch.empty(*x.shape[:-1], outputs, dtype=dtype, device=x.device)
    count = _outputs(outputs, inner * weight.element_size())
    _product[(triton.cdiv(outputs, count),)](
        *(x.contiguous(), weight, norm, bias, None if residual is None else residual.contiguous()),
        y,
        rows=rows,
        padded_rows=triton.next_power_of_2(rows),
        outputs=outputs,
        inner=inner,
        padded=triton.next_power_of_2(inner),
        count=count,
        eps=_NORM_EPS,
        num_warps=8 if count * triton.next_power_of_2(inner) > _FEW_WEIGHTS else 4,
        **early.options(x.device),
    )
    return y


def _outputs(outputs: int, row_bytes: int) -> int:
    """How many a program has: many, but within its bytes and with enough programs."""
    count = _MOST_OUTPUTS
    while count > 1 and (
        count * row_bytes > _PROGRAM_BYTES
        or (count * row_bytes > _FEW_BYTES and outputs < count * _PROGRAMS)
    ):
        count //= 2
    return count


@triton.jit
def _product(  # type: ignore[no-untyped-def]
    x_at,
    weight_at,
    norm_at,
    bias_at,
    residual_at,
    y_at,
    rows: tl.constexpr,
    padded_rows: tl.constexpr,
    outputs: tl.constexpr,
    inner: tl.constexpr,
    padded: tl.constexpr,
    count: tl.constexpr,
    eps: tl.constexpr,
    early: tl.constexpr,
):
    output = tl.program_id(0) * count + tl.arange(0, count)
    known = output < outputs
    k = tl.arange(0, padded)
    inside = k < inner
    # Loads come first: a compiler moves none of them past a sum or a store.
    weights = tl.load(
        weight_at + output[:, None] * inner + k[None, :],
        mask=known[:, None] & inside[None, :],
        other=0.0,
    )
    if norm_at is not None:
        factor = 1.0 + tl.load(norm_at + k, mask=inside, other=0.0)
    wait(early)
    totals = ()
    for r in tl.static_range(rows):
        total = tl.zeros((count,), dtype=tl.float32)
        if bias_at is not None:
            total += tl.load(bias_at + output, mask=known, other=0.0)
        if residual_at is not None:
            total += tl.load(residual_at + r * outputs + output, mask=known, other=0.0)
        totals += (total,)
    if norm_at is not None:
        row = tl.arange(0, padded_rows)
        there = (row < rows)[:, None] & inside[None, :]
        x = tl.load(x_at + row[:, None] * inner + k[None, :], mask=there, other=0.0)
        means = tl.sum(x, axis=1) / inner
        x = tl.where(there, x - means[:, None], 0.0)
        scales = 1.0 / tl.sqrt(tl.sum(x * x, axis=1) / inner + eps)
    inputs = ()
    for r in tl.static_range(rows):
        inputs += (tl.load(x_at + r * inner + k, mask=inside, other=0.0),)
    for r in tl.static_range(rows):
        x = inputs[r].to(tl.float32)
        if norm_at is not None:
            mean = tl.sum(tl.where(row == r, means, 0.0), axis=0)
            scale = tl.sum(tl.where(row == r, scales, 0.0), axis=0)
            x = ((x - mean) * scale * factor).to(weight_at.dtype.element_ty).to(tl.float32)
        y = totals[r] + tl.sum(weights.to(tl.float32) * x[None, :], axis=1)
        tl.store(y_at + r * outputs + output, y.to(y_at.dtype.element_ty), mask=known)
