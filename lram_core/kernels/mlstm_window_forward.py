"""The forward kernel of :mod:`lram_core.kernels.mlstm_window`.

A head's table has ``deep`` rows and columns, given as a multiple of ``unit`` for the compiler to
see that rows are aligned, and to read 16 bytes at a time. No token sees the later ones: programs
whose rows see only the first half of the columns have tiles of that half.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def table_cells(head, row, column, deep, last):  # type: ignore[no-untyped-def]
    """Where some rows of a head's table lie; which of it there is, and of that up to a column."""
    place = head.to(tl.int64) * deep + row
    cell = place[:, None] * deep + column[None, :]
    there = row < deep
    whole = there[:, None] & (column < deep)[None, :]
    return place, cell, there, whole, there[:, None] & (column < last)[None, :]


@triton.jit
def seen_columns(row, deep, unit: tl.constexpr, rows: tl.constexpr):  # type: ignore[no-untyped-def]
    """Columns, in units, that rows up to the last of these can see."""
    return tl.minimum(deep, tl.cdiv(row + rows, unit) * unit)


@triton.jit
def log_weights(  # type: ignore[no-untyped-def]
    decay_at, input_at, segment_at, head, row, column, length, heads: tl.constexpr
):
    """Log weights of some rows of a head's table, -inf for what they do not see."""
    at = head.to(tl.int64) * length
    real = row < length
    there = column < length
    visible = column[None, :] <= tl.where(real, row, -1)[:, None]
    if segment_at is not None:
        own = (head // heads).to(tl.int64) * length
        of_row = tl.load(segment_at + own + row, mask=real, other=-1).to(tl.int32)
        of_column = tl.load(segment_at + own + column, mask=there, other=-2).to(tl.int32)
        visible = visible & (of_row[:, None] == of_column[None, :])
    of_row = tl.load(decay_at + at + row, mask=real, other=0.0)
    of_column = tl.load(decay_at + at + column, mask=there, other=0.0)
    entered = tl.load(input_at + at + column, mask=there, other=0.0)
    log = of_row[:, None] - of_column[None, :] + entered[None, :]
    return tl.where(visible, log, float("-inf")), real, at


@triton.jit
def clear(at, place, there, deep, start: tl.constexpr, end: tl.constexpr):  # type: ignore[no-untyped-def]
    """Write zeros into the columns that none of some rows sees."""
    column = start + tl.arange(0, end - start)
    zeros = tl.zeros((place.shape[0], end - start), dtype=at.dtype.element_ty)
    mask = there[:, None] & (column < deep)[None, :]
    tl.store(at + place[:, None] * deep + column[None, :], zeros, mask=mask)


@triton.jit
def _rows(  # type: ignore[no-untyped-def]
    scores_at,
    decay_at,
    input_at,
    inter_at,
    overlap_at,
    segment_at,
    table_at,
    share_at,
    m_at,
    total_at,
    length,
    deep,
    first,
    last,
    scale,
    eps,
    heads: tl.constexpr,
    rows: tl.constexpr,
    width: tl.constexpr,
    columns: tl.constexpr,
):
    """Some rows of one head's table, of which they see some columns."""
    head = tl.program_id(0)
    row = first + tl.arange(0, rows)
    column = tl.arange(0, width)
    place, cell, there, whole, near = table_cells(head, row, column, deep, last)
    scores = tl.load(scores_at + cell, mask=near, other=0.0)
    log, real, at = log_weights(decay_at, input_at, segment_at, head, row, column, length, heads)
    log_inter = tl.load(inter_at + at + row, mask=real, other=0.0)
    m = tl.maximum(tl.max(log, axis=1), log_inter)
    inter = tl.exp(log_inter - m)
    weights = tl.exp(log - m[:, None]) * scale
    weighted = scores.to(tl.float32) * weights
    total = tl.sum(weighted, axis=1)
    if overlap_at is not None:
        total += inter * tl.load(overlap_at + place, mask=real, other=0.0)
    divisor = tl.maximum(tl.abs(total), tl.exp(-m)) + eps
    normed = weighted * (1.0 / divisor)[:, None]
    tl.store(table_at + cell, normed.to(table_at.dtype.element_ty), mask=whole)
    if width < columns:
        clear(table_at, place, there, deep, width, columns)
    tl.store(share_at + place, tl.where(real, inter / divisor, 0.0), mask=there)
    tl.store(m_at + at + row, m, mask=real)
    tl.store(total_at + at + row, total, mask=real)


@triton.jit
def window_forward(  # type: ignore[no-untyped-def]
    scores_at,
    decay_at,
    input_at,
    inter_at,
    overlap_at,
    segment_at,
    table_at,
    share_at,
    m_at,
    total_at,
    length,
    units,
    scale,
    eps,
    heads: tl.constexpr,
    unit: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    """Some rows of one head's table."""
    deep = units * unit
    first = tl.program_id(1) * rows
    last = seen_columns(first, deep, unit, rows)
    if last <= columns // 2:
        _rows(
            *(scores_at, decay_at, input_at, inter_at, overlap_at, segment_at),
            *(table_at, share_at, m_at, total_at, length, deep, first, last, scale, eps),
            *(heads, rows, columns // 2, columns),
        )
    else:
        _rows(
            *(scores_at, decay_at, input_at, inter_at, overlap_at, segment_at),
            *(table_at, share_at, m_at, total_at, length, deep, first, last, scale, eps),
            *(heads, rows, columns, columns),
        )
