"""The sLSTM over many tokens as one kernel forward and one backward, for training and prefill.

The recurrence through the output makes tokens wait for each other. In PyTorch each of them is a
dozen launches; here a program owns some sequences of one head and walks through all their tokens.
What a token needs of the one before goes through memory that belongs to the program alone.

The arithmetic is that of :func:`lram_core.slstm.slstm_scan`, in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS = 16  # sequences of a program: the least that a product of tiles takes
_TILE = 64  # units of a head at a time


def scan(
    inputs: Tensor,
    kernel: Tensor,
    state: tuple[Tensor, Tensor, Tensor, Tensor],
    starts: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Advance the memory by S tokens: :func:`lram_core.slstm.slstm_scan`, its state as h, c, n, m.

    Gradients go to everything but the stabiliser m.
    """
    found: tuple[Tensor, Tensor, Tensor, Tensor, Tensor] = _Scan.apply(
        inputs, kernel, *state, starts
    )
    return found


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, kernel: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor,
        starts: Tensor | None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        batch, steps, _, heads, size = inputs.shape
        width = heads * size
        inputs, kernel = inputs.contiguous(), kernel.contiguous()
        starts = None if starts is None else starts.contiguous()
        # One place more than there are tokens: the first is the state before them.
        every = inputs.new_empty(4, batch, steps + 1, width)
        for kept, first in zip(every, (h, c, n, m), strict=True):
            kept[:, 0] = first
        gates = torch.empty_like(inputs)
        _forward[(heads, triton.cdiv(batch, _ROWS))](
            *(inputs, kernel, starts, *every, gates, batch, steps),
            **_shape(heads, size),
        )
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(kernel, starts, every, gates)
        return every[0, :, 1:].contiguous(), *(kept[:, -1].contiguous() for kept in every)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        kernel, starts, every, gates = ctx.saved_tensors
        batch, steps, _, heads, size = gates.shape
        shape = every[0, :, 0].shape
        read, *last = grads[:4]
        if read is None:
            read = every.new_zeros(batch, steps, shape[-1])
        carried = torch.stack([every.new_zeros(shape) if g is None else g for g in last])
        inner = torch.empty_like(gates)
        _backward[(heads, triton.cdiv(batch, _ROWS))](
            *(read.contiguous(), kernel, starts, *every[1:], gates, inner, *carried),
            *(batch, steps),
            **_shape(heads, size),
            num_warps=8 if size > _TILE // 2 else 4,
        )
        before = every[0, :, :-1]
        if starts is not None:
            before = before.masked_fill(starts.unsqueeze(-1), 0.0)
        before = before.unflatten(-1, (heads, size))
        into = torch.einsum("bsghu,bshk->hguk", inner, before).flatten(1, 2)
        return inner, into, *carried, None, None


def _shape(heads: int, size: int) -> dict[str, Any]:
    exact = torch.get_float32_matmul_precision() == "highest"
    return {
        "heads": heads,
        "size": size,
        "rows": _ROWS,
        "tile": min(_TILE, max(16, triton.next_power_of_2(size))),
        "precision": "ieee" if exact else "tf32",
        "num_stages": 2,  # of four tiles each; three do not fit into shared memory
    }


@triton.jit
def _log_sigmoid(x):  # type: ignore[no-untyped-def]
    return tl.minimum(x, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    inputs_at,
    kernel_at,
    starts_at,
    h_at,
    c_at,
    n_at,
    m_at,
    gates_at,
    batch,
    steps,
    heads: tl.constexpr,
    size: tl.constexpr,
    rows: tl.constexpr,
    tile: tl.constexpr,
    precision: tl.constexpr,
):
    head = tl.program_id(0)
    row = (tl.program_id(1) * rows + tl.arange(0, rows)).to(tl.int64)
    real = row < batch
    width = heads * size
    square = size * size
    for t in range(steps):
        goes_on = real
        if starts_at is not None:
            goes_on = real & (tl.load(starts_at + row * steps + t, mask=real, other=1) == 0)
        before = ((row * (steps + 1) + t) * width + head * size)[:, None]
        gate = ((row * steps + t) * 4 * width + head * size)[:, None]
        for first in range(0, size, tile):
            unit = (first + tl.arange(0, tile))[None, :]
            cell = real[:, None] & (unit < size)
            at = inputs_at + gate + unit
            i = tl.load(at, mask=cell, other=0.0)
            f = tl.load(at + width, mask=cell, other=0.0)
            z = tl.load(at + 2 * width, mask=cell, other=0.0)
            o = tl.load(at + 3 * width, mask=cell, other=0.0)
            for other in range(0, size, tile):
                source = other + tl.arange(0, tile)
                known = goes_on[:, None] & (source < size)[None, :]
                h = tl.load(h_at + before + source[None, :], mask=known, other=0.0)
                weight = kernel_at + head * 4 * square + unit * size + source[:, None]
                whole = (source < size)[:, None] & (unit < size)
                w = tl.load(weight, mask=whole, other=0.0)
                i += tl.dot(h, w, input_precision=precision)
                w = tl.load(weight + square, mask=whole, other=0.0)
                f += tl.dot(h, w, input_precision=precision)
                w = tl.load(weight + 2 * square, mask=whole, other=0.0)
                z += tl.dot(h, w, input_precision=precision)
                w = tl.load(weight + 3 * square, mask=whole, other=0.0)
                o += tl.dot(h, w, input_precision=precision)
            going = goes_on[:, None] & (unit < size)
            c = tl.load(c_at + before + unit, mask=going, other=0.0)
            n = tl.load(n_at + before + unit, mask=going, other=0.0)
            m = tl.load(m_at + before + unit, mask=cell, other=0.0)
            # An empty memory has no scale to keep: the first input sets it.
            carried = tl.where(n == 0.0, float("-inf"), m + _log_sigmoid(f))
            m = tl.maximum(i, carried)
            keep = tl.exp(carried - m)
            write = tl.exp(i - m)
            c = write * (2.0 * tl.sigmoid(2.0 * z) - 1.0) + keep * c
            n = write + keep * n
            now = before + width + unit
            tl.store(h_at + now, tl.sigmoid(o) * c / tl.where(cell, n, 1.0), mask=cell)
            tl.store(c_at + now, c, mask=cell)
            tl.store(n_at + now, n, mask=cell)
            tl.store(m_at + now, m, mask=cell)
            at = gates_at + gate + unit
            tl.store(at, i, mask=cell)
            tl.store(at + width, f, mask=cell)
            tl.store(at + 2 * width, z, mask=cell)
            tl.store(at + 3 * width, o, mask=cell)
        # The next token reads what all threads of the program have written.
        tl.debug_barrier()


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    read_at,
    kernel_at,
    starts_at,
    c_at,
    n_at,
    m_at,
    gates_at,
    inner_at,
    dh_at,
    dc_at,
    dn_at,
    batch,
    steps,
    heads: tl.constexpr,
    size: tl.constexpr,
    rows: tl.constexpr,
    tile: tl.constexpr,
    precision: tl.constexpr,
):
    head = tl.program_id(0)
    row = (tl.program_id(1) * rows + tl.arange(0, rows)).to(tl.int64)
    real = row < batch
    width = heads * size
    square = size * size
    own = (row * width + head * size)[:, None]
    for back in range(steps):
        t = steps - 1 - back
        goes_on = real
        if starts_at is not None:
            goes_on = real & (tl.load(starts_at + row * steps + t, mask=real, other=1) == 0)
        before = ((row * (steps + 1) + t) * width + head * size)[:, None]
        gate = ((row * steps + t) * 4 * width + head * size)[:, None]
        read = ((row * steps + t) * width + head * size)[:, None]
        for first in range(0, size, tile):
            unit = (first + tl.arange(0, tile))[None, :]
            cell = real[:, None] & (unit < size)
            going = goes_on[:, None] & (unit < size)
            at = gates_at + gate + unit
            i = tl.load(at, mask=cell, other=0.0)
            f = tl.load(at + width, mask=cell, other=0.0)
            z = tl.load(at + 2 * width, mask=cell, other=0.0)
            o = tl.load(at + 3 * width, mask=cell, other=0.0)
            c_old = tl.load(c_at + before + unit, mask=going, other=0.0)
            n_old = tl.load(n_at + before + unit, mask=going, other=0.0)
            m_old = tl.load(m_at + before + unit, mask=cell, other=0.0)
            now = before + width + unit
            c = tl.load(c_at + now, mask=cell, other=0.0)
            n = tl.load(n_at + now, mask=cell, other=1.0)
            m = tl.load(m_at + now, mask=cell, other=0.0)
            keep = tl.where(n_old == 0.0, 0.0, tl.exp(m_old + _log_sigmoid(f) - m))
            write = tl.exp(i - m)
            tanh = 2.0 * tl.sigmoid(2.0 * z) - 1.0
            opened = tl.sigmoid(o)

            dh = tl.load(read_at + read + unit, mask=cell, other=0.0)
            dh += tl.load(dh_at + own + unit, mask=cell, other=0.0)
            dc = tl.load(dc_at + own + unit, mask=cell, other=0.0) + dh * opened / n
            dn = tl.load(dn_at + own + unit, mask=cell, other=0.0) - dh * opened * c / (n * n)
            at = inner_at + gate + unit
            tl.store(at, (dc * tanh + dn) * write, mask=cell)
            tl.store(
                at + width, (dc * c_old + dn * n_old) * keep * (1.0 - tl.sigmoid(f)), mask=cell
            )
            tl.store(at + 2 * width, dc * write * (1.0 - tanh * tanh), mask=cell)
            tl.store(at + 3 * width, dh * c / n * opened * (1.0 - opened), mask=cell)
            tl.store(dc_at + own + unit, tl.where(going, dc * keep, 0.0), mask=cell)
            tl.store(dn_at + own + unit, tl.where(going, dn * keep, 0.0), mask=cell)
        tl.debug_barrier()
        # What the outputs of the token before get through the gates of this one.
        for first in range(0, size, tile):
            unit = (first + tl.arange(0, tile))[None, :]
            total = tl.zeros((rows, tile), dtype=tl.float32)
            for other in range(0, 4 * size, tile):
                source = other + tl.arange(0, tile)
                into = gate + (source // size * width + source % size)[None, :]
                known = real[:, None] & (source < 4 * size)[None, :]
                inner = tl.load(inner_at + into, mask=known, other=0.0)
                weight = kernel_at + head * 4 * square + source[:, None] * size + unit
                whole = (source < 4 * size)[:, None] & (unit < size)
                w = tl.load(weight, mask=whole, other=0.0)
                total += tl.dot(inner, w, input_precision=precision)
            going = goes_on[:, None] & (unit < size)
            mask = real[:, None] & (unit < size)
            tl.store(dh_at + own + unit, tl.where(going, total, 0.0), mask=mask)
        tl.debug_barrier()
