"""Mamba: a stack of selective state space blocks.

Parameter names and layouts are those of ``mamba_ssm`` and of transformers' ``MambaModel``; see
:func:`from_official` for whole checkpoints. Source: Gu and Dao, "Mamba: Linear-Time Sequence
Modeling with Selective State Spaces", 2023, algorithm 2 and section 3.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.backbones.base import Backbone, State, positive
from lram_core.backbones.causal_conv import CONV_WIDTH, causal_conv
from lram_core.backbones.layers import segments
from lram_core.backbones.products import Linear, linear
from lram_core.selective_scan import selective_scan

EXPANSION = 2
STATE_SIZE = 16
NORM_EPS = 1e-5
# Step sizes at initialisation: log-uniform between the two, in tokens.
DT_RANGE = (1e-3, 1e-1)


@dataclass(frozen=True)
class MambaConfig:
    """Shape of the stack.

    Attributes:
        d_model: width of a token.
        num_layers: number of blocks.
        chunk_size: tokens of which intermediate states are kept at a time in training.
    """

    d_model: int
    num_layers: int
    chunk_size: int = 16

    def __post_init__(self) -> None:
        positive(self, "d_model", "num_layers", "chunk_size")

    @property
    def inner_size(self) -> int:
        return EXPANSION * self.d_model

    @property
    def dt_rank(self) -> int:
        return math.ceil(self.d_model / 16)


class Mixer(nn.Module):
    """Projection, convolution, selective state space, output gate, projection."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.config = config
        inner, rank = config.inner_size, config.dt_rank
        self.in_proj = Linear(config.d_model, 2 * inner, bias=False)
        # A Conv1d for its parameters' names and initialisation; see causal_conv.
        self.conv1d = nn.Conv1d(inner, inner, CONV_WIDTH, groups=inner)
        self.x_proj = Linear(inner, rank + 2 * STATE_SIZE, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, STATE_SIZE))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = Linear(inner, config.d_model, bias=False)
        self.reset_parameters(config)

    def reset_parameters(self, config: MambaConfig) -> None:
        """Decay rates 1 to 16, short steps, depth-scaled outputs (Mamba paper, section 3.6)."""
        low, high = (math.log(x) for x in DT_RANGE)
        dt = torch.exp(torch.rand(config.inner_size) * (high - low) + low)
        with torch.no_grad():
            self.A_log.copy_(torch.arange(1.0, STATE_SIZE + 1).log().expand_as(self.A_log))
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus gives dt
            self.out_proj.weight.div_(math.sqrt(config.num_layers))
        nn.init.uniform_(self.dt_proj.weight, -(config.dt_rank**-0.5), config.dt_rank**-0.5)

    def forward(
        self,
        x: Tensor,
        past: Tensor,
        ssm: Tensor,
        segment: Tensor | None,
        reads: slice | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        if reads is None:
            x, z = self.in_proj(x).chunk(2, dim=-1)
        else:
            w_x, w_z = self.in_proj.weight.chunk(2)
            x, z = linear(x, w_x), linear(x[:, reads], w_z)
        x, past = causal_conv(self.conv1d, x, past, segment)
        x = F.silu(x)
        rank = self.config.dt_rank
        step, write, read = self.x_proj(x).split([rank, STATE_SIZE, STATE_SIZE], dim=-1)
        # Steps and state stay in float32 even under autocast: a decay near one rounds to one.
        with torch.autocast(x.device.type, enabled=False):
            dtype = ssm.dtype
            x, step, write, read = (v.to(dtype) for v in (x, step, write, read))
            y, ssm = selective_scan(
                x,
                F.softplus(self.dt_proj(step)),
                -torch.exp(self.A_log),
                write,
                read,
                ssm,
                segment,
                self.config.chunk_size,
            )
            if reads is not None:
                x, y = x[:, reads], y[:, reads]
            y = torch.addcmul(y, x, self.D)
        return self.out_proj(y * F.silu(z)), past, ssm


class Block(nn.Module):
    """Residual block: norm, then the mixer."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.d_model, eps=NORM_EPS)
        self.mixer = Mixer(config)

    def forward(
        self,
        x: Tensor,
        past: Tensor,
        ssm: Tensor,
        segment: Tensor | None,
        reads: slice | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, past, ssm = self.mixer(self.norm(x), past, ssm, segment, reads)
        return (x if reads is None else x[:, reads]) + y, past, ssm


class Mamba(Backbone):
    """The stack. See :class:`lram_core.backbones.base.Backbone` for the interface."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm_f = nn.RMSNorm(config.d_model, eps=NORM_EPS)

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the state before the first token of an episode, for ``batch`` sequences.

        Per layer, in the parameters' precision: ``conv`` (B, 3, 2 * d_model), ``ssm``
        (B, 2 * d_model, 16).
        """
        inner, dtype = self.config.inner_size, self.norm_f.weight.dtype
        shapes = {"conv": (CONV_WIDTH - 1, inner), "ssm": (inner, STATE_SIZE)}
        return {
            f"{layer}.{name}": torch.zeros(batch, *shape, dtype=dtype, device=device)
            for layer in range(self.config.num_layers)
            for name, shape in shapes.items()
        }

    def forward(
        self,
        tokens: Tensor,
        reset_mask: Tensor | None = None,
        state: State | None = None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, State]:
        if state is None:
            state = self.init_state(tokens.shape[0], tokens.device)
        segment = segments(reset_mask)
        new: State = {}
        x = tokens
        for layer, block in enumerate(self.layers):
            last = reads is not None and layer == len(self.layers) - 1
            x, past, ssm = block(
                *(x, state[f"{layer}.conv"], state[f"{layer}.ssm"], segment),
                *([reads] if last else []),
            )
            new[f"{layer}.conv"], new[f"{layer}.ssm"] = past, ssm
        return self.norm_f(x), new if want_state else {}


def from_official(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a ``mamba_ssm`` or transformers Mamba under our names.

    Drops the ``backbone.`` before the names of a language model, and what is not of the stack: its
    token embedding and output head.
    """
    names = {name: name.removeprefix("backbone.") for name in weights}
    return {
        ours: weights[theirs]
        for theirs, ours in names.items()
        if ours.startswith(("layers.", "norm_f."))
    }
