"""The backward kernel of :mod:`lram_core.kernels.mlstm_window`; tables as in the forward one."""

from __future__ import annotations

import triton
import triton.language as tl

from lram_core.kernels.mlstm_window_forward import (
    clear,
    log_weights,
    seen_columns,
    table_cells,
)


@triton.jit
def _rows(  # type: ignore[no-untyped-def]
    scores_at,
    dtable_at,
    decay_at,
    input_at,
    inter_at,
    overlap_at,
    segment_at,
    m_at,
    total_at,
    dshare_at,
    dscores_at,
    rows_at,
    columns_at,
    dinter_at,
    doverlap_at,
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
    dnormed = tl.load(dtable_at + cell, mask=near, other=0.0)
    log, real, at = log_weights(decay_at, input_at, segment_at, head, row, column, length, heads)
    log_inter = tl.load(inter_at + at + row, mask=real, other=0.0)
    m = tl.load(m_at + at + row, mask=real, other=0.0)
    total = tl.load(total_at + at + row, mask=real, other=1.0)
    dshare = tl.load(dshare_at + place, mask=real, other=0.0)
    inter = tl.exp(log_inter - m)
    least = tl.exp(-m)
    divisor = tl.maximum(tl.abs(total), least) + eps
    weights = tl.exp(log - m[:, None]) * scale
    dnormed = dnormed.to(tl.float32)
    weighted = scores.to(tl.float32) * weights
    ddivisor = tl.sum(dnormed * weighted, axis=1) + dshare * inter
    ddivisor = -ddivisor / (divisor * divisor)
    sign = tl.where(total > 0.0, 1.0, -1.0)
    dtotal = tl.where(tl.abs(total) > least, sign * ddivisor, 0.0)
    # Weights of what is not seen are zero, and so are their gradients.
    dweighted = dnormed * (1.0 / divisor)[:, None] + dtotal[:, None]
    dscores = dweighted * weights
    tl.store(dscores_at + cell, dscores.to(dscores_at.dtype.element_ty), mask=whole)
    dlog = dweighted * weighted
    tl.store(rows_at + at + row, tl.sum(dlog, axis=1), mask=real)
    columns_at += (head.to(tl.int64) * tl.num_programs(1) + tl.program_id(1)) * length
    tl.store(columns_at + column, tl.sum(dlog, axis=0), mask=column < length)
    if width < columns:
        clear(dscores_at, place, there, deep, width, columns)
        later = width + tl.arange(0, columns - width)
        zeros = tl.zeros((columns - width,), dtype=tl.float32)
        tl.store(columns_at + later, zeros, mask=later < length)
    dinter = dshare / divisor
    if overlap_at is not None:
        dinter += dtotal * tl.load(overlap_at + place, mask=real, other=0.0)
        tl.store(doverlap_at + place, tl.where(real, dtotal * inter, 0.0), mask=there)
    tl.store(dinter_at + at + row, dinter * inter, mask=real)


@triton.jit
def window_backward(  # type: ignore[no-untyped-def]
    scores_at,
    dtable_at,
    decay_at,
    input_at,
    inter_at,
    overlap_at,
    segment_at,
    m_at,
    total_at,
    dshare_at,
    dscores_at,
    rows_at,
    columns_at,
    dinter_at,
    doverlap_at,
    length,
    units,
    scale,
    eps,
    heads: tl.constexpr,
    unit: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    """Some rows of one head's table; sums of the log weights' gradients along them.

    columns (heads, programs of a head, length): sums over these rows, of each column.
    """
    deep = units * unit
    first = tl.program_id(1) * rows
    last = seen_columns(first, deep, unit, rows)
    if last <= columns // 2:
        _rows(
            *(scores_at, dtable_at, decay_at, input_at, inter_at, overlap_at, segment_at),
            *(m_at, total_at, dshare_at, dscores_at, rows_at, columns_at, dinter_at, doverlap_at),
            *(length, deep, first, last, scale, eps, heads, rows, columns // 2, columns),
        )
    else:
        _rows(
            *(scores_at, dtable_at, decay_at, input_at, inter_at, overlap_at, segment_at),
            *(m_at, total_at, dshare_at, dscores_at, rows_at, columns_at, dinter_at, doverlap_at),
            *(length, deep, first, last, scale, eps, heads, rows, columns, columns),
        )
