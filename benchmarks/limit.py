"""The memory-streaming limit: how long it takes to read what a tick must touch, and nothing else.

A tick reads every weight once and reads and writes the whole state: (weight bytes as they are
stored + 2 × state bytes). The limit is the time to read a buffer of exactly that many bytes, in
the same run and in turns with the ticks, so it meets the same caches and the same neighbours.
"""

from __future__ import annotations

import numpy as np
import torch

from lram_core.action_model import ActionModel
from lram_core.quantise import BLOCK, quantised_names

BYTES = {"fp32": 4, "bf16": 2}


def weight_bytes(model: ActionModel, precision: str) -> int:
    """Bytes of the weights as a runtime of that precision stores them."""
    if precision in BYTES:
        return BYTES[precision] * sum(p.numel() for p in model.parameters())
    assert precision == "int8", precision
    rounded = set(quantised_names(model))
    total = 0
    for name, weight in model.named_parameters():
        if name in rounded:
            total += weight.numel() + 4 * weight.shape[0] * -(-weight.shape[1] // BLOCK)
        else:
            total += 4 * weight.numel()
    return total


def state_bytes(model: ActionModel) -> int:
    """Bytes of one robot's recurrent state."""
    return sum(value.nbytes for value in model.init_state(1).values())


def touched_bytes(model: ActionModel, precision: str) -> int:
    """Bytes that a tick must move: weights once, the state in and out."""
    return weight_bytes(model, precision) + 2 * state_bytes(model)


class StreamLimit:
    """Reads a buffer of ``size`` bytes as fast as the device can."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = size
        if device.type == "cuda":
            self._graph, self._kept = _captured_sum(size, device)
        else:
            self._graph = None
            self._buffer = np.ones(-(-size // 64) * 8, np.float64)

    def read(self) -> None:
        """Read the buffer once; returns when it is done."""
        if self._graph is not None:
            self._graph.replay()
            torch.cuda.synchronize()
        else:
            self._buffer.sum()


def _captured_sum(
    size: int, device: torch.device
) -> tuple[torch.cuda.CUDAGraph, tuple[torch.Tensor, ...]]:
    """A sum over the buffer as one launch: the launches of a tick are no part of its limit."""
    buffer = torch.ones(-(-size // 4), device=device)
    total = torch.zeros((), device=device)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.sum(buffer, 0, out=total)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.sum(buffer, 0, out=total)
    return graph, (buffer, total)
