"""The Decision Transformer in an ONNX graph: :mod:`lram_core.backbones.transformer`.

The caches are rings of static shape, written in place by ``TensorScatter``. A new token may still
see a cached one that a later token of the same tick overwrites, so the caches are read first and
written afterwards.
"""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from lram_core.backbones.transformer import TOKENS_PER_TIMESTEP, Block, Transformer
from lram_core.onnx_export.graph import MICROSOFT, Graph, numpy

HIDDEN = float(np.finfo(np.float32).min)


def write(
    graph: Graph, backbone: Transformer, x: str, state: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """x (1, T, d_model) and the inputs of the state → hidden (1, T, d_model), the new state."""
    g, config = graph, backbone.config
    with g.scope("position"):
        count = g.op("Shape", x, start=1, end=2)  # (1,): T
        one, scalar = g.constant(1, np.int64), g.constant([0], np.int64)
        here = g.op("Range", g.constant(0, np.int64), g.op("Squeeze", count, scalar), one)
        # The only node to read the old position, so that the new one may be written over it.
        numbers = g.op("Add", here, state["position"])  # (T,)
        first = g.slice(numbers, 0, 1, 0)
        timestep = g.op("Div", numbers, g.constant(TOKENS_PER_TIMESTEP, np.int64))
        timestep = g.op("Min", timestep, g.constant(config.max_timesteps - 1, np.int64))
        x = g.op("Add", x, g.op("Gather", g.constant(numpy(backbone.position.weight)), timestep))
        bias = _bias(g, numbers, first, config.window)
        sizes = g.op("Concat", g.constant([config.window], np.int64), count, axis=0)
    new: dict[str, str] = {}
    for layer, block in enumerate(backbone.blocks):
        assert isinstance(block, Block)
        with g.scope(f"block{layer}"):
            q, k, v = _project(g, block, x, f"backbone.blocks.{layer}")
            old_k, old_v = state[f"{layer}.k"], state[f"{layer}.v"]
            scale = 1 / math.sqrt(config.head_size)
            scores = [
                g.op("FusedMatMul", q, keys, domain=MICROSOFT, transB=1, alpha=scale)
                for keys in (old_k, k)
            ]
            weights = g.op("Add", g.op("Concat", *scores, axis=3), bias)
            weights = g.op("Softmax", weights, axis=3)
            of_old, of_new = g.ops("Split", weights, sizes, outputs=2, axis=3)
            read = g.op("Add", g.op("MatMul", of_old, old_v), g.op("MatMul", of_new, v))
            # The new rows go past the read, so that they cannot be written before it.
            rows = g.op("Concat", read, k, v, axis=0)
            read, k, v = g.split(rows, 3, axis=0)
            for name, rows in (("k", k), ("v", v)):
                new[f"{layer}.{name}"] = g.op(
                    "TensorScatter", state[f"{layer}.{name}"], rows, first, mode="circular"
                )
            x = _finish(g, block, x, read, f"backbone.blocks.{layer}")
    new["position"] = g.op("Add", first, count)
    return _norm(g, x, backbone.norm), new


def _bias(g: Graph, numbers: str, first: str, window: int) -> str:
    """What is added to the scores (T, window + T): 0 for a token that is seen, else -inf."""
    # Slot s of the ring holds the last token before the first new one with that remainder.
    slots = g.constant(np.arange(window), np.int64)
    last = g.op("Sub", first, g.constant([1], np.int64))
    back = g.op("Mod", g.op("Sub", last, slots), g.constant(window, np.int64))
    held = g.op("Sub", last, back)
    query = g.op("Unsqueeze", numbers, g.constant([1], np.int64))
    near = g.op("Less", g.op("Sub", query, held), g.constant(window, np.int64))
    old = g.op("And", g.op("GreaterOrEqual", held, g.constant(0, np.int64)), near)
    new = g.op("GreaterOrEqual", query, numbers)
    seen = g.op("Concat", old, new, axis=1)
    return g.op("Where", seen, g.constant(0.0), g.constant(HIDDEN))


def _project(g: Graph, block: Block, x: str, path: str) -> list[str]:
    """x (1, T, D) → queries, keys, values (1, NH, T, DH)."""
    y = _norm(g, x, block.attention_norm)
    y = g.linear(y, block.qkv.weight, f"{path}.qkv.weight", block.qkv.bias)
    heads, size = block.heads
    parts = g.op("Transpose", g.reshape(y, 0, 0, 3 * heads, size), perm=[0, 2, 1, 3])
    return g.split(parts, 3, axis=1)


def _finish(g: Graph, block: Block, x: str, read: str, path: str) -> str:
    heads, size = block.heads
    y = g.reshape(g.op("Transpose", read, perm=[0, 2, 1, 3]), 0, 0, heads * size)
    y = g.linear(y, block.out_proj.weight, f"{path}.out_proj.weight", block.out_proj.bias)
    x = g.op("Add", x, y)
    y = _norm(g, x, block.mlp_norm)
    y = g.linear(y, block.proj_up.weight, f"{path}.proj_up.weight", block.proj_up.bias)
    y = g.op("Gelu", y)
    y = g.linear(y, block.proj_down.weight, f"{path}.proj_down.weight", block.proj_down.bias)
    return g.op("Add", x, y)


def _norm(g: Graph, x: str, norm: nn.LayerNorm) -> str:
    weights = (g.constant(numpy(each)) for each in (norm.weight, norm.bias))
    return g.op("LayerNormalization", x, *weights, epsilon=norm.eps)
