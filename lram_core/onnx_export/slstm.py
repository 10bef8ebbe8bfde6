"""The sLSTM block in an ONNX graph: :mod:`lram_core.backbones.slstm_block`.

What the gates take from the tokens is computed for all of them at once; the recurrence through the
output goes token by token, in a ``Scan``.
"""

from __future__ import annotations

import numpy as np

from lram_core.backbones.slstm_block import GATES, SLSTMBlock
from lram_core.onnx_export.graph import Graph, numpy
from lram_core.onnx_export.layers import block_products, causal_conv_silu, residual_norm
from lram_core.slstm import ScalarState


def write_slstm(
    g: Graph, block: SLSTMBlock, x: str, state: dict[str, str], path: str
) -> tuple[str, dict[str, str]]:
    """x (1, T, d_model) → the same, and the new state."""
    layer = block.xlstm
    cell = layer.slstm_cell
    heads, size = cell.heads, cell.head_size
    normed = residual_norm(g, x, block.xlstm_norm)
    conv, new_conv = causal_conv_silu(g, normed, layer.conv1d.conv, state["conv"])
    # As in the block: `fgate` opens the input gate and `igate` is the forget gate.
    of_conv = block_products(g, conv, numpy(layer.fgate.weight), numpy(layer.igate.weight))
    of_x = block_products(g, normed, numpy(layer.zgate.weight), numpy(layer.ogate.weight))
    bias = numpy(cell._bias_).reshape(GATES, heads, 1, size).transpose(1, 2, 0, 3)
    gates = g.op("Concat", of_conv, of_x, axis=3)
    gates = g.op("Add", gates, g.constant(bias.reshape(heads, 1, GATES * size)))
    rows = g.op("Transpose", gates, perm=[2, 1, 0, 3])  # (T, NH, 1, 4 DH)

    kernel = g.constant(numpy(cell._recurrent_kernel_).transpose(0, 2, 1))
    before = [g.reshape(state[name], heads, 1, size) for name in ScalarState._fields]

    def step(g: Graph, before: list[str], row: str) -> tuple[list[str], str]:
        h, c, n, m = before
        i, f, z, o = g.split(g.op("Add", row, g.op("MatMul", h, kernel)), GATES)
        # log sigmoid(f) = -softplus(-f)
        carried = g.op("Sub", m, g.op("Softplus", g.op("Neg", f)))
        # An empty memory has no scale to keep: the first input sets it.
        empty = g.op("Equal", n, g.constant(0.0))
        carried = g.op("Where", empty, g.constant(-np.inf), carried)
        m = g.op("Max", i, carried)
        keep, write = (g.op("Exp", g.op("Sub", each, m)) for each in (carried, i))
        new = g.op("Mul", write, g.op("Tanh", z))
        c = g.op("Add", g.op("Mul", keep, c), new)
        n = g.op("Add", g.op("Mul", keep, n), write)
        h = g.op("Div", g.op("Mul", g.op("Sigmoid", o), c), n)
        return [h, c, n, m], g.op("Identity", h)

    after, read = g.scan(step, before, rows)
    y = residual_norm(g, g.reshape(read, 1, -1, heads * size), layer.group_norm)
    x = g.op("Add", x, y)
    up = residual_norm(g, x, block.ffn_norm)
    up = g.linear(up, block.ffn.proj_up.weight, f"{path}.ffn.proj_up.weight")
    gate, up = g.split(up, 2)
    y = g.op("Mul", g.op("Gelu", gate), up)
    y = g.linear(y, block.ffn.proj_down.weight, f"{path}.ffn.proj_down.weight")
    new = {
        name: g.reshape(value, 1, heads * size)
        for name, value in zip(ScalarState._fields, after, strict=True)
    }
    return g.op("Add", x, y), {"conv": new_conv, **new}
