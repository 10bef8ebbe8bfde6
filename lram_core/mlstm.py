"""The mLSTM cell: a gated matrix memory, over any number of tokens from any state.

One function serves training (hundreds of tokens from a zero state), prefill, and control (one to
three tokens from the running state); forward and step therefore cannot drift apart.

Source: Beck et al., "xLSTM: Extended Long Short-Term Memory", 2024, equations 19–27 (recurrence)
and appendix A.3 (parallel stabilised form), joined chunkwise through the state.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6


class CellState(NamedTuple):
    """State after a token, float32.

    C: matrix memory (B, NH, DH, DH), keys by values. n: normaliser (B, NH, DH).
    m: stabiliser (B, NH); the true memory is ``C * exp(m)``.
    """

    C: Tensor
    n: Tensor
    m: Tensor


def mlstm_chunk(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    state: CellState | None,
    segment: Tensor | None = None,
    want_state: bool = True,
    reads: slice | None = None,
) -> tuple[Tensor, CellState | None]:
    """Advance the memory by S tokens and read it at each of them, or at R of them.

    Args:
        q, k, v: queries, keys, values (B, NH, S, DH).
        input_gate, forget_gate: gate pre-activations (B, NH, S); exponential input gate, sigmoid
            forget gate.
        state: state before the first token; None for an empty memory.
        segment: number of episode starts at or before each token, (B, S). A token reads only
            tokens of its own segment, and ``state`` only in segment 0. None: no episode starts.
        want_state: whether the state after the last token is computed.
        reads: the R tokens at which the memory is read, as in ``q[:, :, reads]``; None for all S.

    Returns:
        What is read (B, NH, R, DH), and the state after the last token, or None.
    """
    decay = torch.cumsum(F.logsigmoid(forget_gate), dim=-1)
    visible = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool, device=q.device).tril()
    log_inter = decay if state is None else decay + state.m.unsqueeze(-1)
    if segment is not None:
        visible = visible & (segment.unsqueeze(-1) == segment.unsqueeze(-2)).unsqueeze(1)
        log_inter = log_inter.masked_fill((segment > 0).unsqueeze(1), -math.inf)
    of_read, inter_of_read = decay, log_inter
    if reads is not None:
        q, visible = q[:, :, reads], visible[..., reads, :]
        of_read, inter_of_read = decay[..., reads], log_inter[..., reads]
    # Of what is S x S, a training step's time is the passes over it: in place where that can be.
    log_intra = of_read.unsqueeze(-1) - (decay - input_gate).unsqueeze(-2)
    log_intra.masked_fill_(~visible, -math.inf)

    # The result does not depend on the stabiliser, so no gradient needs to pass through it.
    m = torch.maximum(log_intra.detach().amax(-1), inter_of_read.detach())
    scaled = m - math.log(key_scale(k))
    weights = (q @ k.transpose(-1, -2)) * log_intra.sub_(scaled.unsqueeze(-1)).exp_()
    numerator, overlap = weights @ v, weights.sum(-1)
    if state is not None:
        shared = torch.exp(inter_of_read - m).unsqueeze(-1) * q
        numerator = numerator + shared @ state.C
        overlap = overlap + (shared @ state.n.unsqueeze(-1)).squeeze(-1)
    read = numerator / (torch.maximum(overlap.abs(), torch.exp(-m)) + EPS).unsqueeze(-1)
    if not want_state:
        return read, None
    if reads is not None:  # the last token need not be one of those
        log = _written_log(decay, input_gate, segment)
        m = torch.maximum(log.amax(-1, keepdim=True), log_inter[..., -1:]).detach()
    written = written_weights(decay, input_gate, m, segment)
    return read, next_state(written, k, v, log_inter, m, state)


def key_scale(k: Tensor) -> float:
    """Return what keys (…, DH) are multiplied with: 1 / sqrt(DH)."""
    return float(k.shape[-1] ** -0.5)


def written_weights(decay: Tensor, input_gate: Tensor, m: Tensor, segment: Tensor | None) -> Tensor:
    """Return what each token weighs in the state after the last one, (B, NH, S).

    decay: cumulated log forget gates. m: stabilisers of the tokens, of which the last one counts.
    """
    return torch.exp(_written_log(decay, input_gate, segment) - m[..., -1:])


def _written_log(decay: Tensor, input_gate: Tensor, segment: Tensor | None) -> Tensor:
    log = decay[..., -1:] - decay + input_gate
    if segment is not None:
        log = log.masked_fill((segment != segment[:, -1:]).unsqueeze(1), -math.inf)
    return log


def next_state(
    written: Tensor, k: Tensor, v: Tensor, log_inter: Tensor, m: Tensor, state: CellState | None
) -> CellState:
    """Return the state after the last token; its stabiliser is that of the last token.

    Args:
        written: see :func:`written_weights`. k: keys. v: values.
        log_inter: log weight of the old state at each token (B, NH, S).
        m: stabilisers of the tokens, of which the last one counts.
        state: the old state; None for an empty memory.
    """
    weighted = (written * key_scale(k)).unsqueeze(-1) * k
    added = weighted.transpose(-1, -2)
    if state is None:
        return CellState(C=added @ v, n=weighted.sum(-2), m=m[..., -1])
    kept = torch.exp(log_inter[..., -1] - m[..., -1])
    # The matrix memory is the tick's largest traffic: scaled once, then added to in place.
    memory = (kept[..., None, None] * state.C).flatten(0, 1)
    memory.baddbmm_(added.flatten(0, 1), v.flatten(0, 1))
    return CellState(
        C=memory.view_as(state.C),
        n=kept[..., None] * state.n + weighted.sum(-2),
        m=m[..., -1],
    )
