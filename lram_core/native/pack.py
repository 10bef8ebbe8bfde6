"""An action model as the kernel library takes it: a shape and weights in one fixed order."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import make_config
from lram_core.backbones.xlstm import XLSTMConfig
from lram_core.native.library import Shape
from lram_core.quantise import quantise, quantised_names

MLSTM, SLSTM, MAMBA = range(3)
# Vectors of the widest instruction set are whole in every part of a model.
UNIT = 16

_INPUTS = (("observation_norm", "embed_state"), ("return_norm", "embed_return"))


@dataclass
class Packed:
    """A model's description. The arrays live as long as it does.

    Attributes:
        shape: sizes, for ``lram_create``.
        arrays: weights in the order that the library reads them.
    """

    shape: Shape
    arrays: list[npt.NDArray[np.generic]] = field(default_factory=list)
    _blocks: Any = None

    def pointers(self) -> ctypes.Array[ctypes.c_void_p]:
        return (ctypes.c_void_p * len(self.arrays))(*(a.ctypes.data for a in self.arrays))


def unsupported(config: ModelConfig) -> str | None:
    """Return why the library has no kernels for such a model; None if it has."""
    if config.backbone != "xlstm":
        return f"there are no native kernels for the backbone {config.backbone}"
    shape = make_config(config.backbone, config.backbone_options)
    assert isinstance(shape, XLSTMConfig)
    if shape.slstm_at:
        return "there are no native kernels for sLSTM blocks"
    for name, size in (("d_model", shape.d_model), ("head size", shape.head_size)):
        if size % UNIT:
            return f"{name} {size} is not a multiple of {UNIT}"
    return None


def pack(model: ActionModel, int8: bool) -> Packed:
    """Describe a model that is not :func:`unsupported`.

    Args:
        model: on any device.
        int8: quantise the large projections, see :mod:`lram_core.quantise`.
    """
    config = model.config
    shape = make_config(config.backbone, config.backbone_options)
    assert isinstance(shape, XLSTMConfig)
    blocks = [MLSTM] * shape.num_layers
    packed = Packed(
        Shape(
            observation_size=config.observation_size,
            action_size=config.action_size,
            bins=config.bins,
            d_model=shape.d_model,
            num_layers=shape.num_layers,
            num_heads=shape.num_heads,
            int8=int8,
            threads=1,
            second_cpu=-1,
        )
    )
    packed._blocks = (ctypes.c_int32 * len(blocks))(*blocks)
    packed.shape.blocks = packed._blocks
    writer = _Writer(model.state_dict(), set(quantised_names(model)) if int8 else set())
    for norm, embed in (*_INPUTS, ("reward_norm", "embed_reward")):
        writer.add(f"{norm}.mean", f"{norm}.std", f"{embed}.weight", f"{embed}.bias")
    writer.add("embed_norm.weight", "embed_norm.bias")
    for layer in range(shape.num_layers):
        writer.add(*(f"backbone.blocks.{layer}.{name}" for name in _MLSTM_WEIGHTS))
    writer.add("backbone.post_blocks_norm.weight", "head.weight", "head.bias")
    packed.arrays = writer.arrays
    return packed


_MLSTM_WEIGHTS = (
    "xlstm_norm.weight",
    "xlstm.proj_up.weight",
    "xlstm.conv1d.conv.weight",
    "xlstm.conv1d.conv.bias",
    "xlstm.q_proj.weight",
    "xlstm.k_proj.weight",
    "xlstm.v_proj.weight",
    "xlstm.mlstm_cell.igate.weight",
    "xlstm.mlstm_cell.fgate.weight",
    "xlstm.mlstm_cell.igate.bias",
    "xlstm.mlstm_cell.fgate.bias",
    "xlstm.mlstm_cell.outnorm.weight",
    "xlstm.learnable_skip",
    "xlstm.proj_down.weight",
)


class _Writer:
    def __init__(self, weights: dict[str, Tensor], quantised: set[str]) -> None:
        self._weights, self._quantised = weights, quantised
        self.arrays: list[npt.NDArray[np.generic]] = []

    def add(self, *names: str) -> None:
        """Append weights; a quantised one as int8 values, then scales."""
        for name in names:
            weight = self._weights[name].detach().to("cpu", torch.float32)
            parts = quantise(weight) if name in self._quantised else (weight,)
            self.arrays += [part.contiguous().numpy() for part in parts]
