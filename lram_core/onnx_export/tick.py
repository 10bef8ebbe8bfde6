"""The tick of an action model as one ONNX graph: inputs and state in, logits and state out."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from lram_core.action_model import INPUT_LIMIT, ActionModel, InputNorm
from lram_core.onnx_export import pictures
from lram_core.onnx_export.graph import Graph, numpy
from lram_core.onnx_export.names import WRITERS, output_name, state_name
from lram_core.quantise import quantised_names
from lram_core.version import PACKAGE, version


def build(model: ActionModel, precision: str, metadata: Mapping[str, str]) -> Any:
    """Write a tick of ``model`` as an ``onnx.ModelProto``; see docs/export.md for its form.

    Args:
        model: with its weights.
        precision: ``fp32``, or ``int8`` for the weights of :mod:`lram_core.quantise`.
        metadata: kept in the file, see :mod:`lram_core.onnx_export.names`.
    """
    config = model.config
    # A recurrent state adds up the errors of an episode; a cache forgets them.
    g = Graph(
        quantised_names(model) if precision == "int8" else (),
        fine=config.backbone != "transformer",
    )
    observation = g.input("observation", np.float32, (1, config.observation_size))
    return_to_go = g.input("return_to_go", np.float32, (1,))
    reward = g.input("reward", np.float32, (1,))
    order = g.input("tokens", np.int64, ("T",))
    initial = {name: value.numpy() for name, value in model.init_state(1).items()}
    assert not any(value.any() for value in initial.values()), "the file's users start at zeros"
    state = {
        name: g.input(state_name(name), value.dtype, value.shape) for name, value in initial.items()
    }

    with g.scope("embed"):
        vector = pictures.others(g, observation, model) if config.pictures else observation
        seen = _embed(g, vector, model.observation_norm, model.embed_state)
        if config.pictures:
            for picture in pictures.embeddings(g, observation, model):
                seen = g.op("Add", seen, picture)
        rows = (
            _embed(g, g.reshape(reward, 1, 1), model.reward_norm, model.embed_reward),
            seen,
            _embed(g, g.reshape(return_to_go, 1, 1), model.return_norm, model.embed_return),
        )
        tokens = g.op("Gather", g.op("Concat", *rows, axis=0), order, axis=0)
        norm = (
            g.constant(numpy(each)) for each in (model.embed_norm.weight, model.embed_norm.bias)
        )
        tokens = g.op("LayerNormalization", tokens, *norm, epsilon=model.embed_norm.eps)
        tokens = g.op("Unsqueeze", tokens, g.constant([0], np.int64))

    writer = importlib.import_module(WRITERS[config.backbone])
    hidden, new = writer.write(g, model.backbone, tokens, state)

    with g.scope("head"):
        last = g.op("Gather", hidden, g.constant(-1, np.int64), axis=1)
        logits = g.linear(last, model.head.weight, "head.weight", model.head.bias)
        logits = g.reshape(logits, config.action_size, config.bins)
        bins = g.op("ArgMax", logits, axis=1, keepdims=0)
    g.output(logits, "logits", np.float32, (config.action_size, config.bins))
    g.output(bins, "bins", np.int64, (config.action_size,))
    for name, value in initial.items():
        g.output(new[name], output_name(name), value.dtype, value.shape)
    return g.model(metadata, PACKAGE, version())


def _embed(g: Graph, x: str, norm: InputNorm, linear: nn.Linear) -> str:
    """x (1, size) → (1, d_model)."""
    x = g.op("Sub", x, g.constant(numpy(norm.mean)))
    x = g.op("Div", x, g.constant(numpy(norm.std)))
    x = g.op("Clip", x, g.constant(-INPUT_LIMIT), g.constant(INPUT_LIMIT))
    weight = g.constant(numpy(linear.weight).T)
    return g.op("Gemm", x, weight, g.constant(numpy(linear.bias)))
