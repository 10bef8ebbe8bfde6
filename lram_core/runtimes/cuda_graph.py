"""One CUDA graph a tick: inputs in, one pass over the weights, bins out, one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.errors import RuntimeUnavailable
from lram_core.runtimes.base import (
    FloatArray,
    IntArray,
    Runtime,
    RuntimeOptions,
    StateArrays,
    check_state,
)
from lram_core.runtimes.static_tick import Program, StaticTick
from lram_core.runtimes.weights import PRECISIONS


class CudaGraphRuntime(Runtime):
    """The tick over fixed buffers, replayed as a CUDA graph.

    Three graphs share the state: a tick, a tick whose reward was advanced early, and the reward
    alone, which runs while the caller goes on.
    """

    name: ClassVar[str] = "cuda-graph"
    precisions: ClassVar[tuple[str, ...]] = PRECISIONS

    @classmethod
    def unavailable(cls, config: ModelConfig, options: RuntimeOptions) -> str | None:
        if not torch.cuda.is_available():
            return "needs a CUDA device; none found"
        if options.device.type != "cuda":
            return f"needs a CUDA device; the device asked for is {options.device}"
        return None

    def __init__(self, model: ActionModel, options: RuntimeOptions) -> None:
        reason = self.unavailable(model.config, options)
        if reason:
            raise RuntimeUnavailable(f"runtime {self.name}: {reason}")
        self._build(model, options, capture=True)

    @classmethod
    def uncaptured(cls, model: ActionModel, options: RuntimeOptions) -> CudaGraphRuntime:
        """The same programs over the same buffers, on any device, each operation launched."""
        runtime = cls.__new__(cls)
        runtime._build(model, options, capture=False)
        return runtime

    def _build(self, model: ActionModel, options: RuntimeOptions, capture: bool) -> None:
        self.precision = self.choose_precision(options)
        self._where = f"{self.precision}, {options.device}"
        self._tick = StaticTick(
            model, 1, options.device, self.precision, flags=False, capture=capture
        )
        self._size = model.config.observation_size
        self._program = Program.LATE
        self.logits = self._tick.logits[0]

    def describe(self) -> str:
        return f"CUDA graph ({self._where})"

    def reset(self) -> None:
        self._tick.reset()

    def tokenise(self, observation: FloatArray, return_to_go: float, reward: float | None) -> None:
        self._tick.wait()  # for a reward that was advanced early
        row = self._tick.host[0]
        row[: self._size] = observation
        row[self._size] = return_to_go
        self._program = Program.LATE if reward is None else Program.TICK
        row[self._size + 1] = 0.0 if reward is None else reward

    def step(self) -> IntArray:
        self._tick.run(self._program)
        self._tick.wait()
        return self._tick.bins[0]

    def advance_reward(self, reward: float) -> None:
        self._tick.wait()
        self._tick.host[0, self._size + 1] = reward
        self._tick.run(Program.REWARD)

    def state(self) -> StateArrays:
        self._tick.wait()
        return {name: value.cpu().numpy().copy() for name, value in self._tick.state.items()}

    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        found = check_state(state, self.state())
        self._tick.load({name: torch.tensor(value) for name, value in found.items()})
