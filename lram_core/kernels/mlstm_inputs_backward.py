"""The backward kernels of :mod:`lram_core.kernels.mlstm_inputs`.

Three: the gradient of the convolution is needed at the three tokens that follow, too, so it is
written down in between; and sums over all tokens, of products of two tiles, take other tiles than a
convolution does. Rows and blocks are as in the forward kernel.
"""

from __future__ import annotations

import triton
import triton.language as tl

from lram_core.kernels.mlstm_inputs_forward import channel_tile, convolve, of_past, same_episode


@triton.jit
def _square(at, channel, inside, kind: tl.constexpr):  # type: ignore[no-untyped-def]
    """Some blocks' weights (block, out, in) as a matrix (out, in) with zeros between them."""
    whole = (channel[:, None] // 4 == channel[None, :] // 4) & inside[:, None]
    return tl.load(at + channel[:, None] * 4 + channel[None, :] % 4, mask=whole, other=0.0).to(kind)


@triton.jit
def _store_square(at, value, channel, inside):  # type: ignore[no-untyped-def]
    whole = (channel[:, None] // 4 == channel[None, :] // 4) & inside[:, None]
    tl.store(at + channel[:, None] * 4 + channel[None, :] % 4, value, mask=whole)


@triton.jit
def _pin(x, lane):  # type: ignore[no-untyped-def]
    """``x`` itself. Without it the compiler works out all that meets a product in its layout."""
    return tl.gather(x, tl.broadcast_to(lane[None, :], x.shape), 1)


@triton.jit
def _folded(x, fold: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sums over the rows that one thread has."""
    return tl.sum(tl.reshape(x, (fold, x.shape[0] // fold, x.shape[1])), axis=0)


@triton.jit
def conv_gradient(  # type: ignore[no-untyped-def]
    dconv_at,
    dq_at,
    dk_at,
    dgates_at,
    u_at,
    past_at,
    segment_at,
    taps_at,
    bias_at,
    mixes_at,
    reach_at,
    dy_at,
    tokens,
    length,
    deep,
    inner: tl.constexpr,
    heads: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    channels: tl.constexpr,
    precision: tl.constexpr,
):
    """Some rows and channels: gradient dy (B, S, inner) of the convolution, before SiLU."""
    size: tl.constexpr = inner // heads
    kind: tl.constexpr = u_at.dtype.element_ty
    channel, inside = channel_tile(tl.program_id(1) * channels, inner, channels)
    lane = tl.arange(0, channels)
    gate = tl.arange(0, padded)
    counted = gate < 2 * heads
    # Places relative to the first row and its sequence are small enough for 32 bits.
    first = tl.program_id(0) * rows
    start = first // length
    row = tl.arange(0, rows)
    real = first + row < tokens
    s = (first + row) % length
    sequence = (first + row) // length - start
    near, carried = same_episode(segment_at, first + row, s, real)
    cell = real[:, None] & inside[None, :]
    u_at += first.to(tl.int64) * (2 * inner)
    dconv_at += first.to(tl.int64) * inner
    dy_at += first.to(tl.int64) * inner
    dgates_at += first.to(tl.int64) * (2 * heads)
    before = start.to(tl.int64) * deep * inner
    if past_at is not None:
        past_at += start.to(tl.int64) * (3 * inner)

    across = channel // size * size * deep + channel % size
    at = (sequence * inner * deep + s * size)[:, None] + across[None, :]
    gates = dgates_at + row[:, None] * (2 * heads) + gate[None, :]
    dgates = tl.load(gates, mask=real[:, None] & counted[None, :], other=0.0)
    weights = reach_at + gate[:, None] * inner + channel[None, :]
    of_y = tl.load(weights, mask=counted[:, None] & inside[None, :], other=0.0).to(kind)
    wq = _square(mixes_at, channel, inside, kind)
    wk = _square(mixes_at + 4 * inner, channel, inside, kind)
    dq = tl.load(dq_at + before + at, mask=cell, other=0.0)
    dk = tl.load(dk_at + before + at, mask=cell, other=0.0)
    dy = tl.dot(dq, wq, input_precision=precision)
    dy = tl.dot(dk, wk, dy, input_precision=precision)
    dy = tl.dot(dgates.to(kind), of_y, dy, input_precision=precision)

    _x, y = convolve(
        *(u_at, past_at, taps_at, bias_at, row, s, sequence, near, carried),
        *(cell, channel, inside, inner),
    )
    sigmoid = 1.0 / (1.0 + tl.exp(-y))
    at = row[:, None] * inner + channel[None, :]
    dy = _pin(dy, lane) + tl.load(dconv_at + at, mask=cell, other=0.0)
    dy *= sigmoid * (1.0 + y * (1.0 - sigmoid))
    tl.store(dy_at + at, dy.to(kind), mask=cell)


@triton.jit
def inputs_gradient(  # type: ignore[no-untyped-def]
    du_at,
    dy_at,
    dv_at,
    dgates_at,
    u_at,
    past_at,
    segment_at,
    taps_at,
    mixes_at,
    reach_at,
    sums_at,
    tokens,
    length,
    deep,
    each,
    inner: tl.constexpr,
    heads: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    channels: tl.constexpr,
    fold: tl.constexpr,
    precision: tl.constexpr,
):
    """Some channels of ``each`` rows, whole sequences: a token's input is in four convolutions.

    sums (programs along the rows, 5, inner): gradients of the taps and of the bias.
    """
    size: tl.constexpr = inner // heads
    kind: tl.constexpr = u_at.dtype.element_ty
    channel, inside = channel_tile(tl.program_id(0) * channels, inner, channels)
    lane = tl.arange(0, channels)
    gate = tl.arange(0, padded)
    counted = gate < 2 * heads
    # Places relative to the first row, which begins a sequence, are small enough for 32 bits.
    begin = tl.program_id(1) * each
    end = tl.minimum(each, tokens - begin)
    u_at += begin.to(tl.int64) * (2 * inner)
    du_at += begin.to(tl.int64) * (2 * inner)
    dy_at += begin.to(tl.int64) * inner
    dv_at += (begin // length).to(tl.int64) * deep * inner
    dgates_at += begin.to(tl.int64) * (2 * heads)
    if past_at is not None:
        past_at += (begin // length).to(tl.int64) * (3 * inner)
    segment_at += begin

    wv = _square(mixes_at + 8 * inner, channel, inside, kind)
    weights = reach_at + (2 * heads + gate)[:, None] * inner + channel[None, :]
    of_x = tl.load(weights, mask=counted[:, None] & inside[None, :], other=0.0).to(kind)
    across = channel // size * size * deep + channel % size

    sum_0 = tl.zeros((rows // fold, channels), dtype=tl.float32)
    sum_1 = tl.zeros((rows // fold, channels), dtype=tl.float32)
    sum_2 = tl.zeros((rows // fold, channels), dtype=tl.float32)
    sum_3 = tl.zeros((rows // fold, channels), dtype=tl.float32)
    sum_bias = tl.zeros((rows // fold, channels), dtype=tl.float32)
    for first in range(0, end, rows):
        row = first + tl.arange(0, rows)
        real = row < end
        s = row % length
        sequence = row // length
        cell = real[:, None] & inside[None, :]
        number = tl.load(segment_at + row, mask=real, other=0)

        at = (sequence * inner * deep + s * size)[:, None] + across[None, :]
        gates = dgates_at + row[:, None] * (2 * heads) + gate[None, :]
        dgates = tl.load(gates, mask=real[:, None] & counted[None, :], other=0.0)
        # The large loads follow each other, as the products wait for theirs.
        dv = tl.load(dv_at + at, mask=cell, other=0.0)
        x = tl.load(u_at + row[:, None] * (2 * inner) + channel[None, :], mask=cell, other=0.0)
        at = dy_at + row[:, None] * inner + channel[None, :]
        dy = tl.load(at, mask=cell, other=0.0)
        dx = tl.dot(dv, wv, input_precision=precision)
        dx = tl.dot(dgates.to(kind), of_x, dx, input_precision=precision)

        x = x.to(tl.float32)
        dy = dy.to(tl.float32)
        sum_bias += _folded(dy, fold)
        sum_3 += _folded(dy * x, fold)
        from_y = tl.load(taps_at + 3 * inner + channel, mask=inside, other=0.0)[None, :] * dy
        for tap in tl.static_range(1, 4):
            follows = real & (s + tap < length)
            follows &= tl.load(segment_at + row + tap, mask=follows, other=-1) == number
            later = tl.load(at + tap * inner, mask=follows[:, None] & inside[None, :], other=0.0)
            later = later.to(tl.float32)
            weight = tl.load(taps_at + (3 - tap) * inner + channel, mask=inside, other=0.0)
            from_y += weight[None, :] * later
            shares = later * x
            if past_at is not None:
                carried = real & (number == 0)
                shares += dy * of_past(past_at, s, sequence, carried, channel, inside, inner, tap)
            if tap == 1:
                sum_2 += _folded(shares, fold)
            elif tap == 2:
                sum_1 += _folded(shares, fold)
            else:
                sum_0 += _folded(shares, fold)
        at = du_at + row[:, None] * (2 * inner) + channel[None, :]
        tl.store(at, (from_y + _pin(dx, lane)).to(kind), mask=cell)

    sums_at += tl.program_id(1) * (5 * inner) + channel
    tl.store(sums_at, tl.sum(sum_0, axis=0), mask=inside)
    tl.store(sums_at + inner, tl.sum(sum_1, axis=0), mask=inside)
    tl.store(sums_at + 2 * inner, tl.sum(sum_2, axis=0), mask=inside)
    tl.store(sums_at + 3 * inner, tl.sum(sum_3, axis=0), mask=inside)
    tl.store(sums_at + 4 * inner, tl.sum(sum_bias, axis=0), mask=inside)


@triton.jit
def weights_gradient(  # type: ignore[no-untyped-def]
    conv_at,
    dq_at,
    dk_at,
    dv_at,
    dgates_at,
    u_at,
    sums_at,
    tokens,
    length,
    deep,
    each,
    inner: tl.constexpr,
    heads: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    channels: tl.constexpr,
    precision: tl.constexpr,
):
    """Some channels of ``each`` rows, any.

    sums (programs along the rows, 3 * 4 + 2 * 2 * heads, inner): gradients of the maps, then of
    the gates' weights.
    """
    size: tl.constexpr = inner // heads
    kind: tl.constexpr = u_at.dtype.element_ty
    channel, inside = channel_tile(tl.program_id(0) * channels, inner, channels)
    gate = tl.arange(0, padded)
    counted = gate < 2 * heads
    begin = tl.program_id(1) * each
    end = tl.minimum(each, tokens - begin)
    start = begin // length
    u_at += begin.to(tl.int64) * (2 * inner)
    conv_at += begin.to(tl.int64) * inner
    dgates_at += begin.to(tl.int64) * (2 * heads)
    before = start.to(tl.int64) * deep * inner
    dq_at += before
    dk_at += before
    dv_at += before
    across = channel // size * size * deep + channel % size

    sum_q = tl.zeros((channels, channels), dtype=tl.float32)
    sum_k = tl.zeros((channels, channels), dtype=tl.float32)
    sum_v = tl.zeros((channels, channels), dtype=tl.float32)
    sum_y = tl.zeros((channels, padded), dtype=tl.float32)
    sum_x = tl.zeros((channels, padded), dtype=tl.float32)
    for first in range(0, end, rows):
        row = first + tl.arange(0, rows)
        real = row < end
        cell = real[:, None] & inside[None, :]
        y = tl.load(conv_at + row[:, None] * inner + channel[None, :], mask=cell, other=0.0)
        x = tl.load(u_at + row[:, None] * (2 * inner) + channel[None, :], mask=cell, other=0.0)
        gates = dgates_at + row[:, None] * (2 * heads) + gate[None, :]
        dgates = tl.load(gates, mask=real[:, None] & counted[None, :], other=0.0).to(kind)
        sequence = (begin + row) // length - start
        s = (begin + row) % length
        at = (sequence * inner * deep + s * size)[:, None] + across[None, :]
        dq = tl.load(dq_at + at, mask=cell, other=0.0)
        dk = tl.load(dk_at + at, mask=cell, other=0.0)
        dv = tl.load(dv_at + at, mask=cell, other=0.0)
        sum_q = tl.dot(tl.trans(dq), y, sum_q, input_precision=precision)
        sum_k = tl.dot(tl.trans(dk), y, sum_k, input_precision=precision)
        sum_v = tl.dot(tl.trans(dv), x, sum_v, input_precision=precision)
        sum_y = tl.dot(tl.trans(y), dgates, sum_y, input_precision=precision)
        sum_x = tl.dot(tl.trans(x), dgates, sum_x, input_precision=precision)

    sums_at += tl.program_id(1) * ((12 + 4 * heads) * inner)
    _store_square(sums_at, sum_q, channel, inside)
    _store_square(sums_at + 4 * inner, sum_k, channel, inside)
    _store_square(sums_at + 8 * inner, sum_v, channel, inside)
    at = sums_at + 12 * inner + gate[None, :] * inner + channel[:, None]
    whole = counted[None, :] & inside[:, None]
    tl.store(at, sum_y, mask=whole)
    tl.store(at + 2 * heads * inner, sum_x, mask=whole)
