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
    k = k / math.sqrt(q.shape[-1])
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
    log_intra = of_read.unsqueeze(-1) - decay.unsqueeze(-2) + input_gate.unsqueeze(-2)
    log_intra = log_intra.masked_fill(~visible, -math.inf)

    # The result does not depend on the stabiliser, so no gradient needs to pass through it.
    m = torch.maximum(log_intra.amax(-1), inter_of_read).detach()
    weights = (q @ k.transpose(-1, -2)) * torch.exp(log_intra - m.unsqueeze(-1))
    numerator, overlap = weights @ v, weights.sum(-1)
    if state is not None:
        inter = torch.exp(inter_of_read - m)
        numerator = numerator + inter.unsqueeze(-1) * (q @ state.C)
        overlap = overlap + inter * (q @ state.n.unsqueeze(-1)).squeeze(-1)
    read = numerator / (torch.maximum(overlap.abs(), torch.exp(-m)) + EPS).unsqueeze(-1)
    if not want_state:
        return read, None
    if reads is not None:  # the last token need not be one of those
        log = _written_log(decay, input_gate, segment)
        m = torch.maximum(log.amax(-1, keepdim=True), log_inter[..., -1:]).detach()
    written = written_weights(decay, input_gate, m, segment)
    return read, next_state(written, k, v, log_inter, m, state)


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
        written: see :func:`written_weights`. k: keys, scaled. v: values.
        log_inter: log weight of the old state at each token (B, NH, S).
        m: stabilisers of the tokens, of which the last one counts.
        state: the old state; None for an empty memory.
    """
    weighted = written.unsqueeze(-1) * k
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
