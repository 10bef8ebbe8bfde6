"""The xLSTM stack in an ONNX graph: its blocks one after another."""

from __future__ import annotations

from lram_core.backbones.mlstm_block import MLSTMBlock
from lram_core.backbones.slstm_block import SLSTMBlock
from lram_core.backbones.xlstm import XLSTM
from lram_core.onnx_export.graph import Graph
from lram_core.onnx_export.layers import residual_norm
from lram_core.onnx_export.mlstm import write_mlstm
from lram_core.onnx_export.slstm import write_slstm


def write(
    graph: Graph, backbone: XLSTM, x: str, state: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """x (1, T, d_model) and the inputs of the state → hidden (1, T, d_model), the new state."""
    new: dict[str, str] = {}
    for layer, block in enumerate(backbone.blocks):
        path = f"backbone.blocks.{layer}"
        with graph.scope(f"block{layer}"):
            own = {
                name.split(".")[1]: value
                for name, value in state.items()
                if name.startswith(f"{layer}.")
            }
            if isinstance(block, MLSTMBlock):
                x, after = write_mlstm(graph, block, x, own, path)
            else:
                assert isinstance(block, SLSTMBlock)
                x, after = write_slstm(graph, block, x, own, path)
            new.update({f"{layer}.{name}": value for name, value in after.items()})
    return residual_norm(graph, x, backbone.post_blocks_norm), new
