"""The memory-streaming limit: how long it takes to touch what a tick must touch, and no more.

A tick reads every weight, as it is stored, and reads and writes the whole state. Two measures of
that, both in the same run and in turns with the ticks, so that they meet the same caches and the
same neighbours, both on huge pages:

- the **limit**, which the targets are in: reading a buffer of (weight bytes + 2 × state bytes);
- the **floor**: reading the weights, and reading and rewriting the state in place. One thread
  waits for what it reads; writing back a line that it has just read goes on beside that. So the
  floor is the lower one, and a good tick may be faster than the limit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lram_core.action_model import ActionModel
from lram_core.native.library import stream_buffer, stream_read
from lram_core.quantise import BLOCK, projection_names, quantised_names


def weight_bytes(model: ActionModel, precision: str) -> int:
    """Bytes of the weights as a runtime of that precision stores them."""
    if precision == "bf16":
        rounded = {*projection_names(model), "head.weight"}
    else:
        rounded = set(quantised_names(model))
    total = 0
    for name, weight in model.named_parameters():
        if name not in rounded or precision == "fp32":
            total += 4 * weight.numel()
        elif precision == "int8":
            total += weight.numel() + 4 * weight.shape[0] * -(-weight.shape[1] // BLOCK)
        else:
            assert precision == "bf16", precision
            total += 2 * weight.numel()
    return total


def state_bytes(model: ActionModel) -> int:
    """Bytes of one robot's recurrent state."""
    return sum(value.nbytes for value in model.init_state(1).values())


class StreamLimit:
    """Streams memory as fast as one CPU thread, or the GPU, can.

    Args:
        read: bytes that are read only. rewritten: bytes that are read and written.
    """

    def __init__(self, read: int, rewritten: int, device: torch.device) -> None:
        read, rewritten = (-(-size // 512) * 512 for size in (read, rewritten))
        self.rewrites = rewritten > 0
        self._cuda = device.type == "cuda"
        if self._cuda:
            buffer = torch.ones((read + 2 * rewritten) // 4, device=device)
            total = torch.zeros((), device=device)
            weights, state = buffer[: read // 4], buffer[read // 4 :][: rewritten // 4]
            self._limit = _captured(lambda: torch.sum(buffer, 0, out=total))
            if self.rewrites:
                self._floor = _captured(
                    lambda: (torch.sum(weights, 0, out=total), torch.mul(state, 1.0, out=state))
                )
        else:
            self._all = stream_buffer(read + 2 * rewritten)
            self._weights = self._all[: read // 4]
            self._state = self._all[read // 4 :][: rewritten // 4]

    @classmethod
    def of(cls, model: ActionModel, precision: str, device: torch.device) -> StreamLimit:
        """The limit and floor of a model's tick."""
        return cls(weight_bytes(model, precision), state_bytes(model), device)

    def limit(self) -> None:
        """Read weights and twice the state; returns when it is done."""
        if self._cuda:
            self._limit.replay()
            torch.cuda.synchronize()
        else:
            stream_read(self._all)

    def floor(self) -> None:
        """Read the weights, rewrite the state; returns when it is done."""
        if self._cuda:
            self._floor.replay()
            torch.cuda.synchronize()
        else:
            stream_read(self._weights)
            np.multiply(self._state, 1.0, out=self._state)


def _captured(touch: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """One launch for all: launches are no part of a limit."""
    with torch.cuda.stream(torch.cuda.Stream()):
        for _ in range(3):
            touch()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        touch()
    return graph
