"""The forward kernel of :mod:`lram_core.kernels.mlstm_output`.

A head's channels are two parts, of which the second may be empty, see
:func:`lram_core.kernels.mlstm_output.parts`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def lanes(start: tl.constexpr, size: tl.constexpr, width: tl.constexpr):  # type: ignore[no-untyped-def]
    """Channels of a part of a head and which there are: all, known to the compiler, if they fit."""
    lane = start + tl.arange(0, width)
    inside = lane < size
    if start + width <= size:
        inside = tl.full((width,), True, tl.int1)
    return lane, inside


@triton.jit
def load(at, cell):  # type: ignore[no-untyped-def]
    return tl.load(at, mask=cell, other=0.0).to(tl.float32)


@triton.jit
def place_of(row, lane, length, deep, head, heads, size):  # type: ignore[no-untyped-def]
    """Where a head's reads lie."""
    place = (row // length * heads + head) * deep + row % length
    return (place.to(tl.int64) * size)[:, None] + lane[None, :]


@triton.jit
def _out(  # type: ignore[no-untyped-def]
    x, row, cell, channel, inside, norm_at, skip_at, conv_at, u_at, out_at, inner: tl.constexpr
):
    """Skip connection and output gate of some channels, from the normalised reads."""
    x *= 1.0 + tl.load(norm_at + channel, mask=inside, other=0.0)[None, :]
    at = row.to(tl.int64)[:, None] * inner + channel[None, :]
    x += tl.load(skip_at + channel, mask=inside, other=0.0)[None, :] * load(conv_at + at, cell)
    z = load(u_at + row.to(tl.int64)[:, None] * (2 * inner) + inner + channel[None, :], cell)
    x *= z / (1.0 + tl.exp(-z))
    tl.store(out_at + at, x.to(out_at.dtype.element_ty), mask=cell)


@triton.jit
def output_forward(  # type: ignore[no-untyped-def]
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
    main: tl.constexpr,
    rest: tl.constexpr,
    rows: tl.constexpr,
    eps: tl.constexpr,
):
    inner: tl.constexpr = heads * size
    head = tl.program_id(1)
    row = tl.program_id(0) * rows + tl.arange(0, rows)
    real = (row < tokens)[:, None]
    lane, inside = lanes(0, size, main)
    cell = real & inside[None, :]
    x = load(reads_at + place_of(row, lane, length, deep, head, heads, size), cell)
    total = tl.sum(x, axis=1)
    if rest:
        lane_2, inside_2 = lanes(main, size, rest)
        cell_2 = real & inside_2[None, :]
        x_2 = load(reads_at + place_of(row, lane_2, length, deep, head, heads, size), cell_2)
        total += tl.sum(x_2, axis=1)
    x = tl.where(cell, x - total[:, None] / size, 0.0)
    square = tl.sum(x * x, axis=1)
    if rest:
        x_2 = tl.where(cell_2, x_2 - total[:, None] / size, 0.0)
        square += tl.sum(x_2 * x_2, axis=1)
    scale = (1.0 / tl.sqrt(square / size + eps))[:, None]
    _out(
        *(x * scale, row, cell, head * size + lane, inside),
        *(norm_at, skip_at, conv_at, u_at, out_at, inner),
    )
    if rest:
        _out(
            *(x_2 * scale, row, cell_2, head * size + lane_2, inside_2),
            *(norm_at, skip_at, conv_at, u_at, out_at, inner),
        )
