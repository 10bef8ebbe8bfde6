"""From the mLSTM's reads to the down-projection: norm, skip and output gate, in one pass each way.

The arithmetic is that of :mod:`lram_core.backbones.mlstm_block`, in float32; the backward pass
makes everything again from what the forward pass read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

_NORM_EPS = 1e-5  # PyTorch's for a LayerNorm


class Tiles(NamedTuple):
    """What a program handles at a time, its warps and the most registers of a thread.

    programs: of the backward kernel, about; more of them make more partial sums.
    """

    values: int
    warps: int
    registers: int | None = None
    programs: int = 0


FORWARD = Tiles(values=2048, warps=4)
BACKWARD = Tiles(values=2048, warps=4, registers=128, programs=1056)


def mlstm_output(
    reads: Tensor, norm_weight: Tensor, skip: Tensor, conv: Tensor, u: Tensor, link: Tensor
) -> Tensor:
    """Make the down-projection's inputs (B, S, E), in the type of ``u``.

    Args:
        reads: of the memory (B, NH, P, DH), float32 or bfloat16; of P rows the first S count.
        norm_weight, skip: (E,) float32, of the norm over each head and of the skip connection.
        conv, link: see :class:`lram_core.kernels.mlstm_inputs.Inputs`.
        u: up-projection (B, S, 2 * E); its second half is read. Its gradient goes to ``link``.
    """
    out: Tensor = _output(reads, norm_weight, skip, conv, u, link)
    return out


def _rows(size: int, tiles: Tiles) -> int:
    return max(1, tiles.values // triton.next_power_of_2(size))


@torch.library.custom_op("lram::mlstm_output", mutates_args=())
def _output(
    reads: Tensor, norm_weight: Tensor, skip: Tensor, conv: Tensor, u: Tensor, link: Tensor
) -> Tensor:
    batch, heads, deep, size = reads.shape
    length = conv.shape[1]
    rows = _rows(size, FORWARD)
    out = u.new_empty(conv.shape)
    _forward[(triton.cdiv(batch * length, rows), heads)](
        *(reads.contiguous(), norm_weight, skip, conv.contiguous(), u.contiguous(), out),
        tokens=batch * length,
        length=length,
        deep=deep,
        heads=heads,
        size=size,
        padded=triton.next_power_of_2(size),
        rows=rows,
        eps=_NORM_EPS,
        num_warps=FORWARD.warps,
        maxnreg=FORWARD.registers,
    )
    return out


@_output.register_fake
def _(reads, norm_weight, skip, conv, u, link):  # type: ignore[no-untyped-def]
    return u.new_empty(conv.shape)


@torch.library.custom_op("lram::mlstm_output_backward", mutates_args=())
def _backward(
    dout: Tensor, reads: Tensor, norm_weight: Tensor, skip: Tensor, conv: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of reads, of both weights (2, E), of conv and of ``u``, its first half empty."""
    batch, heads, deep, size = reads.shape
    length = conv.shape[1]
    rows = _rows(size, BACKWARD)
    tiles = triton.cdiv(batch * length, rows)
    each = rows * triton.cdiv(tiles, max(1, BACKWARD.programs // heads))
    down = triton.cdiv(batch * length, each)
    dreads, dconv, du = _empty(reads, conv, u)
    dreads[:, :, length:] = 0
    sums = u.new_empty(down, 2, heads * size, dtype=torch.float32)
    _backward_kernel[(down, heads)](
        *(dout.contiguous(), reads.contiguous(), norm_weight, skip),
        *(conv.contiguous(), u.contiguous(), dreads, dconv, du, sums),
        tokens=batch * length,
        length=length,
        deep=deep,
        each=each,
        heads=heads,
        size=size,
        padded=triton.next_power_of_2(size),
        rows=rows,
        eps=_NORM_EPS,
        num_warps=BACKWARD.warps,
        maxnreg=BACKWARD.registers,
    )
    return dreads, sums.sum(0), dconv, du


def _empty(*like: Tensor) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in like]


@_backward.register_fake
def _(dout, reads, norm_weight, skip, conv, u):  # type: ignore[no-untyped-def]
    dreads, dconv, du = _empty(reads, conv, u)
    return dreads, u.new_empty(2, conv.shape[-1], dtype=torch.float32), dconv, du


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:-1])


def _gradients(ctx, dout):  # type: ignore[no-untyped-def]
    dreads, dweights, dconv, du = _backward(dout, *ctx.saved_tensors)
    dnorm, dskip = dweights.unbind()
    return dreads, dnorm, dskip, dconv, None, du


_output.register_autograd(_gradients, setup_context=_save)


@triton.jit
def _lanes(size: tl.constexpr, padded: tl.constexpr):  # type: ignore[no-untyped-def]
    """Channels of a head and which there are: all, known to the compiler, where they fit."""
    lane = tl.arange(0, padded)
    inside = lane < size
    if size == padded:
        inside = tl.full((padded,), True, tl.int1)
    return lane, inside


@triton.jit
def _normed(  # type: ignore[no-untyped-def]
    reads_at, row, cell, lane, head, length, deep, heads: tl.constexpr, size: tl.constexpr, eps
):
    """A head's reads, normalised, where they lie, and one over their deviation."""
    place = (row // length * heads + head) * deep + row % length
    at = (place.to(tl.int64) * size)[:, None] + lane[None, :]
    x = tl.load(reads_at + at, mask=cell, other=0.0).to(tl.float32)
    x = tl.where(cell, x - tl.sum(x, axis=1)[:, None] / size, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=1) / size + eps)
    return x * scale[:, None], at, scale


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    reads_at,
    norm_at,
    skip_at,
    conv_at,
    u_at,
    out_at,
    tokens,
    length,
    deep,
    heads: tl.constexpr,
    size: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    eps: tl.constexpr,
):
    inner: tl.constexpr = heads * size
    head = tl.program_id(1)
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    lane, inside = _lanes(size, padded)
    cell = (row < tokens)[:, None] & inside[None, :]
    channel = head * size + lane
    x, _at, _scale = _normed(reads_at, row, cell, lane, head, length, deep, heads, size, eps)
    x *= 1.0 + tl.load(norm_at + channel, mask=inside, other=0.0)[None, :]
    at = row.to(tl.int64)[:, None] * inner + channel[None, :]
    conv = tl.load(conv_at + at, mask=cell, other=0.0).to(tl.float32)
    x += tl.load(skip_at + channel, mask=inside, other=0.0)[None, :] * conv
    z_at = u_at + row.to(tl.int64)[:, None] * (2 * inner) + inner + channel[None, :]
    z = tl.load(z_at, mask=cell, other=0.0).to(tl.float32)
    x *= z / (1.0 + tl.exp(-z))
    tl.store(out_at + at, x.to(out_at.dtype.element_ty), mask=cell)


@triton.jit
def _backward_kernel(  # type: ignore[no-untyped-def]
    dout_at,
    reads_at,
    norm_at,
    skip_at,
    conv_at,
    u_at,
    dreads_at,
    dconv_at,
    du_at,
    sums_at,
    tokens,
    length,
    deep,
    each,
    heads: tl.constexpr,
    size: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    eps: tl.constexpr,
):
    """One head of ``each`` rows."""
    inner: tl.constexpr = heads * size
    kind: tl.constexpr = u_at.dtype.element_ty
    head = tl.program_id(1)
    lane, inside = _lanes(size, padded)
    channel = head * size + lane
    weight = 1.0 + tl.load(norm_at + channel, mask=inside, other=0.0)[None, :]
    skip = tl.load(skip_at + channel, mask=inside, other=0.0)[None, :]
    sum_norm = tl.zeros((rows, padded), dtype=tl.float32)
    sum_skip = tl.zeros((rows, padded), dtype=tl.float32)
    begin = tl.program_id(0) * each
    for start in range(begin, tl.minimum(begin + each, tokens), rows):
        row = start + tl.arange(0, rows)
        cell = (row < tokens)[:, None] & inside[None, :]
        x, read_at, scale = _normed(reads_at, row, cell, lane, head, length, deep, heads, size, eps)
        at = row.to(tl.int64)[:, None] * inner + channel[None, :]
        gate_at = row.to(tl.int64)[:, None] * (2 * inner) + inner + channel[None, :]
        z = tl.load(u_at + gate_at, mask=cell, other=0.0).to(tl.float32)
        sigmoid = 1.0 / (1.0 + tl.exp(-z))
        conv = tl.load(conv_at + at, mask=cell, other=0.0).to(tl.float32)
        dout = tl.load(dout_at + at, mask=cell, other=0.0).to(tl.float32)
        dz = dout * (x * weight + skip * conv) * sigmoid * (1.0 + z * (1.0 - sigmoid))
        tl.store(du_at + gate_at, dz.to(kind), mask=cell)
        dh = dout * z * sigmoid
        tl.store(dconv_at + at, (dh * skip).to(kind), mask=cell)
        sum_skip += dh * conv
        sum_norm += dh * x
        dx = dh * weight
        dx -= tl.sum(dx, axis=1)[:, None] / size + x * (tl.sum(dx * x, axis=1)[:, None] / size)
        dx *= scale[:, None]
        tl.store(dreads_at + read_at, dx.to(dreads_at.dtype.element_ty), mask=cell)
    at = sums_at + tl.program_id(0) * (2 * inner) + channel
    tl.store(at, tl.sum(sum_norm, axis=0), mask=inside)
    tl.store(at + inner, tl.sum(sum_skip, axis=0), mask=inside)
