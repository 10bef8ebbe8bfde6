"""PyTorch as it is: the reference that every other runtime is held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lram_core.action_model import ActionModel
from lram_core.runtimes.base import (
    FloatArray,
    IntArray,
    Runtime,
    RuntimeOptions,
    StateArrays,
    check_state,
)


class TorchRuntime(Runtime):
    """Eager PyTorch, on the CPU or a GPU."""

    name: ClassVar[str] = "torch"

    def __init__(self, model: ActionModel, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        self.precision = self.choose_precision(options)
        self._device = options.device
        self._model = model.to(self._device).eval()
        self._tokens: Tensor | None = None
        self.logits = np.zeros((model.config.action_size, model.config.bins), np.float32)
        self.reset()

    def describe(self) -> str:
        return f"torch eager ({self.precision}, {self._device})"

    def reset(self) -> None:
        self._state = self._model.init_state(1, self._device)

    @torch.inference_mode()
    def tokenise(self, observation: FloatArray, return_to_go: float, reward: float | None) -> None:
        self._tokens = self._model.tick_tokens(
            torch.tensor(observation, device=self._device).unsqueeze(0),
            self._scalar(return_to_go),
            None if reward is None else self._scalar(reward),
        )

    @torch.inference_mode()
    def step(self) -> IntArray:
        assert self._tokens is not None, "tokenise comes before step"
        logits, self._state = self._model.advance(self._tokens, self._state, in_place=True)
        self.logits[...] = logits[0].cpu().numpy()
        bins: IntArray = self.logits.argmax(-1)
        return bins

    @torch.inference_mode()
    def advance_reward(self, reward: float) -> None:
        self._state = self._model.advance_reward(self._scalar(reward), self._state, in_place=True)

    def state(self) -> StateArrays:
        return {name: value.cpu().numpy().copy() for name, value in self._state.items()}

    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        found = check_state(state, self.state())
        self._state = {
            name: torch.tensor(value, device=self._device) for name, value in found.items()
        }

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor([value], dtype=torch.float32, device=self._device)
