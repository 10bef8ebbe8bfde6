"""The mLSTM over the tokens of a control tick, as one kernel that updates the memory in place.

A program owns some columns of one head's matrix memory: it reads them once, takes the reads of all
tokens from them and writes them back, which is the least traffic there can be. Gates and
normalisers are small; every program of a head works them out for itself.

The arithmetic is that of :func:`lram_core.mlstm.mlstm_chunk`, in float32.
"""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from lram_core.mlstm import EPS, CellState

MAX_TOKENS = 4
_ROWS = 32  # of the memory handled at a time
_COLUMNS = (64, 32, 16)
_ENOUGH_PROGRAMS = 128


class FusedMLSTM:
    """In place of :func:`lram_core.mlstm.mlstm_chunk`, for up to MAX_TOKENS tokens.

    ``state.C`` is overwritten and returned; ``n`` and ``m`` are new tensors, as other programs of
    the head may still read the old ones.

    Args:
        active: (B,) bool, read at each call: where it is False the memory stays as it was, and
            reads, ``n`` and ``m`` are of no meaning. None: all are active.
    """

    def __init__(self, active: Tensor | None = None) -> None:
        self._active = active

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        input_gate: Tensor,
        forget_gate: Tensor,
        state: CellState,
        segment: Tensor | None = None,
    ) -> tuple[Tensor, CellState]:
        batch, heads, tokens, size = q.shape
        assert tokens <= MAX_TOKENS, f"at most {MAX_TOKENS} tokens, found {tokens}"
        assert state.C.is_contiguous()
        assert state.n.is_contiguous()
        assert state.m.is_contiguous()
        q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
        reads = q.new_empty(batch, tokens, heads, size).transpose(1, 2)
        n, m = torch.empty_like(state.n), torch.empty_like(state.m)
        columns = _columns(batch * heads, size)
        _advance[(batch * heads, triton.cdiv(size, columns))](
            *(q, k, v, input_gate, forget_gate, reads),
            *(state.C, state.n, state.m, n, m),
            *(None if segment is None else segment.contiguous(), self._active),
            *(*q.stride()[:3], *k.stride()[:3], *v.stride()[:3]),
            *(*input_gate.stride(), *forget_gate.stride(), *reads.stride()[:3]),
            heads=heads,
            size=size,
            tokens=tokens,
            padded=triton.next_power_of_2(tokens),
            rows=_ROWS,
            columns=columns,
            scale=1 / math.sqrt(size),
            eps=EPS,
        )
        return reads, CellState(C=state.C, n=n, m=m)


def _columns(heads: int, size: int) -> int:
    """The widest tile that still gives a large GPU enough programs."""
    for columns in _COLUMNS:
        if heads * triton.cdiv(size, columns) >= _ENOUGH_PROGRAMS:
            return columns
    return _COLUMNS[-1]


@triton.jit
def _advance(  # type: ignore[no-untyped-def]
    q_at,
    k_at,
    v_at,
    i_at,
    f_at,
    reads_at,
    C_at,
    n_at,
    m_at,
    new_n_at,
    new_m_at,
    segment_at,
    active_at,
    q_b,
    q_h,
    q_s,
    k_b,
    k_h,
    k_s,
    v_b,
    v_h,
    v_s,
    i_b,
    i_h,
    i_s,
    f_b,
    f_h,
    f_s,
    r_b,
    r_h,
    r_s,
    heads: tl.constexpr,
    size: tl.constexpr,
    tokens: tl.constexpr,
    padded: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    scale: tl.constexpr,
    eps: tl.constexpr,
):
    head = tl.program_id(0)
    b = head // heads
    h = head % heads
    tile = tl.program_id(1)
    token = tl.arange(0, padded)
    real = token < tokens
    column = tile * columns + tl.arange(0, columns)
    inside = column < size

    # What each token, and the old state, weigh in each read and in the new state.
    i = tl.load(i_at + b * i_b + h * i_h + token * i_s, mask=real, other=0.0)
    f = tl.load(f_at + b * f_b + h * f_h + token * f_s, mask=real, other=0.0)
    old_m = tl.load(m_at + head)
    # log(sigmoid(f)) with log1p(x) = log(1 + x) + what rounding 1 + x lost: gates near 1 would
    # otherwise drift over an episode.
    x = tl.exp(-tl.abs(f))
    log_f = tl.minimum(f, 0.0) - (tl.log(1.0 + x) - ((1.0 + x) - 1.0 - x) / (1.0 + x))
    visible = token[:, None] >= token[None, :]
    decay = tl.sum(tl.where(visible, log_f[None, :], 0.0), axis=1)
    log_inter = decay + old_m
    if segment_at is not None:
        segment = tl.load(segment_at + b * tokens + token, mask=real, other=-1)
        visible = visible & (segment[:, None] == segment[None, :])
        log_inter = tl.where(segment > 0, float("-inf"), log_inter)
    log_intra = decay[:, None] - decay[None, :] + i[None, :]
    log_intra = tl.where(visible, log_intra, float("-inf"))
    m = tl.maximum(tl.max(log_intra, axis=1), log_inter)
    inter = tl.exp(log_inter - m)
    intra = tl.exp(log_intra - m[:, None])
    last = token == tokens - 1
    kept = tl.sum(tl.where(last, inter, 0.0), axis=0)
    written = tl.sum(tl.where(last[:, None], intra, 0.0), axis=0)

    active = True
    if active_at is not None:
        active = tl.load(active_at + b) != 0

    cell = real[:, None] & inside[None, :]
    v = tl.load(
        v_at + b * v_b + h * v_h + token[:, None] * v_s + column[None, :], mask=cell, other=0.0
    )
    # Summed over the rows after the loop: a sum takes a barrier.
    memories = tl.zeros((padded, rows, columns), dtype=tl.float32)
    scores = tl.zeros((padded, padded, rows), dtype=tl.float32)
    overlaps = tl.zeros((padded, rows), dtype=tl.float32)
    for start in range(0, size, rows):
        row = start + tl.arange(0, rows)
        known = row < size
        here = real[:, None] & known[None, :]
        q = tl.load(
            q_at + b * q_b + h * q_h + token[:, None] * q_s + row[None, :], mask=here, other=0.0
        )
        k = tl.load(
            k_at + b * k_b + h * k_h + token[:, None] * k_s + row[None, :], mask=here, other=0.0
        )
        k = k * scale
        n = tl.load(n_at + head * size + row, mask=known, other=0.0)
        block = C_at + head.to(tl.int64) * size * size + row[:, None] * size + column[None, :]
        whole = known[:, None] & inside[None, :]
        C = tl.load(block, mask=whole, other=0.0)
        memories += q[:, :, None] * C[None, :, :]
        scores += q[:, None, :] * k[None, :, :]
        overlaps += q * n[None, :]
        share = written[:, None] * k
        C = kept * C + tl.sum(share[:, :, None] * v[:, None, :], axis=0)
        tl.store(block, C, mask=whole & active)
        tl.store(
            new_n_at + head * size + row,
            kept * n + tl.sum(share, axis=0),
            mask=known & (tile == 0),
        )
    weights = tl.sum(scores, axis=2) * intra
    memory = inter[:, None] * tl.sum(memories, axis=1)
    memory += tl.sum(weights[:, :, None] * v[None, :, :], axis=1)
    overlap = inter * tl.sum(overlaps, axis=1) + tl.sum(weights, axis=1)
    divisor = tl.maximum(tl.abs(overlap), tl.exp(-m)) + eps
    tl.store(
        reads_at + b * r_b + h * r_h + token[:, None] * r_s + column[None, :],
        memory / divisor[:, None],
        mask=cell,
    )
    tl.store(new_m_at + head, tl.sum(tl.where(last, m, 0.0), axis=0), mask=tile == 0)
