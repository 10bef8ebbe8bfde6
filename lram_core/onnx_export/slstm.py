"""The sLSTM block in an ONNX graph: :mod:`lram_core.backbones.slstm_block`."""

from __future__ import annotations

from lram_core.backbones.slstm_block import SLSTMBlock
from lram_core.onnx_export.graph import Graph


def write_slstm(
    g: Graph, block: SLSTMBlock, x: str, state: dict[str, str], path: str
) -> tuple[str, dict[str, str]]:
    raise NotImplementedError
