"""xLSTM [1:0]: a stack of mLSTM blocks.

Parameter names and layouts are those of the official ``xlstm`` package (block stack, v1 cell), so
its checkpoints load with ``load_state_dict``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.mlstm import CellState, mlstm_chunk

CONV_WIDTH = 4
QKV_BLOCK = 4
EXPANSION = 2


@dataclass(frozen=True)
class XLSTMConfig:
    """Shape of the stack.

    Attributes:
        d_model: width of a token.
        num_layers: number of mLSTM blocks.
        num_heads: heads a block; the head size is ``2 * d_model / num_heads``.
        chunk_size: most tokens handled by one quadratic chunk of the parallel form. Longer
            sequences pass the state from chunk to chunk.
    """

    d_model: int
    num_layers: int
    num_heads: int = 4
    chunk_size: int = 75

    def __post_init__(self) -> None:
        for name in ("d_model", "num_layers", "num_heads", "chunk_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}: expected a positive integer, found {value!r}")
        if self.inner_size % self.num_heads or self.inner_size % QKV_BLOCK:
            raise ValueError(
                f"2 * d_model = {self.inner_size} must be a multiple of num_heads = "
                f"{self.num_heads} and of {QKV_BLOCK}"
            )

    @property
    def inner_size(self) -> int:
        return EXPANSION * self.d_model

    @property
    def head_size(self) -> int:
        return self.inner_size // self.num_heads


class ResidualNorm(nn.Module):
    """LayerNorm over ``groups`` equal parts, without bias, scaled by ``1 + weight``."""

    def __init__(self, size: int, groups: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unflatten(-1, (self.groups, -1))
        return F.layer_norm(parts, parts.shape[-1:]).flatten(-2) * (1.0 + self.weight)


class BlockDiagonal(nn.Module):
    """Linear map without bias that mixes neighbouring channels in blocks of ``QKV_BLOCK``."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(size // QKV_BLOCK, QKV_BLOCK, QKV_BLOCK))

    def forward(self, x: Tensor) -> Tensor:
        blocks = x.unflatten(-1, (-1, QKV_BLOCK))
        return torch.einsum("...hi,hoi->...ho", blocks, self.weight).flatten(-2)


class CausalConv(nn.Module):
    """Depthwise convolution over the last ``CONV_WIDTH`` tokens of the same episode."""

    def __init__(self, size: int) -> None:
        super().__init__()
        # A Conv1d for its parameters' names and initialisation; it is applied tap by tap below.
        self.conv = nn.Conv1d(size, size, CONV_WIDTH, groups=size)

    def forward(self, x: Tensor, past: Tensor, segment: Tensor | None) -> tuple[Tensor, Tensor]:
        """x (B, S, D), past (B, CONV_WIDTH - 1, D) → the same shapes."""
        length = x.shape[1]
        window = torch.cat([past.to(x.dtype), x], dim=1)
        taps = self.conv.weight[:, 0].t()
        bias = self.conv.bias
        assert bias is not None
        y = torch.addcmul(bias, taps[-1], x)
        segments = None
        if segment is not None:
            segments = F.pad(segment, (CONV_WIDTH - 1, 0))
        for tap in range(CONV_WIDTH - 1):
            older = window[:, tap : tap + length]
            if segments is not None and segment is not None:
                same = segments[:, tap : tap + length] == segment
                older = older * same.unsqueeze(-1)
            y = torch.addcmul(y, taps[tap], older)
        new_past = window[:, length:]
        if segments is not None:
            new_past = new_past * (segments[:, length:] == segments[:, -1:]).unsqueeze(-1)
        return y, new_past.to(past.dtype)


class Cell(nn.Module):
    """Gates, memory and per-head norm around :func:`lram_core.mlstm.mlstm_chunk`."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.igate = nn.Linear(3 * config.inner_size, config.num_heads)
        self.fgate = nn.Linear(3 * config.inner_size, config.num_heads)
        self.outnorm = ResidualNorm(config.inner_size, config.num_heads)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, state: CellState, segment: Tensor | None
    ) -> tuple[Tensor, CellState]:
        # Gates and memory stay in float32 even under autocast: in bfloat16 the stabiliser rounds
        # and the error grows with the episode.
        with torch.autocast(q.device.type, enabled=False):
            dtype = state.C.dtype
            q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
            i, f = self._gates(q, k, v)
            heads = (self.config.num_heads, self.config.head_size)
            q, k, v = (x.unflatten(-1, heads).transpose(1, 2) for x in (q, k, v))
            reads = []
            for start in range(0, q.shape[2], self.config.chunk_size):
                part = slice(start, start + self.config.chunk_size)
                seg = None
                if segment is not None:
                    before = segment[:, start - 1 : start] if start else 0
                    seg = segment[:, part] - before
                read, state = mlstm_chunk(
                    q[:, :, part],
                    k[:, :, part],
                    v[:, :, part],
                    i[..., part],
                    f[..., part],
                    state,
                    seg,
                )
                reads.append(read)
            read = torch.cat(reads, dim=2) if len(reads) > 1 else reads[0]
            return self.outnorm(read.transpose(1, 2).flatten(-2)), state

    def _gates(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return input and forget gate pre-activations (B, NH, S) in one product per input.

        The official layout is two maps of [q, k, v]; joining the maps is cheaper than the inputs.
        """
        weights = torch.cat([self.igate.weight, self.fgate.weight]).chunk(3, dim=-1)
        gates = F.linear(q, weights[0], torch.cat([self.igate.bias, self.fgate.bias]))
        gates = gates + F.linear(k, weights[1]) + F.linear(v, weights[2])
        i, f = gates.transpose(1, 2).chunk(2, dim=1)
        return i, f


class MLSTMLayer(nn.Module):
    """Up-projection, convolution, memory, output gate, down-projection (xLSTM paper, figure 11)."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        inner = config.inner_size
        self.proj_up = nn.Linear(config.d_model, 2 * inner, bias=False)
        self.q_proj = BlockDiagonal(inner)
        self.k_proj = BlockDiagonal(inner)
        self.v_proj = BlockDiagonal(inner)
        self.conv1d = CausalConv(inner)
        self.mlstm_cell = Cell(config)
        self.learnable_skip = nn.Parameter(torch.ones(inner))
        self.proj_down = nn.Linear(inner, config.d_model, bias=False)
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
        self, x: Tensor, past: Tensor, state: CellState, segment: Tensor | None
    ) -> tuple[Tensor, Tensor, CellState]:
        x, z = self.proj_up(x).chunk(2, dim=-1)
        conv, past = self.conv1d(x, past, segment)
        conv = F.silu(conv)
        read, state = self.mlstm_cell(
            self.q_proj(conv), self.k_proj(conv), self.v_proj(x), state, segment
        )
        return self.proj_down((read + self.learnable_skip * conv) * F.silu(z)), past, state


class Block(nn.Module):
    """Residual block: norm, then the mLSTM layer."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        self.xlstm_norm = ResidualNorm(config.d_model)
        self.xlstm = MLSTMLayer(config)

    def forward(
        self, x: Tensor, past: Tensor, state: CellState, segment: Tensor | None
    ) -> tuple[Tensor, Tensor, CellState]:
        y, past, state = self.xlstm(self.xlstm_norm(x), past, state, segment)
        return x + y, past, state


class XLSTM(nn.Module):
    """The stack. See :mod:`lram_core.backbones` for the interface."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.post_blocks_norm = ResidualNorm(config.d_model)

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Return the state before the first token of an episode, for ``batch`` sequences.

        Per layer, in the parameters' precision: ``conv`` (B, 3, 2 * d_model),
        ``C`` (B, NH, DH, DH), ``n`` (B, NH, DH), ``m`` (B, NH).
        """
        c = self.config
        dtype = self.post_blocks_norm.weight.dtype
        state: dict[str, Tensor] = {}
        for layer in range(c.num_layers):
            for name, shape in (
                ("conv", (batch, CONV_WIDTH - 1, c.inner_size)),
                ("C", (batch, c.num_heads, c.head_size, c.head_size)),
                ("n", (batch, c.num_heads, c.head_size)),
                ("m", (batch, c.num_heads)),
            ):
                state[f"{layer}.{name}"] = torch.zeros(shape, dtype=dtype, device=device)
        return state

    def forward(
        self,
        tokens: Tensor,
        reset_mask: Tensor | None = None,
        state: dict[str, Tensor] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Run S tokens from ``state``.

        Args:
            tokens: (B, S, d_model).
            reset_mask: (B, S) bool, True on the first token of an episode: nothing before it is
                seen by it or by later tokens.
            state: state before the first token; None for the initial one.

        Returns:
            Hidden (B, S, d_model) and the state after the last token.
        """
        if state is None:
            state = self.init_state(tokens.shape[0], tokens.device)
        segment = None if reset_mask is None else torch.cumsum(reset_mask.long(), dim=-1)
        new: dict[str, Tensor] = {}
        x = tokens
        for layer, block in enumerate(self.blocks):
            cell = CellState(*(state[f"{layer}.{name}"] for name in CellState._fields))
            x, past, cell = block(x, state[f"{layer}.conv"], cell, segment)
            new[f"{layer}.conv"] = past
            new.update({f"{layer}.{name}": value for name, value in cell._asdict().items()})
        return self.post_blocks_norm(x), new

    def step(self, tokens: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Advance by the T tokens of a control tick in one pass over the weights.

        tokens (B, T, d_model) → hidden (B, T, d_model) and the new state.
        """
        return self.forward(tokens, None, state)
