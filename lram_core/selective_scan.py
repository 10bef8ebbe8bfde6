"""The selective scan of Mamba-1, over any number of tokens from any state.

One function serves training, prefill and control; forward and step therefore cannot drift apart.
Each channel and state value has a decay of its own, so there is no form with matrix products as
the mLSTM has; a logarithmic scan multiplies the memory traffic and divisions by cumulated decays
overflow float32. What remains is the plain loop, with everything outside the recurrence done for a
chunk of tokens at once; on a GPU it is a kernel of its own, see
:mod:`lram_core.kernels.selective_scan`.

Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023,
equations 2 and 4 (zero-order hold for A, Euler for B) and section 3.3.2 (recomputation).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lram_core.accelerators import kernels_for

# As in lram_core.slstm: longer loops are left out of compiled programs.
UNROLLED = 8


def selective_scan(
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    segment: Tensor | None = None,
    chunk_size: int = 16,
) -> tuple[Tensor, Tensor]:
    """Advance the state by S tokens and read it at each of them.

    Args:
        x: inputs (B, S, D).
        dt: step sizes (B, S, D), positive.
        rates: rates of decay ``A``, negative, (D, N).
        write, read: ``B`` and ``C`` of each token (B, S, N).
        state: state before the first token (B, D, N).
        segment: episode starts at or before each token (B, S), see
            :func:`lram_core.backbones.layers.segments`. None: no episode starts.
        chunk_size: tokens a chunk. With gradients, only a chunk's inputs and first state are
            kept, and the states in between are computed again in the backward pass. A GPU's
            kernels have a size of their own.

    Returns:
        Reads (B, S, D), without the skip connection, and the state after the last token.
    """
    starts = None
    if segment is not None:
        starts = torch.diff(segment, dim=1, prepend=torch.zeros_like(segment[:, :1])) > 0
    length = x.shape[1]
    if length > UNROLLED and kernels_for(x):
        from lram_core.kernels.selective_scan import scan

        return scan(x, dt, rates, write, read, state, starts)
    remember = torch.is_grad_enabled() and length > chunk_size
    run = chunk if length <= UNROLLED else loop
    reads = []
    for begin in range(0, length, chunk_size):
        part = slice(begin, begin + chunk_size)
        begins = None if starts is None else starts[:, part]
        inputs = (x[:, part], dt[:, part], rates, write[:, part], read[:, part], state, begins)
        y, state = checkpoint(run, *inputs, use_reentrant=False) if remember else run(*inputs)
        reads.append(y)
    return torch.cat(reads, dim=1) if len(reads) > 1 else reads[0], state


def chunk(
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    starts: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """As :func:`selective_scan`, token by token; starts (B, S) bool."""
    # Tokens first, so that each step of the loop works on contiguous memory.
    dt = dt.transpose(0, 1)
    decay = torch.exp(dt.unsqueeze(-1) * rates)
    if starts is not None:
        decay = decay.masked_fill(starts.t()[..., None, None], 0.0)
    drive = (dt * x.transpose(0, 1)).unsqueeze(-1) * write.transpose(0, 1).unsqueeze(-2)
    states = []
    for kept, added in zip(decay.unbind(0), drive.unbind(0), strict=True):
        state = torch.addcmul(added, kept, state)
        states.append(state)
    y = torch.stack(states) @ read.transpose(0, 1).unsqueeze(-1)
    return y.squeeze(-1).transpose(0, 1), state


loop = chunk
"""Which :mod:`lram_core.compiling` has left uncompiled."""
