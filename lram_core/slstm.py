"""The sLSTM cell: a gated scalar memory whose gates see the cell's last output.

The recurrence through the output cannot be computed in parallel over tokens, so the products with
the inputs are done for all tokens beforehand, by the caller, and the loop is kept lean.

Source: Beck et al., "xLSTM: Extended Long Short-Term Memory", 2024, equations 8–18 and the
stabilisation of section 2.2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lram_core.accelerators import kernels_for

# A compiler unrolls the loop over tokens, and needs minutes for a training window of them. Longer
# sequences than this are therefore left out of compiled programs; ticks are part of them.
UNROLLED = 8


class ScalarState(NamedTuple):
    """State after a token, float32, each (B, D).

    h: output. c: memory. n: normaliser, zero before the first token of an episode and at least
    one afterwards. m: stabiliser; the true memory is ``c * exp(m)``.
    """

    h: Tensor
    c: Tensor
    n: Tensor
    m: Tensor


def slstm_scan(
    inputs: Tensor, kernel: Tensor, state: ScalarState, starts: Tensor | None = None
) -> tuple[Tensor, ScalarState]:
    """Advance the memory by S tokens, one after the other.

    Args:
        inputs: what tokens and bias add to the pre-activations of the gates i, f, z, o,
            (B, S, 4, NH, DH) with NH * DH = D.
        kernel: recurrent weights (NH, 4 * DH, DH): gate units of a head by outputs of that head.
        state: state before the first token.
        starts: (B, S) bool, True on the first token of an episode. None: no episode starts.

    Returns:
        Outputs (B, S, D) and the state after the last token.
    """
    if inputs.shape[1] <= UNROLLED:
        return scan(inputs, kernel, state, starts)
    run = kernel_loop if kernels_for(inputs) else loop
    return run(inputs, kernel, state, starts)


def scan(
    inputs: Tensor, kernel: Tensor, state: ScalarState, starts: Tensor | None
) -> tuple[Tensor, ScalarState]:
    """As :func:`slstm_scan`, by PyTorch's operations."""
    heads, size = kernel.shape[0], kernel.shape[2]
    # Heads first, so that the recurrent product of a token is a single batched one.
    tokens = inputs.permute(1, 3, 0, 2, 4).flatten(-2).unbind(0)
    h, c, n, m = (x.unflatten(-1, (heads, size)).transpose(0, 1) for x in state)
    weight = kernel.transpose(1, 2)
    outputs = []
    for t, token in enumerate(tokens):
        if starts is not None:
            begins = starts[:, t, None]
            h, c, n = (x.masked_fill(begins, 0.0) for x in (h, c, n))
        i, f, z, o = torch.baddbmm(token, h, weight).chunk(4, dim=-1)
        # An empty memory has no scale to keep: the first input sets it.
        carried = (m + F.logsigmoid(f)).masked_fill(n == 0, -math.inf)
        # The output does not depend on the stabiliser, so no gradient needs to pass through it.
        m = torch.maximum(i, carried).detach()
        keep, write = torch.exp(carried - m), torch.exp(i - m)
        c = torch.addcmul(write * torch.tanh(z), keep, c)
        n = torch.addcmul(write, keep, n)
        h = torch.sigmoid(o) * c / n
        outputs.append(h)
    read = torch.stack(outputs).permute(2, 0, 1, 3).flatten(-2)
    return read, ScalarState(*(x.transpose(0, 1).flatten(-2) for x in (h, c, n, m)))


def kernel_scan(
    inputs: Tensor, kernel: Tensor, state: ScalarState, starts: Tensor | None
) -> tuple[Tensor, ScalarState]:
    """As :func:`slstm_scan`, by a kernel on a GPU."""
    from lram_core.kernels import slstm

    read, *after = slstm.scan(inputs, kernel, state, starts)
    return read, ScalarState(*after)


loop, kernel_loop = scan, kernel_scan
"""Which :mod:`lram_core.compiling` has left uncompiled."""
