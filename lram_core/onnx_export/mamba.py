"""The Mamba stack in an ONNX graph: :mod:`lram_core.backbones.mamba`.

Decays and drives of all tokens are computed at once; the recurrence goes token by token, in a
``Scan``. (``com.microsoft.LinearAttention`` could do it, with a head a channel, and takes more than
twice as long.)
"""

from __future__ import annotations

import numpy as np

from lram_core.backbones.mamba import NORM_EPS, STATE_SIZE, Block, Mamba, Mixer
from lram_core.onnx_export.graph import Graph, numpy
from lram_core.onnx_export.layers import causal_conv_silu


def write(
    graph: Graph, backbone: Mamba, x: str, state: dict[str, str]
) -> tuple[str, dict[str, str]]:
    """x (1, T, d_model) and the inputs of the state → hidden (1, T, d_model), the new state."""
    g = graph
    new: dict[str, str] = {}
    for layer, block in enumerate(backbone.layers):
        assert isinstance(block, Block)
        with g.scope(f"layer{layer}"):
            conv, ssm = (f"{layer}.{name}" for name in ("conv", "ssm"))
            normed = g.rms_norm(x, block.norm.weight, NORM_EPS)
            path = f"backbone.layers.{layer}.mixer"
            y, new[conv], new[ssm] = _mixer(g, block.mixer, normed, state[conv], state[ssm], path)
            x = g.op("Add", x, y)
    return g.rms_norm(x, backbone.norm_f.weight, NORM_EPS), new


def _mixer(g: Graph, mixer: Mixer, x: str, past: str, ssm: str, path: str) -> tuple[str, str, str]:
    inner, rank = mixer.config.inner_size, mixer.config.dt_rank
    x, z = g.split(g.linear(x, mixer.in_proj.weight, f"{path}.in_proj.weight"), 2)
    x, new_past = causal_conv_silu(g, x, mixer.conv1d, past)
    parts = g.constant([rank, STATE_SIZE, STATE_SIZE], np.int64)
    step, write, read = g.ops(
        "Split", g.linear(x, mixer.x_proj.weight, f"{path}.x_proj.weight"), parts, outputs=3, axis=2
    )
    dt = g.linear(step, mixer.dt_proj.weight, f"{path}.dt_proj.weight", mixer.dt_proj.bias)
    dt = g.op("Softplus", dt)

    last, third = g.constant([3], np.int64), g.constant([2], np.int64)
    rates = g.constant(-np.exp(numpy(mixer.A_log)))
    decay = g.op("Exp", g.op("Mul", g.op("Unsqueeze", dt, last), rates))
    drive = g.op("Unsqueeze", g.op("Mul", dt, x), last)
    drive = g.op("Mul", drive, g.op("Unsqueeze", write, third))
    # (T, 2, inner, 16)
    rows = [g.reshape(each, -1, 1, inner, STATE_SIZE) for each in (decay, drive)]
    tokens = g.op("Concat", *rows, axis=1)

    def token(g: Graph, before: list[str], row: str) -> tuple[list[str], str]:
        kept, added = g.split(row, 2, axis=0)
        after = g.op("Add", g.op("Mul", kept, before[0]), added)
        return [after], g.op("Identity", after)

    (new_ssm,), states = g.scan(token, [ssm], tokens)
    y = g.op("MatMul", g.reshape(states, -1, inner, STATE_SIZE), g.reshape(read, -1, STATE_SIZE, 1))
    skip = g.op("Mul", x, g.constant(numpy(mixer.D)))
    y = g.op("Mul", g.op("Add", g.reshape(y, 1, -1, inner), skip), g.silu(z))
    return g.linear(y, mixer.out_proj.weight, f"{path}.out_proj.weight"), new_past, new_ssm
