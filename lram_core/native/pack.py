"""An action model as the kernel library takes it: a shape and weights in one fixed order."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import make_config
from lram_core.backbones.mamba import MambaConfig
from lram_core.backbones.slstm_block import ffn_size
from lram_core.backbones.xlstm import XLSTMConfig
from lram_core.native.library import Shape
from lram_core.quantise import quantise, quantised_names

MLSTM, SLSTM, MAMBA = range(3)
INT8 = 16  # added to a block's kind
# Vectors of the widest instruction set are whole in every part of a model.
UNIT = 16


@dataclass
class Packed:
    """A model's description, and the memory it points to.

    Attributes:
        shape: sizes, for ``lram_create``.
        arrays: weights in the order that the library reads them.
    """

    shape: Shape
    arrays: list[npt.NDArray[np.generic]]
    blocks: ctypes.Array[ctypes.c_int32]

    def pointers(self) -> ctypes.Array[ctypes.c_void_p]:
        return (ctypes.c_void_p * len(self.arrays))(*(a.ctypes.data for a in self.arrays))


def unsupported(config: ModelConfig) -> str | None:
    """Return why the library has no kernels for such a model; None if it has."""
    if config.pictures:
        return "it has no convolutions, and the model sees pictures"
    shape = make_config(config.backbone, config.backbone_options)
    sizes = {"d_model": shape.d_model}
    if isinstance(shape, XLSTMConfig):
        sizes["head size"] = shape.head_size
        if shape.slstm_at:
            sizes["sLSTM head size"] = shape.d_model // shape.slstm_heads
    elif not isinstance(shape, MambaConfig):
        return f"there are no native kernels for the backbone {config.backbone}"
    odd = [f"{name} {size}" for name, size in sizes.items() if size % UNIT]
    return f"{odd[0]} is not a multiple of {UNIT}" if odd else None


def pack(model: ActionModel, int8: bool, threads: int = 1, second_cpu: int = -1) -> Packed:
    """Describe a model that is not :func:`unsupported`.

    Args:
        model: on any device.
        int8: quantise the large projections, see :mod:`lram_core.quantise`.
        threads: 1 or 2.
        second_cpu: CPU to pin the second thread to; -1 for none.
    """
    config = model.config
    shape = make_config(config.backbone, config.backbone_options)
    quantised = set(quantised_names(model)) if int8 else set()
    writer = _Writer(model.state_dict(), quantised)
    for norm, embed in (
        ("observation_norm", "embed_state"),
        ("return_norm", "embed_return"),
        ("reward_norm", "embed_reward"),
    ):
        writer.add("", f"{norm}.mean", f"{norm}.std", f"{embed}.weight", f"{embed}.bias")
    writer.add("", "embed_norm.weight", "embed_norm.bias")
    sizes: dict[str, int] = {}
    if isinstance(shape, XLSTMConfig):
        sizes = {"num_heads": shape.num_heads, "slstm_heads": shape.slstm_heads}
        if shape.slstm_at:
            sizes["ffn_size"] = ffn_size(shape.d_model)
        blocks = [SLSTM if i in shape.slstm_at else MLSTM for i in range(shape.num_layers)]
        for layer, kind in enumerate(blocks):
            prefix = f"backbone.blocks.{layer}."
            if kind == MLSTM:
                writer.add(prefix, *_MLSTM)
            else:
                _add_slstm(writer, prefix, shape.slstm_heads)
        writer.add("backbone.", "post_blocks_norm.weight")
    else:
        assert isinstance(shape, MambaConfig)
        sizes = {"dt_rank": shape.dt_rank}
        blocks = [MAMBA] * shape.num_layers
        for layer in range(shape.num_layers):
            writer.add(f"backbone.layers.{layer}.", *_MAMBA)
        writer.add("backbone.", "norm_f.weight")
    writer.add("", "head.weight", "head.bias")
    rounded = {int(name.split(".")[2]) for name in quantised}
    kinds = (ctypes.c_int32 * len(blocks))(
        *(kind + INT8 * (layer in rounded) for layer, kind in enumerate(blocks))
    )
    described = Shape(
        observation_size=config.observation_size,
        action_size=config.action_size,
        bins=config.bins,
        d_model=shape.d_model,
        num_layers=shape.num_layers,
        threads=threads,
        second_cpu=second_cpu,
        blocks=kinds,
        **sizes,
    )
    return Packed(described, writer.arrays, kinds)


_MLSTM = (
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
_MAMBA = (
    "norm.weight",
    "mixer.in_proj.weight",
    "mixer.conv1d.weight",
    "mixer.conv1d.bias",
    "mixer.x_proj.weight",
    "mixer.dt_proj.weight",
    "mixer.dt_proj.bias",
    "mixer.A_log",
    "mixer.D",
    "mixer.out_proj.weight",
)


class _Writer:
    def __init__(self, weights: dict[str, Tensor], quantised: set[str]) -> None:
        self._weights, self._quantised = weights, quantised
        self.arrays: list[npt.NDArray[np.generic]] = []

    def add(self, prefix: str, *names: str) -> None:
        """Append weights; a quantised one as int8 values, then scales."""
        for name in names:
            weight = self.weight(prefix + name)
            parts = quantise(weight) if prefix + name in self._quantised else (weight,)
            self.add_tensors(*parts)

    def add_tensors(self, *tensors: Tensor) -> None:
        self.arrays += [tensor.contiguous().numpy() for tensor in tensors]

    def weight(self, name: str) -> Tensor:
        return self._weights[name].detach().to("cpu", torch.float32)


def _add_slstm(writer: _Writer, prefix: str, heads: int) -> None:
    writer.add(prefix, "xlstm_norm.weight", "xlstm.conv1d.conv.weight", "xlstm.conv1d.conv.bias")
    # `fgate` opens the input gate and `igate` is the forget gate, as in slstm_block.
    inputs = [writer.weight(f"{prefix}xlstm.{gate}gate.weight") for gate in "fizo"]
    recurrent = writer.weight(f"{prefix}xlstm.slstm_cell._recurrent_kernel_")
    bias = writer.weight(f"{prefix}xlstm.slstm_cell._bias_").view(len(inputs), heads, -1)
    for head in range(heads):
        halves = recurrent[head].chunk(2)
        for pair, half in enumerate(halves):
            first, second = 2 * pair, 2 * pair + 1
            writer.add_tensors(
                torch.cat([inputs[first][head], inputs[second][head]]),
                torch.cat([bias[first, head], bias[second, head]]),
                half,
            )
    writer.add(prefix, "xlstm.group_norm.weight", "ffn_norm.weight")
    writer.add(prefix, "ffn.proj_up.weight", "ffn.proj_down.weight")
