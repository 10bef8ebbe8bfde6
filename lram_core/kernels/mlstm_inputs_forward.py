"""The forward kernel of :mod:`lram_core.kernels.mlstm_inputs`.

Rows are tokens of all sequences, one after the other; a block is the four neighbouring channels
that the block-diagonal maps mix.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def channel_tile(start, inner: tl.constexpr, channels: tl.constexpr):  # type: ignore[no-untyped-def]
    """Channels of a tile and which there are: all, known to the compiler, where tiles fit."""
    channel = start + tl.arange(0, channels)
    inside = channel < inner
    if inner % channels == 0:
        inside = tl.full((channels,), True, tl.int1)
    return channel, inside


@triton.jit
def same_episode(segment_at, row, s, real):  # type: ignore[no-untyped-def]
    """How many of the three tokens before a row are of its episode, and whether the past is."""
    number = tl.load(segment_at + row, mask=real, other=0)
    near = tl.zeros_like(s)
    for tap in tl.static_range(1, 4):
        older = tl.load(segment_at + row - tap, mask=real & (s >= tap), other=-1)
        near += (older == number).to(tl.int32)
    carried = real & (number == 0)
    return near, carried


@triton.jit
def of_past(past_at, s, sequence, carried, channel, inside, inner: tl.constexpr, tap):  # type: ignore[no-untyped-def]
    """Inputs ``tap`` tokens before each row that are from before the window, else 0."""
    at = past_at + (sequence * 3 + s + 3 - tap)[:, None] * inner + channel[None, :]
    old = (carried & (s < tap))[:, None] & inside[None, :]
    return tl.load(at, mask=old, other=0.0).to(tl.float32)


@triton.jit
def convolve(  # type: ignore[no-untyped-def]
    u_at,
    past_at,
    taps_at,
    bias_at,
    row,
    s,
    sequence,
    near,
    carried,
    cell,
    channel,
    inside,
    inner: tl.constexpr,
):
    """The inputs and their causal convolution, before SiLU."""
    at = u_at + row[:, None] * (2 * inner) + channel[None, :]
    x = tl.load(at, mask=cell, other=0.0).to(tl.float32)
    y = tl.load(bias_at + channel, mask=inside, other=0.0)[None, :]
    y += tl.load(taps_at + 3 * inner + channel, mask=inside, other=0.0)[None, :] * x
    for tap in tl.static_range(1, 4):
        weight = tl.load(taps_at + (3 - tap) * inner + channel, mask=inside, other=0.0)
        here = (near >= tap)[:, None] & inside[None, :]
        older = tl.load(at - tap * 2 * inner, mask=here, other=0.0).to(tl.float32)
        if past_at is not None:
            older += of_past(past_at, s, sequence, carried, channel, inside, inner, tap)
        y += weight[None, :] * older
    return x, y


@triton.jit
def _mixed(a, b, c, d, at, known, blocks: tl.constexpr):  # type: ignore[no-untyped-def]
    """One output of each block from its four inputs; the weights of an input are a row."""
    y = tl.load(at, mask=known, other=0.0)[None, :] * a
    y += tl.load(at + blocks, mask=known, other=0.0)[None, :] * b
    y += tl.load(at + 2 * blocks, mask=known, other=0.0)[None, :] * c
    return y + tl.load(at + 3 * blocks, mask=known, other=0.0)[None, :] * d


@triton.jit
def _mix(  # type: ignore[no-untyped-def]
    x, at, block, known, blocks: tl.constexpr, rows: tl.constexpr, channels: tl.constexpr
):
    """A block-diagonal map, in registers; weights (out, in, block)."""
    even, odd = tl.split(tl.reshape(x, (rows, channels // 4, 2, 2)))
    a, c = tl.split(even)
    b, d = tl.split(odd)
    at += block
    first = _mixed(a, b, c, d, at, known, blocks)
    second = _mixed(a, b, c, d, at + 4 * blocks, known, blocks)
    third = _mixed(a, b, c, d, at + 8 * blocks, known, blocks)
    fourth = _mixed(a, b, c, d, at + 12 * blocks, known, blocks)
    y = tl.join(tl.join(first, third), tl.join(second, fourth))
    return tl.reshape(y, (rows, channels))


@triton.jit
def _keep(x, rows: tl.constexpr, channels: tl.constexpr):  # type: ignore[no-untyped-def]
    """``x`` itself. Without it the compiler works ``x`` out a second time for the product."""
    even, odd = tl.split(tl.reshape(x, (rows, channels // 2, 2)))
    return tl.reshape(tl.join(even, odd), (rows, channels))


@triton.jit
def inputs_forward(  # type: ignore[no-untyped-def]
    u_at,
    past_at,
    segment_at,
    taps_at,
    bias_at,
    mixes_at,
    reach_at,
    conv_at,
    q_at,
    k_at,
    v_at,
    gates_at,
    tokens,
    length,
    deep,
    inner: tl.constexpr,
    heads: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    channels: tl.constexpr,
    span: tl.constexpr,
    precision: tl.constexpr,
):
    """Some rows, ``span`` channels; gates (spans, B, 2 * heads, S) are what these add to them."""
    size: tl.constexpr = inner // heads
    blocks: tl.constexpr = inner // 4
    kind: tl.constexpr = conv_at.dtype.element_ty
    # Places relative to the first row and its sequence are small enough for 32 bits.
    first = tl.program_id(0) * rows
    start = first // length
    row = tl.arange(0, rows)
    real = first + row < tokens
    s = (first + row) % length
    sequence = (first + row) // length - start
    near, carried = same_episode(segment_at, first + row, s, real)
    u_at += first.to(tl.int64) * (2 * inner)
    conv_at += first.to(tl.int64) * inner
    before = start.to(tl.int64) * deep * inner
    q_at += before
    k_at += before
    v_at += before
    gates_at += (tl.program_id(1) * tokens + start * length).to(tl.int64) * (2 * heads)
    if past_at is not None:
        past_at += start.to(tl.int64) * (3 * inner)
    out = sequence * inner * deep + s * size
    gate = tl.arange(0, padded)
    counted = gate < 2 * heads
    total = tl.zeros((rows, padded), dtype=tl.float32)
    for part in range(0, tl.minimum(span, inner - tl.program_id(1) * span), channels):
        channel, inside = channel_tile(tl.program_id(1) * span + part, inner, channels)
        cell = real[:, None] & inside[None, :]
        x, y = convolve(
            *(u_at, past_at, taps_at, bias_at, row, s, sequence, near, carried),
            *(cell, channel, inside, inner),
        )
        y = y / (1.0 + tl.exp(-y))
        tl.store(conv_at + row[:, None] * inner + channel[None, :], y.to(kind), mask=cell)

        across = channel // size * size * deep + channel % size
        at = out[:, None] + across[None, :]
        block, known = channel_tile(
            tl.program_id(1) * (span // 4) + part // 4, blocks, channels // 4
        )
        q = _mix(y, mixes_at, block, known, blocks, rows, channels)
        tl.store(q_at + at, q.to(kind), mask=cell)
        k = _mix(y, mixes_at + 16 * blocks, block, known, blocks, rows, channels)
        tl.store(k_at + at, k.to(kind), mask=cell)
        v = _mix(x, mixes_at + 32 * blocks, block, known, blocks, rows, channels)
        tl.store(v_at + at, v.to(kind), mask=cell)

        weights = reach_at + gate[:, None] * inner + channel[None, :]
        whole = counted[:, None] & inside[None, :]
        of_y = tl.load(weights, mask=whole, other=0.0)
        of_x = tl.load(weights + 2 * heads * inner, mask=whole, other=0.0)
        y = _keep(y, rows, channels)
        x = _keep(x, rows, channels)
        total = tl.dot(y, tl.trans(of_y), total, input_precision=precision)
        total = tl.dot(x, tl.trans(of_x), total, input_precision=precision)
    gates_at += (sequence * (2 * heads) * length + s)[:, None] + gate[None, :] * length
    tl.store(gates_at, total, mask=real[:, None] & counted[None, :])
