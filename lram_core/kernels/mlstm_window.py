"""The mLSTM over a window of tokens, for training and prefill.

What the tokens of a window read of each other is two products, which are PyTorch's, with a table
of weights between them. All that happens to that table, S x S for every head, is one kernel each
way. The arithmetic is that of :func:`lram_core.mlstm.mlstm_chunk`: gates, weights and normaliser in
float32, the products in the type of queries, keys and values.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import register_flop_formula

from lram_core.kernels.mlstm_window_backward import window_backward
from lram_core.kernels.mlstm_window_forward import window_forward
from lram_core.mlstm import EPS, CellState, next_state, written_weights

MAX_TOKENS = 256
_VECTOR = 8  # bfloat16 values of one load


class Tiles(NamedTuple):
    """Rows of a table that a program handles at a time, and its warps."""

    rows: int
    warps: int


FORWARD = Tiles(rows=8, warps=2)
BACKWARD = Tiles(rows=8, warps=1)


def mlstm_window(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    state: CellState | None,
    segment: Tensor | None = None,
    want_state: bool = True,
) -> tuple[Tensor, CellState | None]:
    """As :func:`lram_core.mlstm.mlstm_chunk`, for up to MAX_TOKENS tokens.

    q, k, v are of one type, bfloat16 or float32, and so are the reads; gates are float32. q, k, v
    may have rows of zeros after the last token, as products of a multiple of eight rows are much
    faster; the reads have them, too.
    """
    exact = input_gate.dtype
    decay = torch.cumsum(F.logsigmoid(forget_gate), dim=-1)
    log_inter = decay if state is None else decay + state.m.unsqueeze(-1)
    if segment is not None:
        log_inter = log_inter.masked_fill((segment > 0).unsqueeze(1), -math.inf)
    overlap = None
    if state is not None:
        query = q.to(exact)
        overlap = (query @ state.n.unsqueeze(-1)).squeeze(-1)
    reads, share, m, *_ = _window(q, k, v, decay, input_gate, log_inter, overlap, segment)
    if state is not None:
        reads = (reads + share.unsqueeze(-1) * (query @ state.C)).to(q.dtype)
    if not want_state:
        return reads, None
    m = m.detach()
    written = written_weights(decay, input_gate, m, segment)
    k, v = (x[:, :, : decay.shape[-1]].to(exact) for x in (k, v))
    return reads, next_state(written, k, v, log_inter, m, state)


@torch.library.custom_op("lram::mlstm_window", mutates_args=())
def _window(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    input_gate: Tensor,
    log_inter: Tensor,
    overlap: Tensor | None,
    segment: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return reads, the old state's share in them, stabilisers, and what the gradient needs.

    overlap: of queries and the old normaliser (B, NH, P), P being the rows of ``q``; None for an
    empty memory. The share has that shape, too.
    """
    batch, heads, deep, size = q.shape
    q, k, v = (x.contiguous().flatten(0, 1) for x in (q, k, v))
    scores = torch.bmm(q, k.transpose(1, 2))
    table, share, m, total = _outputs(scores, decay)
    window_forward[(batch * heads, triton.cdiv(deep, FORWARD.rows))](
        *(scores, decay.contiguous(), input_gate.contiguous(), log_inter.contiguous()),
        *(_contiguous(overlap), _contiguous(segment), table, share, m, total),
        **_sizes(decay, deep, size, FORWARD),
    )
    return torch.bmm(table, v).view(batch, heads, deep, size), share, m, total, scores, table


def _outputs(scores: Tensor, decay: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    m, total = (decay.new_empty(decay.shape) for _ in range(2))
    share = decay.new_empty(*decay.shape[:2], scores.shape[1])
    return torch.empty_like(scores), share, m, total


@_window.register_fake
def _(q, k, v, decay, input_gate, log_inter, overlap, segment):  # type: ignore[no-untyped-def]
    scores = q.new_empty(q.shape[:2].numel(), q.shape[2], q.shape[2])
    table, share, m, total = _outputs(scores, decay)
    return q.new_empty(q.shape), share, m, total, scores, table


@register_flop_formula(torch.ops.lram.mlstm_window)
def _flops(q, k, v, decay, *_, out_shape=None, **__) -> int:  # type: ignore[no-untyped-def]
    batch, heads, length = decay
    return int(4 * batch * heads * length * length * q[-1])


@torch.library.custom_op("lram::mlstm_window_backward", mutates_args=())
def _gradient(
    dreads: Tensor,
    dshare: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    decay: Tensor,
    input_gate: Tensor,
    log_inter: Tensor,
    overlap: Tensor | None,
    segment: Tensor | None,
    m: Tensor,
    total: Tensor,
    scores: Tensor,
    table: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of q, k, v; of decay and log_inter, of the input gate; of overlap."""
    shape = q.shape
    q, k, v, dreads = (x.contiguous().flatten(0, 1) for x in (q, k, v, dreads))
    dtable = torch.bmm(dreads, v.transpose(1, 2))
    dscores = torch.empty_like(dtable)
    rows, dinter = torch.empty_like(m), torch.empty_like(m)
    blocks = triton.cdiv(shape[2], BACKWARD.rows)
    columns = m.new_empty(*m.shape[:2], blocks, m.shape[2])
    doverlap = torch.empty_like(dshare, memory_format=torch.contiguous_format)
    window_backward[(len(q), blocks)](
        *(scores, dtable, decay.contiguous(), input_gate.contiguous(), log_inter.contiguous()),
        *(_contiguous(overlap), _contiguous(segment), m, total, dshare.contiguous()),
        *(dscores, rows, columns, dinter, doverlap),
        **_sizes(decay, shape[2], shape[3], BACKWARD),
    )
    dq, dk = torch.bmm(dscores, k), torch.bmm(dscores.transpose(1, 2), q)
    dv = torch.bmm(table.transpose(1, 2), dreads)
    columns = columns.sum(2)
    return dq.view(shape), dk.view(shape), dv.view(shape), rows - columns, columns, dinter, doverlap


@_gradient.register_fake
def _(dreads, dshare, q, k, v, decay, input_gate, log_inter, overlap, segment, m, *_):  # type: ignore[no-untyped-def]
    like = (q, k, v, m, m, m, dshare)
    return tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in like)


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs, *output[2:])


def _gradients(ctx, dreads, dshare, *_):  # type: ignore[no-untyped-def]
    given = ctx.saved_tensors[6] is not None
    if dshare is None:
        dshare = dreads.new_zeros(dreads.shape[:-1], dtype=torch.float32)
    dq, dk, dv, ddecay, dinput, dinter, doverlap = _gradient(dreads, dshare, *ctx.saved_tensors)
    return dq, dk, dv, ddecay, dinput, dinter, doverlap if given else None, None


_window.register_autograd(_gradients, setup_context=_save)


def _contiguous(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _sizes(decay: Tensor, deep: int, size: int, tiles: Tiles) -> dict[str, int | float]:
    unit = math.gcd(deep, _VECTOR)
    return {
        "length": decay.shape[2],
        "units": deep // unit,
        "heads": decay.shape[1],
        "unit": unit,
        "rows": tiles.rows,
        "num_warps": tiles.warps,
        "columns": max(16, triton.next_power_of_2(deep)),
        "scale": 1 / math.sqrt(size),
        "eps": EPS,
    }
