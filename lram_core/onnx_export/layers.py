"""Layers that several backbones' graphs share."""

from __future__ import annotations

import numpy as np
from torch import nn

from lram_core.backbones.layers import ResidualNorm
from lram_core.onnx_export.graph import MICROSOFT, Graph, numpy

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
