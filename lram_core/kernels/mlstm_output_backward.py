"""The backward kernel of :mod:`lram_core.kernels.mlstm_output`; channels as in the forward one."""

from __future__ import annotations

import triton
import triton.language as tl

from lram_core.kernels.mlstm_output_forward import lanes, load, place_of


@triton.jit
def _gate(  # type: ignore[no-untyped-def]
    x,
    row,
    cell,
    channel,
    inside,
    dout_at,
    norm_at,
    skip_at,
    conv_at,
    u_at,
    dconv_at,
    du_at,
    inner: tl.constexpr,
):
    """Gradients of skip connection and output gate for some channels.

    Returns those of the normalised reads, and what goes into the sums for norm and skip.
    """
    kind: tl.constexpr = u_at.dtype.element_ty
    weight = 1.0 + tl.load(norm_at + channel, mask=inside, other=0.0)[None, :]
    skip = tl.load(skip_at + channel, mask=inside, other=0.0)[None, :]
    at = row.to(tl.int64)[:, None] * inner + channel[None, :]
    gate_at = row.to(tl.int64)[:, None] * (2 * inner) + inner + channel[None, :]
    z = load(u_at + gate_at, cell)
    sigmoid = 1.0 / (1.0 + tl.exp(-z))
    conv = load(conv_at + at, cell)
    dout = load(dout_at + at, cell)
    dz = dout * (x * weight + skip * conv) * sigmoid * (1.0 + z * (1.0 - sigmoid))
    tl.store(du_at + gate_at, dz.to(kind), mask=cell)
    dh = dout * z * sigmoid
    tl.store(dconv_at + at, (dh * skip).to(kind), mask=cell)
    return dh * weight, dh * x, dh * conv


@triton.jit
def _store_sums(at, sum_norm, sum_skip, channel, inside, inner: tl.constexpr):  # type: ignore[no-untyped-def]
    tl.store(at + channel, tl.sum(sum_norm, axis=0), mask=inside)
    tl.store(at + inner + channel, tl.sum(sum_skip, axis=0), mask=inside)


@triton.jit
def output_backward(  # type: ignore[no-untyped-def]
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
    main: tl.constexpr,
    rest: tl.constexpr,
    rows: tl.constexpr,
    eps: tl.constexpr,
):
    """One head of ``each`` rows."""
    inner: tl.constexpr = heads * size
    kind: tl.constexpr = dreads_at.dtype.element_ty
    head = tl.program_id(1)
    lane, inside = lanes(0, size, main)
    channel = head * size + lane
    sum_norm = tl.zeros((rows, main), dtype=tl.float32)
    sum_skip = tl.zeros((rows, main), dtype=tl.float32)
    if rest:
        lane_2, inside_2 = lanes(main, size, rest)
        channel_2 = head * size + lane_2
        sum_norm_2 = tl.zeros((rows, rest), dtype=tl.float32)
        sum_skip_2 = tl.zeros((rows, rest), dtype=tl.float32)
    begin = tl.program_id(0) * each
    for start in range(begin, tl.minimum(begin + each, tokens), rows):
        row = start + tl.arange(0, rows)
        real = (row < tokens)[:, None]
        cell = real & inside[None, :]
        read_at = place_of(row, lane, length, deep, head, heads, size)
        x = load(reads_at + read_at, cell)
        total = tl.sum(x, axis=1)
        if rest:
            cell_2 = real & inside_2[None, :]
            read_at_2 = place_of(row, lane_2, length, deep, head, heads, size)
            x_2 = load(reads_at + read_at_2, cell_2)
            total += tl.sum(x_2, axis=1)
        x = tl.where(cell, x - total[:, None] / size, 0.0)
        square = tl.sum(x * x, axis=1)
        if rest:
            x_2 = tl.where(cell_2, x_2 - total[:, None] / size, 0.0)
            square += tl.sum(x_2 * x_2, axis=1)
        scale = (1.0 / tl.sqrt(square / size + eps))[:, None]
        x *= scale

        dx, of_norm, of_skip = _gate(
            *(x, row, cell, channel, inside, dout_at, norm_at, skip_at, conv_at, u_at),
            *(dconv_at, du_at, inner),
        )
        sum_norm += of_norm
        sum_skip += of_skip
        mean = tl.sum(dx, axis=1)
        along = tl.sum(dx * x, axis=1)
        if rest:
            x_2 *= scale
            dx_2, of_norm_2, of_skip_2 = _gate(
                *(x_2, row, cell_2, channel_2, inside_2, dout_at, norm_at, skip_at, conv_at, u_at),
                *(dconv_at, du_at, inner),
            )
            sum_norm_2 += of_norm_2
            sum_skip_2 += of_skip_2
            mean += tl.sum(dx_2, axis=1)
            along += tl.sum(dx_2 * x_2, axis=1)
        dx = (dx - mean[:, None] / size - x * (along[:, None] / size)) * scale
        tl.store(dreads_at + read_at, dx.to(kind), mask=cell)
        if rest:
            dx_2 = (dx_2 - mean[:, None] / size - x_2 * (along[:, None] / size)) * scale
            tl.store(dreads_at + read_at_2, dx_2.to(kind), mask=cell_2)
    sums_at += tl.program_id(0) * (2 * inner)
    _store_sums(sums_at, sum_norm, sum_skip, channel, inside, inner)
    if rest:
        _store_sums(sums_at, sum_norm_2, sum_skip_2, channel_2, inside_2, inner)
