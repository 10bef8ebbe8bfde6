"""The sLSTM block: convolution, scalar memory with recurrent gates, gated feed-forward network.

Parameter names and layouts are those of the official ``xlstm`` package (its ``vanilla`` backend;
weights of its ``cuda`` backend are rearranged when they are loaded). Source: Beck et al., "xLSTM:
Extended Long Short-Term Memory", 2024, figure 10.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.backbones.base import State
from lram_core.backbones.causal_conv import CONV_WIDTH, CausalConv
from lram_core.backbones.layers import BlockDiagonal, ResidualNorm
from lram_core.backbones.products import Linear
from lram_core.slstm import ScalarState, slstm_scan

if TYPE_CHECKING:
    from lram_core.backbones.xlstm import XLSTMConfig

GATES = 4
FFN_FACTOR = 1.3
FFN_MULTIPLE = 64


def ffn_size(d_model: int) -> int:
    """Width of the feed-forward network: 1.3 d_model, rounded up to a multiple of 64."""
    return math.ceil(FFN_FACTOR * d_model / FFN_MULTIPLE) * FFN_MULTIPLE


class ScalarCell(nn.Module):
    """Recurrent weights and gate biases around :func:`lram_core.slstm.slstm_scan`.

    ``_recurrent_kernel_`` is (NH, 4 * DH, DH), ``_bias_`` (4 * NH * DH,) by gate, then head; the
    gates in the order i, f, z, o.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, size // heads
        self._recurrent_kernel_ = nn.Parameter(
            torch.zeros(heads, GATES * self.head_size, self.head_size)
        )
        self._bias_ = nn.Parameter(torch.zeros(GATES * size))

    def reset_parameters(self, depth: float) -> None:
        """Forget biases fall from 5 to -7 within a head by a power law that grows with ``depth``.

        depth is 0 for the first block of a stack and 1 for the last. Everything else is zero.
        """
        nn.init.zeros_(self._recurrent_kernel_)
        unit = torch.arange(self.head_size) / max(1, self.head_size - 1)
        forget = 5.0 - 12.0 * unit ** (0.3 + 1.3 * depth)
        with torch.no_grad():
            self._bias_.zero_()
            self._bias_.view(GATES, self.heads, -1)[1] = forget

    def forward(
        self, inputs: Tensor, state: ScalarState, segment: Tensor | None
    ) -> tuple[Tensor, ScalarState]:
        """inputs (B, S, 4, D) → outputs (B, S, D) and the state."""
        # Gates and memory stay in float32 even under autocast, as in the mLSTM.
        with torch.autocast(inputs.device.type, enabled=False):
            dtype = state.c.dtype
            starts = None
            if segment is not None:
                starts = torch.diff(segment, dim=1, prepend=torch.zeros_like(segment[:, :1])) > 0
            biased = inputs.to(dtype) + self._bias_.view(GATES, -1)
            biased = biased.unflatten(-1, (self.heads, self.head_size))
            return slstm_scan(biased, self._recurrent_kernel_, state, starts)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Accept the layout of the official ``cuda`` backend: kernel (NH, DH, 4 * DH), bias by
        head, then gate."""
        kernel = state_dict.get(prefix + "_recurrent_kernel_")
        bias = state_dict.get(prefix + "_bias_")
        theirs = (self.heads, self.head_size, GATES * self.head_size)
        if kernel is not None and bias is not None and tuple(kernel.shape) == theirs:
            by_gate = bias.view(self.heads, GATES, -1).transpose(0, 1)
            state_dict[prefix + "_recurrent_kernel_"] = kernel.transpose(1, 2)
            state_dict[prefix + "_bias_"] = by_gate.reshape(-1)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class SLSTMLayer(nn.Module):
    """Convolution, gate inputs, memory, norm of each head."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        size, heads = config.d_model, config.slstm_heads
        self.conv1d = CausalConv(size)
        self.fgate = BlockDiagonal(size, heads)
        self.igate = BlockDiagonal(size, heads)
        self.zgate = BlockDiagonal(size, heads)
        self.ogate = BlockDiagonal(size, heads)
        self.slstm_cell = ScalarCell(size, heads)
        self.group_norm = ResidualNorm(size, heads)

    def forward(
        self,
        x: Tensor,
        past: Tensor,
        state: ScalarState,
        segment: Tensor | None,
        reads: slice | None = None,
    ) -> tuple[Tensor, Tensor, ScalarState]:
        conv, past = self.conv1d(x, past, segment)
        conv = F.silu(conv)
        # The published weights have these two the other way round: `fgate` opens the input gate
        # and `igate` is the forget gate.
        gates = (self.fgate(conv), self.igate(conv), self.zgate(x), self.ogate(x))
        read, state = self.slstm_cell(torch.stack(gates, dim=-2), state, segment)
        return self.group_norm(read if reads is None else read[:, reads]), past, state


class GatedFFN(nn.Module):
    """Feed-forward network gated by an exact (erf) GELU."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        width = ffn_size(d_model)
        self.proj_up = Linear(d_model, 2 * width, bias=False)
        self.proj_down = Linear(width, d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.proj_up(x).chunk(2, dim=-1)
        return self.proj_down(F.gelu(gate) * up)


class SLSTMBlock(nn.Module):
    """Two residual halves: norm and sLSTM layer, norm and feed-forward network.

    State: ``conv`` (B, 3, d_model), ``h``, ``c``, ``n``, ``m`` (B, d_model) each.
    """

    def __init__(self, config: XLSTMConfig, layer: int) -> None:
        super().__init__()
        size = config.d_model
        self.xlstm_norm = ResidualNorm(size)
        self.xlstm = SLSTMLayer(config)
        self.ffn_norm = ResidualNorm(size)
        self.ffn = GatedFFN(size)
        self.state_shapes: dict[str, tuple[int, ...]] = {
            "conv": (CONV_WIDTH - 1, size),
            **dict.fromkeys(ScalarState._fields, (size,)),
        }
        self.reset_parameters(config, layer)

    def reset_parameters(self, config: XLSTMConfig, layer: int) -> None:
        """Small-init inputs, depth-scaled outputs, power-law forget biases (xLSTM paper)."""
        small = math.sqrt(2 / (5 * config.d_model))
        cell = self.xlstm
        for inputs in (cell.fgate, cell.igate, cell.zgate, cell.ogate, self.ffn.proj_up):
            nn.init.normal_(inputs.weight, std=small)
        nn.init.normal_(
            self.ffn.proj_down.weight, std=2 / config.num_layers / math.sqrt(config.d_model)
        )
        cell.slstm_cell.reset_parameters(layer / max(1, config.num_layers - 1))

    def forward(
        self,
        x: Tensor,
        state: State | None,
        segment: Tensor | None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, State]:
        """As the stack's, of one block; ``state`` is None at an episode's start."""
        if state is None:
            dtype = self.ffn_norm.weight.dtype
            state = {
                name: torch.zeros(len(x), *shape, dtype=dtype, device=x.device)
                for name, shape in self.state_shapes.items()
            }
        cell = ScalarState(*(state[name] for name in ScalarState._fields))
        y, past, cell = self.xlstm(self.xlstm_norm(x), state["conv"], cell, segment, reads)
        x = y + (x if reads is None else x[:, reads])
        x = x + self.ffn(self.ffn_norm(x))
        return x, {"conv": past, **cell._asdict()} if want_state else {}
