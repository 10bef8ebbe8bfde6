"""The mLSTM block in an ONNX graph: :mod:`lram_core.backbones.mlstm_block`.

The matrix memory is ``com.microsoft.LinearAttention`` with the update rule ``gated``: it computes
``C_t = exp(g_t) C_{t-1} + k_t v_tᵀ`` and ``q_tᵀ C_t``, which is the mLSTM once gates and stabiliser
are folded into the log-decay ``g`` and the key. The normaliser is a second one, whose memory is a
single row a head.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import Tensor

from lram_core.backbones.mlstm_block import Cell, MLSTMBlock
from lram_core.mlstm import EPS
from lram_core.onnx_export.graph import MICROSOFT, Array, Graph, numpy
from lram_core.onnx_export.layers import NORM_EPS, block_diagonal, causal_conv_silu, residual_norm

# Maps of 4 × 4 blocks are joined to blocks of this width: a small product costs more to start than
# to do.
JOINED_BLOCK = 32
LONGEST = 8  # most tokens a call


def write_mlstm(
    g: Graph, block: MLSTMBlock, x: str, state: dict[str, str], path: str
) -> tuple[str, dict[str, str]]:
    """x (1, T, d_model) → the same, and the new state."""
    layer = block.xlstm
    cell = layer.mlstm_cell
    inner, heads, size = cell.config.inner_size, cell.config.num_heads, cell.config.head_size
    up = residual_norm(g, x, block.xlstm_norm)
    up = g.linear(up, layer.proj_up.weight, f"{path}.xlstm.proj_up.weight")
    value, z = g.split(up, 2)
    conv, new_conv = causal_conv_silu(g, value, layer.conv1d.conv, state["conv"])

    maps = [_joined(each.weight) for each in (layer.q_proj, layer.k_proj, layer.v_proj)]
    m, decay, key_weight, floor = _stabilise(g, _gates(g, cell, conv, value, maps), state["m"])
    q, k = block_diagonal(g, conv, maps[0], maps[1] / math.sqrt(size))
    (v,) = block_diagonal(g, value, maps[2])
    k = g.op("Mul", g.reshape(k, 0, 0, heads, size), key_weight)
    k = g.reshape(k, 0, 0, inner)

    rule: dict[str, Any] = {
        "update_rule": "gated",
        "scale": 1.0,
        "q_num_heads": heads,
        "kv_num_heads": heads,
    }
    read, new_c = g.ops(
        "LinearAttention", q, k, v, state["C"], decay, outputs=2, domain=MICROSOFT, **rule
    )
    ones = g.op("Expand", g.constant(np.ones((1, 1, heads))), g.op("Shape", decay))
    n = g.reshape(state["n"], 1, heads, 1, size)
    n_all, new_n = g.ops(
        "LinearAttention", ones, ones, k, n, decay, outputs=2, domain=MICROSOFT, **rule
    )
    overlap = g.reshape(g.op("Mul", q, n_all), 0, 0, heads, size)
    overlap = g.op("Abs", g.op("ReduceSum", overlap, g.constant([3], np.int64)))
    divisor = g.op("Add", g.op("Max", overlap, floor), g.constant(EPS))
    read = g.op("Div", g.reshape(read, 0, 0, heads, size), divisor)

    read = g.op("LayerNormalization", read, g.constant(np.ones(size)), epsilon=NORM_EPS)
    norm_weight = g.constant(1.0 + numpy(cell.outnorm.weight))
    read = g.op("Mul", g.reshape(read, 0, 0, inner), norm_weight)
    skip = g.op("Mul", conv, g.constant(numpy(layer.learnable_skip)))
    y = g.op("Mul", g.op("Add", read, skip), g.silu(z))
    y = g.linear(y, layer.proj_down.weight, f"{path}.xlstm.proj_down.weight")
    return g.op("Add", x, y), {
        "conv": new_conv,
        "C": new_c,
        "n": g.reshape(new_n, 1, heads, size),
        "m": g.op("Gather", m, g.constant(-1, np.int64), axis=1),
    }


def _gates(g: Graph, cell: Cell, conv: str, value: str, maps: list[Array]) -> str:
    """Return the pre-activations (1, T, 2 NH) of input and forget gates.

    They are maps of q, k and v, which are maps of conv and value: one product each.
    """
    weight, bias = map(numpy, cell.gate_map())
    of_q, of_k, of_v = np.split(weight.astype(np.float64), 3, axis=1)
    of_conv, of_value = _through(of_q, maps[0]) + _through(of_k, maps[1]), _through(of_v, maps[2])
    gates = g.op("Add", g.op("MatMul", conv, g.constant(of_conv.T)), g.constant(bias))
    return g.op("Add", gates, g.op("MatMul", value, g.constant(of_value.T)))


def _stabilise(g: Graph, gates: str, m: str) -> tuple[str, str, str, str]:
    """Fold gates and stabiliser into what the memory takes.

    With D_t the running sum of log f, the stabiliser is m_t = D_t + M_t, where M_t is the largest
    of m_0 and of i_s - D_s up to t. The log-decay is then M_{t-1} - M_t, and the weight of a key
    exp(i_t - D_t - M_t).

    Args:
        g: the graph.
        gates: pre-activations (1, T, 2 NH), input gates first.
        m: stabiliser before the tokens (1, NH).

    Returns:
        m after each token and log-decay, both (1, T, NH); weight of the keys and least divisor of
        a read, both (1, T, NH, 1).
    """
    i, f = g.split(gates, 2)
    # log sigmoid(f) = -softplus(-f)
    minus_sum = g.op("CumSum", g.op("Softplus", g.op("Neg", f)), g.constant(1, np.int64))
    shifted = g.op("Add", i, minus_sum)
    # m is read here and nowhere else, so that its new value may be written over it.
    first = g.op("Unsqueeze", m, g.constant([0], np.int64))
    largest = g.op("Unsqueeze", g.op("Concat", first, shifted, axis=1), g.constant([0], np.int64))
    largest = g.op("MaxPool", largest, kernel_shape=[LONGEST + 1, 1], pads=[LONGEST, 0, 0, 0])
    largest = g.op("Squeeze", largest, g.constant([0], np.int64))
    now = g.slice(largest, 1, LONGEST + 1, 1)
    decay = g.op("Sub", g.slice(largest, 0, -1, 1), now)
    minus_m = g.op("Sub", minus_sum, now)
    key_weight, floor = (
        g.op("Unsqueeze", g.op("Exp", each), g.constant([3], np.int64))
        for each in (g.op("Sub", shifted, now), minus_m)
    )
    return g.op("Neg", minus_m), decay, key_weight, floor


def _joined(weight: Tensor) -> Array:
    """Join small blocks (blocks, out, in) of a map to wider ones with zeros off the diagonal."""
    blocks = numpy(weight).astype(np.float64)
    count, small, _ = blocks.shape
    width = math.gcd(count * small, JOINED_BLOCK)
    wide = np.zeros((count * small // width, width, width))
    for number, block in enumerate(blocks):
        row, start = divmod(number * small, width)
        wide[row, start : start + small, start : start + small] = block
    return wide


def _through(outer: Array, blocks: Array) -> Array:
    """``outer @ B`` for a block-diagonal map B (blocks, out, in); outer (…, size)."""
    parts = outer.reshape(len(outer), len(blocks), -1)
    product: Array = np.einsum("gbo,boi->gbi", parts, blocks)
    return product.reshape(len(outer), -1)
