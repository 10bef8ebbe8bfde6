"""The selective scan of Mamba over the tokens of a window, forward and backward, as two kernels.

A program owns some channels of one sequence and walks over its tokens with their state in
registers. For the backward pass the forward one writes the state before every CHUNK tokens; from
there the states in between are computed again, into registers, once they are needed. Sums over
channels are written by each program and added up afterwards, in a fixed order: the same inputs
give the same gradients, bit for bit.

The arithmetic is that of :func:`lram_core.selective_scan.selective_scan`, in float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 8
# A warp is a program: with 16 values a channel, its lanes are 4 of those times 8 channels, and
# neither sum, over values or over channels, has to leave it.
_WARPS = 1
_CHANNELS = (32, 16, 8)
_ENOUGH_PROGRAMS = 2048


def scan(
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    starts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Advance the state by S tokens and read it at each of them.

    Gradients reach every argument but ``starts``; there are no second derivatives.

    Args:
        x, dt: inputs and step sizes (B, S, D), float32, as is all the rest.
        rates: rates of decay (D, N).
        write, read: (B, S, N), N a power of two.
        state: state before the first token (B, D, N).
        starts: True at the tokens that start an episode (B, S). None: no token does.

    Returns:
        Reads (B, S, D) and the state after the last token.
    """
    inputs = [v.contiguous() for v in (x, dt, rates, write, read, state)]
    keep = torch.is_grad_enabled() and any(v.requires_grad for v in inputs)
    starts = None if starts is None else starts.contiguous()
    y, last, _ = _scan(*inputs, starts, keep)
    return y, last


@torch.library.custom_op("lram::selective_scan", mutates_args=())
def _scan(
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    starts: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return reads, last state and the states before each chunk, none of them unless ``keep``."""
    assert all(v.is_contiguous() for v in (x, dt, rates, write, read, state))
    batch, tokens, width = x.shape
    y, last, kept = _outputs(x, dt, rates, write, read, state, keep)
    channels = _channels(batch, width)
    _forward[(triton.cdiv(width, channels), batch)](
        *(x, dt, rates, write, read, state, starts, y, last, kept),
        tokens,
        width=width,
        states=rates.shape[1],
        channels=channels,
        chunk=CHUNK,
        keep=keep,
        num_warps=_WARPS,
    )
    return y, last, kept


@_scan.register_fake
def _outputs(
    x: Tensor, dt: Tensor, rates: Tensor, write: Tensor, read: Tensor, state: Tensor, *rest: object
) -> tuple[Tensor, Tensor, Tensor]:
    chunks = triton.cdiv(x.shape[1], CHUNK) if rest[-1] else 0
    kept = x.new_empty(x.shape[0], chunks, *rates.shape)
    return torch.empty_like(x), torch.empty_like(state), kept


@torch.library.custom_op("lram::selective_scan_backward", mutates_args=())
def _scan_backward(
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    starts: Tensor | None,
    kept: Tensor,
    dy: Tensor,
    dlast: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, dt, rates, write, read and the first state."""
    batch, tokens, width = x.shape
    channels = _channels(batch, width)
    tiles = triton.cdiv(width, channels)
    dx, ddt, dstate = torch.empty_like(x), torch.empty_like(dt), kept.new_empty(batch, *rates.shape)
    drates = torch.empty_like(dstate)
    dwrite, dread = write.new_empty(2, tiles, *write.shape).unbind(0)
    _backward[(tiles, batch)](
        *(x, dt, rates, write, read, starts, kept),
        *(dy.contiguous(), None if dlast is None else dlast.contiguous()),
        *(dx, ddt, drates, dwrite, dread, dstate),
        tokens,
        width=width,
        states=rates.shape[1],
        channels=channels,
        chunk=CHUNK,
        num_warps=_WARPS,
    )
    return dx, ddt, drates.sum(0), dwrite.sum(0), dread.sum(0), dstate


@_scan_backward.register_fake
def _gradients_like(*inputs: Tensor) -> tuple[Tensor, ...]:
    x, _, rates = inputs[:3]
    return *map(torch.empty_like, inputs[:5]), x.new_empty(x.shape[0], *rates.shape)


def _remember(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    x, dt, rates, write, read, _, starts, _ = inputs
    kept = output[2]
    ctx.save_for_backward(x, dt, rates, write, read, starts, kept)
    ctx.mark_non_differentiable(kept)
    ctx.set_materialize_grads(False)


def _gradients(ctx, dy, dlast, _):  # type: ignore[no-untyped-def]
    x, *rest = ctx.saved_tensors
    if dy is None:
        dy = torch.zeros_like(x)
    return *_scan_backward(x, *rest, dy, dlast), None, None


_scan.register_autograd(_gradients, setup_context=_remember)


def _channels(batch: int, width: int) -> int:
    """The most channels a program that still give a large GPU enough programs."""
    for channels in _CHANNELS:
        if batch * triton.cdiv(width, channels) >= _ENOUGH_PROGRAMS:
            return channels
    return _CHANNELS[-1]


@triton.jit
def _token(  # type: ignore[no-untyped-def]
    x_at, dt_at, write_at, starts_at, row, rates, i, known, here, width, states
):
    """Token i after a row: x, dt, write, decay. One past the last changes nothing: dt is zero."""
    x = tl.load(x_at + i * width, mask=known, other=0.0)
    dt = tl.load(dt_at + i * width, mask=known, other=0.0)
    write = tl.load(write_at + i * states, mask=here, other=0.0)
    decay = tl.exp2(dt[None, :] * rates)
    if starts_at is not None:
        start = tl.load(starts_at + row + i, mask=here, other=0)
        decay = tl.where(start != 0, 0.0, decay)
    return x, dt, write, decay


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    x_at,
    dt_at,
    rates_at,
    write_at,
    read_at,
    state_at,
    starts_at,
    y_at,
    last_at,
    kept_at,
    tokens,
    width: tl.constexpr,
    states: tl.constexpr,
    channels: tl.constexpr,
    chunk: tl.constexpr,
    keep: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * channels + tl.arange(0, channels)
    inside = channel < width
    n = tl.arange(0, states)
    cell = channel[None, :] * states + n[:, None]
    whole = inside[None, :]
    # Powers of two are what the hardware has: exp(v) = 2 ** (v * log2(e)).
    rates = tl.load(rates_at + cell, mask=whole, other=0.0) * 1.4426950408889634
    state = tl.load(state_at + b * width * states + cell, mask=whole, other=0.0)
    chunks = tl.cdiv(tokens, chunk)
    for c in range(chunks):
        first = c * chunk
        row = b * tokens + first
        at = row * width + channel
        small = row * states + n
        if keep:
            tl.store(kept_at + (b * chunks + c) * width * states + cell, state, mask=whole)
        for i in tl.static_range(chunk):
            here = first + i < tokens
            x, dt, write, decay = _token(
                *(x_at + at, dt_at + at, write_at + small, starts_at, row),
                *(rates, i, inside & here, here, width, states),
            )
            read = tl.load(read_at + small + i * states, mask=here, other=0.0)
            state = decay * state + (dt * x)[None, :] * write[:, None]
            y = tl.sum(state * read[:, None], axis=0)
            tl.store(y_at + at + i * width, y, mask=inside & here)
    tl.store(last_at + b * width * states + cell, state, mask=whole)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    x_at,
    dt_at,
    rates_at,
    write_at,
    read_at,
    starts_at,
    kept_at,
    dy_at,
    dlast_at,
    dx_at,
    ddt_at,
    drates_at,
    dwrite_at,
    dread_at,
    dstate_at,
    tokens,
    width: tl.constexpr,
    states: tl.constexpr,
    channels: tl.constexpr,
    chunk: tl.constexpr,
):
    b = tl.program_id(1).to(tl.int64)
    channel = tl.program_id(0) * channels + tl.arange(0, channels)
    inside = channel < width
    n = tl.arange(0, states)
    cell = channel[None, :] * states + n[:, None]
    whole = inside[None, :]
    rates = tl.load(rates_at + cell, mask=whole, other=0.0) * 1.4426950408889634
    drates = tl.zeros((states, channels), dtype=tl.float32)
    # Of the state after the token at hand, from what follows it.
    dstate = tl.zeros((states, channels), dtype=tl.float32)
    if dlast_at is not None:
        dstate = tl.load(dlast_at + b * width * states + cell, mask=whole, other=0.0)
    partial = tl.program_id(0).to(tl.int64) * tl.num_programs(1) * tokens * states
    chunks = tl.cdiv(tokens, chunk)
    for back in range(chunks):
        c = chunks - 1 - back
        first = c * chunk
        row = b * tokens + first
        at = row * width + channel
        small = row * states + n
        state = tl.load(kept_at + (b * chunks + c) * width * states + cell, mask=whole, other=0.0)
        before = (state,)
        for i in tl.static_range(chunk):
            here = first + i < tokens
            x, dt, write, decay = _token(
                *(x_at + at, dt_at + at, write_at + small, starts_at, row),
                *(rates, i, inside & here, here, width, states),
            )
            state = decay * state + (dt * x)[None, :] * write[:, None]
            before += (state,)  # type: ignore[assignment]
        for i in tl.static_range(chunk - 1, -1, -1):
            here = first + i < tokens
            x, dt, write, decay = _token(
                *(x_at + at, dt_at + at, write_at + small, starts_at, row),
                *(rates, i, inside & here, here, width, states),
            )
            dy = tl.load(dy_at + at + i * width, mask=inside & here, other=0.0)
            read = tl.load(read_at + small + i * states, mask=here, other=0.0)
            dread = tl.sum(dy[None, :] * before[i + 1], axis=1)
            dstate += dy[None, :] * read[:, None]
            dwrite = tl.sum(dstate * (dt * x)[None, :], axis=1)
            ddrive = tl.sum(dstate * write[:, None], axis=0)
            dstate *= decay
            dlog = dstate * before[i]
            drates += dlog * dt[None, :]
            ddt = x * ddrive + 0.6931471805599453 * tl.sum(dlog * rates, axis=0)
            tl.store(dx_at + at + i * width, dt * ddrive, mask=inside & here)
            tl.store(ddt_at + at + i * width, ddt, mask=inside & here)
            tl.store(dwrite_at + partial + small + i * states, dwrite, mask=here)
            tl.store(dread_at + partial + small + i * states, dread, mask=here)
    tl.store(drates_at + b * width * states + cell, drates, mask=whole)
    tl.store(dstate_at + b * width * states + cell, dstate, mask=whole)
