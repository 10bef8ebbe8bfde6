"""Layers that several backbones' graphs share."""

from __future__ import annotations

import numpy as np
from torch import nn

from lram_core.backbones.layers import ResidualNorm
from lram_core.onnx_export.graph import MICROSOFT, Array, Graph, numpy

NORM_EPS = 1e-5  # the default of torch's layer_norm


def residual_norm(g: Graph, x: str, norm: ResidualNorm) -> str:
    """Apply a norm; x (1, T, size) → the same."""
    weight = 1.0 + numpy(norm.weight)
    if norm.groups == 1:
        return g.op("LayerNormalization", x, g.constant(weight), epsilon=NORM_EPS)
    part = len(weight) // norm.groups
    parts = g.reshape(x, 0, 0, norm.groups, part)
    parts = g.op("LayerNormalization", parts, g.constant(np.ones(part)), epsilon=NORM_EPS)
    return g.op("Mul", g.reshape(parts, 0, 0, len(weight)), g.constant(weight))


def causal_conv_silu(g: Graph, x: str, conv: nn.Conv1d, past: str) -> tuple[str, str]:
    """Depthwise convolution, then SiLU: x (1, T, D), past (1, 3, D) → the same shapes."""
    assert conv.bias is not None
    y, new_past = g.ops(
        "CausalConvWithState",
        x,
        g.constant(numpy(conv.weight)),
        g.constant(numpy(conv.bias)),
        past,
        outputs=2,
        domain=MICROSOFT,
        activation="silu",
        channels_last=1,
    )
    return y, new_past


def block_diagonal(g: Graph, x: str, *maps: Array) -> list[str]:
    """Apply block-diagonal maps, each (blocks, out, in), to x (1, T, size)."""
    blocks, width, _ = maps[0].shape
    parts = g.op("Transpose", block_products(g, x, *maps), perm=[0, 2, 1, 3])
    each = [parts] if len(maps) == 1 else g.split(parts, len(maps), axis=3)
    return [g.reshape(y, 0, 0, blocks * width) for y in each]


def block_products(g: Graph, x: str, *maps: Array) -> str:
    """As :func:`block_diagonal`, but block by block: (1, blocks, T, maps * width)."""
    blocks, width, _ = maps[0].shape
    parts = g.op("Transpose", g.reshape(x, 0, 0, blocks, width), perm=[0, 2, 1, 3])
    return g.op("MatMul", parts, g.constant(np.concatenate(maps, axis=1).transpose(0, 2, 1)))
