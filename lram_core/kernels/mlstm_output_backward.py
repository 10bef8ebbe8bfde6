"""The backward kernel of :mod:`lram_core.kernels.mlstm_output`; channels as in the forward one."""

from __future__ import annotations

import triton
import triton.language as tl

from lram_core.kernels.mlstm_output_forward import lanes, place_of


@triton.jit
def _read(  # type: ignore[no-untyped-def]
    row, cell, channel, read_at, reads_at, dout_at, conv_at, u_at, inner: tl.constexpr
):
    """All that is read of some channels; as it is, as in float32 it takes twice the registers."""
    at = row.to(tl.int64)[:, None] * inner + channel[None, :]
    gate_at = row.to(tl.int64)[:, None] * (2 * inner) + inner + channel[None, :]
    x = tl.load(reads_at + read_at, mask=cell, other=0.0)
    z = tl.load(u_at + gate_at, mask=cell, other=0.0)
    conv = tl.load(conv_at + at, mask=cell, other=0.0)
    dout = tl.load(dout_at + at, mask=cell, other=0.0)
    return at, gate_at, x, z, conv, dout


@triton.jit
def _gate(  # type: ignore[no-untyped-def]
    x,
    z,
    conv,
    dout,
    at,
    gate_at,
    cell,
    channel,
    norm_at,
    skip_at,
    dconv_at,
    du_at,
):
    """Gradients of skip connection and output gate for some channels.

    Returns those of the normalised reads, and what goes into the sums for norm and skip.
    """
    kind: tl.constexpr = du_at.dtype.element_ty
    # By the row, or they have a layout of their own, which what meets them is converted into.
    of_channel = tl.broadcast_to(channel[None, :], x.shape)
    weight = 1.0 + tl.load(norm_at + of_channel, mask=cell, other=0.0)
    skip = tl.load(skip_at + of_channel, mask=cell, other=0.0)
    z = z.to(tl.float32)
    conv = conv.to(tl.float32)
    dout = dout.to(tl.float32)
    sigmoid = 1.0 / (1.0 + tl.exp(-z))
    dz = dout * (x * weight + skip * conv) * sigmoid * (1.0 + z * (1.0 - sigmoid))
    tl.store(du_at + gate_at, dz.to(kind), mask=cell)
    dh = dout * z * sigmoid
    tl.store(dconv_at + at, (dh * skip).to(kind), mask=cell)
    return dh * weight, dh * x, dh * conv


@triton.jit
def _of_rows(x):  # type: ignore[no-untyped-def]
    """Sums over each row. Of a single row a scalar: one has no layout to bring two parts into."""
    total = tl.sum(x) if x.shape[0] == 1 else tl.sum(x, axis=1)[:, None]
    return total


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
        # Every load before the first sum over a row: then their latencies are one.
        at, gate_at, x, z, conv, dout = _read(
            *(row, cell, channel, read_at, reads_at, dout_at, conv_at, u_at, inner)
        )
        if rest:
            cell_2 = real & inside_2[None, :]
            read_at_2 = place_of(row, lane_2, length, deep, head, heads, size)
            at_2, gate_at_2, x_2, z_2, conv_2, dout_2 = _read(
                *(row, cell_2, channel_2, read_at_2, reads_at, dout_at, conv_at, u_at, inner)
            )
        x = x.to(tl.float32)
        total = _of_rows(x)
        if rest:
            x_2 = x_2.to(tl.float32)
            total += _of_rows(x_2)
        x = tl.where(cell, x - total / size, 0.0)
        square = _of_rows(x * x)
        if rest:
            x_2 = tl.where(cell_2, x_2 - total / size, 0.0)
            square += _of_rows(x_2 * x_2)
        scale = 1.0 / tl.sqrt(square / size + eps)
        x *= scale

        dx, of_norm, of_skip = _gate(
            *(x, z, conv, dout, at, gate_at, cell, channel),
            *(norm_at, skip_at, dconv_at, du_at),
        )
        sum_norm += of_norm
        sum_skip += of_skip
        mean = _of_rows(dx)
        along = _of_rows(dx * x)
        if rest:
            x_2 *= scale
            dx_2, of_norm_2, of_skip_2 = _gate(
                *(x_2, z_2, conv_2, dout_2, at_2, gate_at_2, cell_2, channel_2),
                *(norm_at, skip_at, dconv_at, du_at),
            )
            sum_norm_2 += of_norm_2
            sum_skip_2 += of_skip_2
            mean += _of_rows(dx_2)
            along += _of_rows(dx_2 * x_2)
        dx = (dx - mean / size - x * (along / size)) * scale
        tl.store(dreads_at + read_at, dx.to(kind), mask=cell)
        if rest:
            dx_2 = (dx_2 - mean / size - x_2 * (along / size)) * scale
            tl.store(dreads_at + read_at_2, dx_2.to(kind), mask=cell_2)
    sums_at += tl.program_id(0) * (2 * inner)
    _store_sums(sums_at, sum_norm, sum_skip, channel, inside, inner)
    if rest:
        _store_sums(sums_at, sum_norm_2, sum_skip_2, channel_2, inside_2, inner)
