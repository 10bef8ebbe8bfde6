"""Pictures in the graph of a tick: the nodes of :mod:`lram_core.image_encoder`."""

from __future__ import annotations

import numpy as np
from torch import nn

from lram_core.action_model import ActionModel
from lram_core.image_encoder import ImageEncoder, ResidualBlock, Stage
from lram_core.onnx_export.graph import Graph, numpy


def others(g: Graph, observation: str, model: ActionModel) -> str:
    """observation (1, size) → the values that are no pictures' (1, vector_size)."""
    index = g.constant(model.others.cpu().numpy(), np.int64)
    return g.op("Gather", observation, index, axis=1)


def embeddings(g: Graph, observation: str, model: ActionModel) -> list[str]:
    """observation (1, size) → (1, d_model) of each picture."""
    found = []
    for number, (encoder, span) in enumerate(
        zip(model.embed_pictures, model.columns.spans, strict=True)
    ):
        assert isinstance(encoder, ImageEncoder)
        with g.scope(f"picture{number}"):
            ends = (g.constant([end], np.int64) for end in span)
            pixels = g.op("Slice", observation, *ends, g.constant([1], np.int64))
            found.append(_encoded(g, g.reshape(pixels, 1, *encoder.shape), encoder))
    return found


def _encoded(g: Graph, picture: str, encoder: ImageEncoder) -> str:
    """picture (1, height, width, channels) → (1, size)."""
    x = g.op("Transpose", picture, perm=[0, 3, 1, 2])
    for stage in encoder.stages:
        assert isinstance(stage, Stage)
        x = _conv(g, x, stage.conv)
        x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        for block in (stage.block0, stage.block1):
            x = _residual(g, x, block)
    x = g.op("Flatten", g.op("Relu", x), axis=1)
    weight = g.constant(numpy(encoder.project.weight).T)
    return g.op("Relu", g.op("Gemm", x, weight, g.constant(numpy(encoder.project.bias))))


def _residual(g: Graph, x: str, block: ResidualBlock) -> str:
    y = _conv(g, g.op("Relu", x), block.conv0)
    return g.op("Add", x, _conv(g, g.op("Relu", y), block.conv1))


def _conv(g: Graph, x: str, conv: nn.Conv2d) -> str:
    assert conv.bias is not None
    weights = (g.constant(numpy(each)) for each in (conv.weight, conv.bias))
    return g.op("Conv", x, *weights, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
