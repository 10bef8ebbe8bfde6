"""The mLSTM over the tokens of a control tick, as one kernel that updates the memory in place.

A program owns some columns of one head's matrix memory. It reads all of them at once, so that
enough bytes are on their way, advances them token by token in registers and writes them back,
which is the least traffic there can be. Gates and normalisers are small; every program of a head
works them out for itself.

The arithmetic is the recurrence that :func:`lram_core.mlstm.mlstm_chunk` is the parallel form of,
in float32.
"""

# mypy: disable-error-code="assignment, var-annotated"
# Tuples grow in a kernel's unrolled loops.

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from lram_core.kernels import early
from lram_core.kernels.early import wait
from lram_core.mlstm import EPS, CellState

MAX_TOKENS = 4
_ROWS = 128  # of a tile
_COLUMNS = (64, 32, 16, 8)  # 8 fill a sector of memory
_PROGRAM_CELLS = 10240  # of the memory, in registers: 40 a thread
_REGISTERS = 128  # a thread: two programs of eight warps a multiprocessor
_PROGRAMS = 128  # for 132 multiprocessors


class FusedMLSTM:
    """In place of :func:`lram_core.mlstm.mlstm_chunk`, for up to MAX_TOKENS tokens.

    ``state.C`` is overwritten and returned; ``n`` and ``m`` are new tensors, as other programs of
    the head may still read the old ones.

    Args:
        active: (B,) bool, read at each call: where it is False the memory stays as it was, and
            reads, ``n`` and ``m`` are of no meaning. None: all are active.

    The gates may be partial sums (B, NH, S, P), to be added up.
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
        i, f = (
            (gate if gate.ndim == 4 else gate.unsqueeze(-1)) for gate in (input_gate, forget_gate)
        )
        columns = _columns(batch * heads, size)
        rows = min(_ROWS, triton.next_power_of_2(size))
        _advance[(batch * heads, triton.cdiv(size, columns))](
            *(q, k, v, i, f, reads),
            *(state.C, state.n, state.m, n, m),
            *(None if segment is None else segment.contiguous(), self._active),
            *(*q.stride()[:3], *k.stride()[:3], *v.stride()[:3]),
            *(*i.stride(), *f.stride(), *reads.stride()[:3]),
            heads=heads,
            size=size,
            tokens=tokens,
            parts=i.shape[-1],
            padded_parts=triton.next_power_of_2(i.shape[-1]),
            rows=rows,
            columns=columns,
            scale=1 / math.sqrt(size),
            eps=EPS,
            num_warps=8 if rows == _ROWS else 4,
            maxnreg=_REGISTERS,
            **early.options(q.device),
        )
        return reads, CellState(C=state.C, n=n, m=m)


def _columns(heads: int, size: int) -> int:
    """The widest tile that fits a program and still gives a large GPU enough programs."""
    for columns in _COLUMNS:
        enough = heads * triton.cdiv(size, columns) >= _PROGRAMS
        if enough and size * columns <= _PROGRAM_CELLS:
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
    i_p,
    f_b,
    f_h,
    f_s,
    f_p,
    r_b,
    r_h,
    r_s,
    heads: tl.constexpr,
    size: tl.constexpr,
    tokens: tl.constexpr,
    parts: tl.constexpr,
    padded_parts: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
    scale: tl.constexpr,
    eps: tl.constexpr,
    early: tl.constexpr,
):
    head = tl.program_id(0)
    b = head // heads
    h = head % heads
    tile = tl.program_id(1)
    column = tile * columns + tl.arange(0, columns)
    inside = column < size
    part = tl.arange(0, padded_parts)
    counted = part < parts
    chunks: tl.constexpr = (size + rows - 1) // rows

    # All loads come first: a compiler moves none of them past a sum or a store.
    memory_at = C_at + head.to(tl.int64) * size * size + column[None, :]
    Cs = ()
    ns = ()
    for c in tl.static_range(chunks):
        row = c * rows + tl.arange(0, rows)
        known = row < size
        whole = known[:, None] & inside[None, :]
        Cs += (tl.load(memory_at + row[:, None] * size, mask=whole, other=0.0),)
        ns += (tl.load(n_at + head * size + row, mask=known, other=0.0),)
    m = tl.load(m_at + head)
    # Nobody else writes the memory; what follows has just been made.
    wait(early)
    active = True
    if active_at is not None:
        active = tl.load(active_at + b) != 0
    i_parts = ()
    f_parts = ()
    segments = ()
    vs = ()
    for t in tl.static_range(tokens):
        i_place = i_at + b * i_b + h * i_h + t * i_s + part * i_p
        f_place = f_at + b * f_b + h * f_h + t * f_s + part * f_p
        i_parts += (tl.load(i_place, mask=counted, other=0.0),)
        f_parts += (tl.load(f_place, mask=counted, other=0.0),)
        v_place = v_at + b * v_b + h * v_h + t * v_s + column
        vs += (tl.load(v_place, mask=inside, other=0.0),)
        if segment_at is not None:
            segments += (tl.load(segment_at + b * tokens + t),)

    # How much of the memory a token keeps, how much of itself it writes.
    keeps = ()
    writes = ()
    floors = ()
    for t in tl.static_range(tokens):
        i = tl.sum(i_parts[t], axis=0)
        f = tl.sum(f_parts[t], axis=0)
        # log(sigmoid(f)) with log1p(x) = log(1 + x) + what rounding 1 + x lost: gates near 1 would
        # otherwise drift over an episode.
        x = tl.exp(-tl.abs(f))
        log_keep = tl.minimum(f, 0.0) - (tl.log(1.0 + x) - ((1.0 + x) - 1.0 - x) / (1.0 + x)) + m
        if segment_at is not None:
            before = 0
            if t > 0:
                before = segments[t - 1]
            log_keep = tl.where(segments[t] == before, log_keep, float("-inf"))
        m = tl.maximum(log_keep, i)
        keeps += (tl.exp(log_keep - m),)
        writes += (tl.exp(i - m),)
        floors += (tl.exp(-m),)

    memories = ()
    overlaps = ()
    for t in tl.static_range(tokens):
        memory = tl.zeros((rows, columns), dtype=tl.float32)
        overlap = tl.zeros((rows,), dtype=tl.float32)
        new_Cs = ()
        new_ns = ()
        for c in tl.static_range(chunks):
            row = c * rows + tl.arange(0, rows)
            known = row < size
            q = tl.load(q_at + b * q_b + h * q_h + t * q_s + row, mask=known, other=0.0)
            k = tl.load(k_at + b * k_b + h * k_h + t * k_s + row, mask=known, other=0.0)
            share = k * scale * writes[t]
            C = keeps[t] * Cs[c] + share[:, None] * vs[t][None, :]
            n = keeps[t] * ns[c] + share
            memory += q[:, None] * C
            overlap += q * n
            new_Cs += (C,)
            new_ns += (n,)
        Cs = new_Cs
        ns = new_ns
        memories += (memory,)
        overlaps += (overlap,)

    for c in tl.static_range(chunks):
        row = c * rows + tl.arange(0, rows)
        known = row < size
        whole = known[:, None] & inside[None, :]
        tl.store(memory_at + row[:, None] * size, Cs[c], mask=whole & active)
        tl.store(new_n_at + head * size + row, ns[c], mask=known & (tile == 0))
    tl.store(new_m_at + head, m, mask=tile == 0)
    for t in tl.static_range(tokens):
        memory = tl.sum(memories[t], axis=0)
        divisor = tl.maximum(tl.abs(tl.sum(overlaps[t], axis=0)), floors[t]) + eps
        r_place = reads_at + b * r_b + h * r_h + t * r_s + column
        tl.store(r_place, memory / divisor, mask=inside)
