"""The mLSTM block: pre-norm, up-projection, convolution, matrix memory, output gate, down.

Parameter names and layouts are those of the official ``xlstm`` package (v1 cell). Source: Beck et
al., "xLSTM: Extended Long Short-Term Memory", 2024, figure 11.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.accelerators import kernels_for, mlstm_surroundings, mlstm_window
from lram_core.backbones.base import State
from lram_core.backbones.causal_conv import CONV_WIDTH, CausalConv
from lram_core.backbones.layers import BlockDiagonal, ResidualNorm, many_tokens
from lram_core.backbones.products import Linear, linear
from lram_core.mlstm import CellState, mlstm_chunk

if TYPE_CHECKING:
    from lram_core.backbones.xlstm import XLSTMConfig

QKV_BLOCK = 4


class Cell(nn.Module):
    """Gates, memory and per-head norm around :func:`lram_core.mlstm.mlstm_chunk`."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.igate = nn.Linear(3 * config.inner_size, config.num_heads)
        self.fgate = nn.Linear(3 * config.inner_size, config.num_heads)
        self.outnorm = ResidualNorm(config.inner_size, config.num_heads)

    def forward(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        i: Tensor,
        f: Tensor,
        state: CellState | None,
        segment: Tensor | None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, CellState | None]:
        """Advance the memory, q, k, v (B, NH, S, DH), i, f (B, NH, S); returns (B, S, E)."""
        with torch.autocast(q.device.type, enabled=False):
            read, state = self.read(q, k, v, i, f, state, segment, want_state, reads)
            return self.outnorm(read.transpose(1, 2).flatten(-2)), state

    def read(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        i: Tensor,
        f: Tensor,
        state: CellState | None,
        segment: Tensor | None,
        want_state: bool,
        reads: slice | None = None,
    ) -> tuple[Tensor, CellState | None]:
        """Advance the memory chunk by chunk, see :func:`lram_core.mlstm.mlstm_chunk`.

        q, k, v may have rows of zeros after the last token, and what is returned may, unless
        ``reads`` says which of the tokens' reads are wanted.
        """
        length = i.shape[2]
        found = []
        chunk, size, rows = mlstm_chunk, self.config.chunk_size, length
        if (window := mlstm_window(i, length)) is not None:
            (chunk, size), rows = window, q.shape[2]
        else:
            q, k, v = q.to(i.dtype), k.to(i.dtype), v.to(i.dtype)
        places = range(rows) if reads is None else range(length)[reads]
        # Rows of zeros after the last token, where there are any, go with the last chunk.
        starts = range(0, length, size)
        sizes = [size] * (len(starts) - 1) + [rows - starts[-1]]
        parts = zip(*(x.split(sizes, dim=2) for x in (q, k, v)), strict=True)
        for start, of_size, (q, k, v) in zip(starts, sizes, parts, strict=True):
            part = slice(start, start + of_size)
            seg = None
            if segment is not None:
                before = segment[:, start - 1 : start] if start else 0
                seg = segment[:, part] - before
            wanted = [] if reads is None or window else [_within(places, part)]
            read, state = chunk(
                q, k, v, i[..., part], f[..., part],
                state, seg, want_state or start + size < length, *wanted,
            )  # fmt: skip
            found.append(read)
        read = torch.cat(found, dim=2) if len(found) > 1 else found[0]
        return read if reads is None or window is None else read[:, :, :length][:, :, reads], state

    def gate_map(self) -> tuple[Tensor, Tensor]:
        """Return weight (2 * NH, 3 * E) and bias (2 * NH,) of both gates, first the input gates.

        The official layout is two maps of [q, k, v]; joining the maps is cheaper than the inputs.
        """
        maps = self.igate, self.fgate
        return torch.cat([each.weight for each in maps]), torch.cat([each.bias for each in maps])

    def gates(
        self, sources: Sequence[Tensor], maps: Sequence[Tensor], bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return input and forget gate pre-activations (B, NH, S).

        Args:
            sources: tokens (B, S, E), what is mapped to gates and added.
            maps: (2 * NH, E) for each. bias: (2 * NH,), see :meth:`gate_map`.
        """
        # Gates and memory stay in float32 even under autocast: in bfloat16 the stabiliser rounds
        # and the error grows with the episode.
        with torch.autocast(bias.device.type, enabled=False):
            made = bias
            for x, weight in zip(sources, maps, strict=True):
                made = made + F.linear(x.to(bias.dtype), weight)
            i, f = made.transpose(1, 2).chunk(2, dim=1)
            return i, f


def reaches(weight: Tensor, mixes: Tensor) -> tuple[Tensor, Tensor]:
    """Fold what makes queries, keys and values into the gates' map of those: products are fewer.

    Args:
        weight: (2 * NH, 3 * E), see :meth:`Cell.gate_map`.
        mixes: the block-diagonal maps (3, E / 4, 4 out, 4 in).

    Returns:
        (2 * NH, E) of what queries and keys are made of, and of what values are.
    """
    parts = weight.unflatten(-1, (3, -1, mixes.shape[-1]))
    with torch.autocast(weight.device.type, enabled=False):
        of_q, of_k, of_v = torch.einsum("nmgo,mgoi->mngi", parts, mixes).flatten(2).unbind()
        return of_q + of_k, of_v


def _within(places: range, part: slice) -> slice:
    """Return which of a part's tokens are at some places of the whole, counted from its first."""
    inside = [place - part.start for place in places if part.start <= place < part.stop]
    return slice(inside[0], inside[-1] + 1, places.step) if inside else slice(0)


class MLSTMLayer(nn.Module):
    """Up-projection, convolution, memory, output gate, down-projection."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        inner = config.inner_size
        self.proj_up = Linear(config.d_model, 2 * inner, bias=False)
        self.q_proj = BlockDiagonal(inner, inner // QKV_BLOCK)
        self.k_proj = BlockDiagonal(inner, inner // QKV_BLOCK)
        self.v_proj = BlockDiagonal(inner, inner // QKV_BLOCK)
        self.conv1d = CausalConv(inner)
        self.mlstm_cell = Cell(config)
        self.learnable_skip = nn.Parameter(torch.ones(inner))
        self.proj_down = Linear(inner, config.d_model, bias=False)
        self.reset_parameters(config)

    def reset_parameters(self, config: XLSTMConfig) -> None:
        """Small-init inputs, depth-scaled outputs, long forget gates (xLSTM paper, appendix)."""
        small = math.sqrt(2 / (5 * config.d_model))
        for weight in (self.proj_up, self.q_proj, self.k_proj, self.v_proj):
            nn.init.normal_(weight.weight, std=small)
        nn.init.normal_(
            self.proj_down.weight, std=2 / config.num_layers / math.sqrt(config.d_model)
        )
        cell = self.mlstm_cell
        nn.init.zeros_(cell.fgate.weight)
        nn.init.zeros_(cell.igate.weight)
        nn.init.normal_(cell.igate.bias, std=0.1)
        with torch.no_grad():
            cell.fgate.bias.copy_(torch.linspace(3.0, 6.0, config.num_heads))

    def forward(
        self,
        x: Tensor,
        past: Tensor | None,
        state: CellState | None,
        segment: Tensor | None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, Tensor, CellState | None]:
        cell = self.mlstm_cell
        if reads is None or kernels_for(x):
            u = self.proj_up(x)
            heads = cell.config.num_heads
            if (kernels := mlstm_surroundings(u, self.learnable_skip, heads)) is not None:
                return self._fused(u, past, state, segment, want_state, reads, *kernels)
            x, z = u.chunk(2, dim=-1)
            z = z if reads is None else z[:, reads]
        else:
            w_x, w_z = self.proj_up.weight.chunk(2)
            x, z = linear(x, w_x), linear(x[:, reads], w_z)
        if past is None:
            past = self.learnable_skip.new_zeros(len(x), CONV_WIDTH - 1, x.shape[-1])
        conv, past = self.conv1d(x, past, segment)
        conv = F.silu(conv)
        read, state = cell(*self._inputs(conv, x), state, segment, want_state, reads)
        conv = conv if reads is None else conv[:, reads]
        return self.proj_down((read + self.learnable_skip * conv) * F.silu(z)), past, state

    def _inputs(self, conv: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """Return q, k, v (B, NH, S, DH) and pre-activations of input and forget gate (B, NH, S).

        conv, x: the up-projection's first half (B, S, E), after and before the convolution.
        """
        cell = self.mlstm_cell
        heads = cell.config.num_heads
        weight, bias = cell.gate_map()
        if many_tokens(x):
            q, k = self.q_proj.by_heads(conv, heads), self.k_proj.by_heads(conv, heads)
            v = self.v_proj.by_heads(x, heads)
            maps = torch.stack([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
            gates = cell.gates((conv, x), reaches(weight, maps), bias)
            return q, k, v, *gates
        q, k, v = self.q_proj(conv), self.k_proj(conv), self.v_proj(x)
        gates = cell.gates((q, k, v), weight.chunk(3, dim=-1), bias)
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        return q, k, v, *gates

    def _fused(
        self,
        u: Tensor,
        past: Tensor | None,
        state: CellState | None,
        segment: Tensor | None,
        want_state: bool,
        reads: slice | None,
        mlstm_inputs: Callable[..., Any],
        mlstm_output: Callable[..., Tensor],
    ) -> tuple[Tensor, Tensor, CellState | None]:
        """As :meth:`forward`, by kernels; no gradient goes through ``past``, old or new."""
        cell = self.mlstm_cell
        with torch.no_grad():
            # A copy, as a view would keep all of u, and torch.compile would seek its gradient.
            new_past = u[:, 1 - CONV_WIDTH :, : u.shape[-1] // 2]
            new_past = new_past.to(cell.igate.weight.dtype, copy=True)
            if segment is not None:
                kept = segment[:, 1 - CONV_WIDTH :] == segment[:, -1:]
                new_past = new_past * kept.unsqueeze(-1)
        with torch.autocast(u.device.type, enabled=False):
            inputs = mlstm_inputs(
                *(u, past, segment, self.conv1d.conv.weight, self.conv1d.conv.bias),
                *(self.q_proj.weight, self.k_proj.weight, self.v_proj.weight),
                *cell.gate_map(),
                cell.config.num_heads,
            )
            i, f = inputs.gates.chunk(2, dim=1)
            read, state = cell.read(
                *(inputs.q, inputs.k, inputs.v, i, f, state, segment, want_state)
            )
            out = mlstm_output(
                *(read.to(u.dtype), cell.outnorm.weight, self.learnable_skip),
                *(inputs.conv, u, inputs.link),
            )
        return self.proj_down(out if reads is None else out[:, reads]), new_past, state


class MLSTMBlock(nn.Module):
    """Residual block: norm, then the mLSTM layer.

    State: ``conv`` (B, 3, 2 * d_model), ``C`` (B, NH, DH, DH), ``n`` (B, NH, DH), ``m`` (B, NH).
    """

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        self.xlstm_norm = ResidualNorm(config.d_model)
        self.xlstm = MLSTMLayer(config)
        heads, size = config.num_heads, config.head_size
        self.state_shapes: dict[str, tuple[int, ...]] = {
            "conv": (CONV_WIDTH - 1, config.inner_size),
            "C": (heads, size, size),
            "n": (heads, size),
            "m": (heads,),
        }

    def forward(
        self,
        x: Tensor,
        state: State | None,
        segment: Tensor | None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, State]:
        """As the stack's, of one block; ``state`` is None at an episode's start."""
        past = cell = None
        if state is not None:
            past, cell = state["conv"], CellState(state["C"], state["n"], state["m"])
        y, past, cell = self.xlstm(self.xlstm_norm(x), past, cell, segment, want_state, reads)
        x = x if reads is None else x[:, reads]
        return x + y, {} if cell is None else {"conv": past, **cell._asdict()}
