"""xLSTM: a stack of mLSTM blocks, with sLSTM blocks at any places of it.

[1:0] has none; [7:1] as in the paper has them at the places that :mod:`lram_core.backbones.sizes`
lists. Parameter names and layouts are those of the official ``xlstm`` package (block stack, v1
cell), so its checkpoints load with ``load_state_dict``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lram_core.backbones.base import Backbone, State, positive
from lram_core.backbones.layers import ResidualNorm, segments
from lram_core.backbones.mlstm_block import QKV_BLOCK, MLSTMBlock
from lram_core.backbones.slstm_block import SLSTMBlock

EXPANSION = 2


@dataclass(frozen=True)
class XLSTMConfig:
    """Shape of the stack.

    Attributes:
        d_model: width of a token.
        num_layers: number of blocks.
        num_heads: heads of an mLSTM block; the head size is ``2 * d_model / num_heads``. The
            state of a block is ``4 * d_model**2 / num_heads`` values.
        chunk_size: most tokens handled by one quadratic chunk of the parallel form. Longer
            sequences pass the state from chunk to chunk.
        slstm_at: which blocks, from 0, are sLSTM blocks; all others are mLSTM blocks. Any
            sequence of integers is taken and kept as a sorted tuple.
        slstm_heads: heads of an sLSTM block; the head size is ``d_model / slstm_heads``.
    """

    d_model: int
    num_layers: int
    num_heads: int = 4
    chunk_size: int = 75
    slstm_at: Sequence[int] = ()
    slstm_heads: int = 4

    def __post_init__(self) -> None:
        positive(self, "d_model", "num_layers", "num_heads", "chunk_size", "slstm_heads")
        if self.inner_size % self.num_heads or self.inner_size % QKV_BLOCK:
            raise ValueError(
                f"2 * d_model = {self.inner_size} must be a multiple of num_heads = "
                f"{self.num_heads} and of {QKV_BLOCK}"
            )
        object.__setattr__(self, "slstm_at", self._placement())
        if self.slstm_at and self.d_model % self.slstm_heads:
            raise ValueError(
                f"d_model = {self.d_model} must be a multiple of slstm_heads = {self.slstm_heads}"
            )

    def _placement(self) -> tuple[int, ...]:
        given = self.slstm_at
        blocks = range(self.num_layers)
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise ValueError(f"slstm_at: expected a list of block numbers, found {given!r}")
        wrong = [x for x in given if type(x) is not int or x not in blocks]
        if wrong:
            raise ValueError(
                f"slstm_at: expected block numbers from 0 to {blocks[-1]}, found {wrong[0]!r}"
            )
        if len(set(given)) < len(given):
            raise ValueError(f"slstm_at: found a block twice in {list(given)}")
        return tuple(sorted(given))

    @property
    def inner_size(self) -> int:
        return EXPANSION * self.d_model

    @property
    def head_size(self) -> int:
        return self.inner_size // self.num_heads


class XLSTM(Backbone):
    """The stack. See :class:`lram_core.backbones.base.Backbone` for the interface."""

    def __init__(self, config: XLSTMConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(
            SLSTMBlock(config, layer) if layer in config.slstm_at else MLSTMBlock(config)
            for layer in range(config.num_layers)
        )
        self.post_blocks_norm = ResidualNorm(config.d_model)

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the state before the first token of an episode, for ``batch`` sequences.

        Per layer, in the parameters' precision. mLSTM: ``conv`` (B, 3, 2 * d_model),
        ``C`` (B, NH, DH, DH), ``n`` (B, NH, DH), ``m`` (B, NH). sLSTM: ``conv`` (B, 3, d_model),
        ``h``, ``c``, ``n``, ``m`` (B, d_model) each.
        """
        dtype = self.post_blocks_norm.weight.dtype
        return {
            f"{layer}.{name}": torch.zeros(batch, *shape, dtype=dtype, device=device)
            for layer, block in enumerate(self.blocks)
            for name, shape in block.state_shapes.items()  # type: ignore[operator,union-attr]
        }

    def forward(
        self,
        tokens: Tensor,
        reset_mask: Tensor | None = None,
        state: State | None = None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, State]:
        segment = segments(reset_mask)
        new: State = {}
        x = tokens
        for layer, block in enumerate(self.blocks):
            names = block.state_shapes
            before = None if state is None else {n: state[f"{layer}.{n}"] for n in names}  # type: ignore[union-attr]
            last = reads is not None and layer == len(self.blocks) - 1
            x, after = block(x, before, segment, want_state, *([reads] if last else []))
            new.update({f"{layer}.{name}": value for name, value in after.items()})
        return self.post_blocks_norm(x), new
