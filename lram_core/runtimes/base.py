"""What a runtime is: an action model and its recurrent state, advanced a tick at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.checks import array
from lram_core.errors import RuntimeUnavailable, StateError, listed

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
StateArrays = dict[str, npt.NDArray[np.generic]]


CPU = torch.device("cpu")


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is to be run.

    Attributes:
        device: where.
        precision: of the weights, one of the runtime's ``precisions``; empty for its default.
            The recurrence is in float32 always.
        threads: CPU threads of one tick.
        bundle: folder the model was loaded from, where exported files lie; None for a model that
            is in memory only.
        embodiment: of the bundle's, the one whose model this is; tells exported files apart.
    """

    device: torch.device = CPU
    precision: str = ""
    threads: int = 1
    bundle: Path | None = None
    embodiment: str = ""


class Runtime(ABC):
    """One robot's model and state.

    A tick is :meth:`tokenise`, then :meth:`step`; both without allocation where the runtime can.
    Inputs are checked by the caller (:class:`lram_core.policy.Policy`): finite, in scaled units.

    Attributes:
        name: as in :data:`lram_core.runtimes.RUNTIMES`.
        precisions: what ``RuntimeOptions.precision`` may be, the default first.
        precision: of the weights in use.
        logits: float32 (action_size, bins) of the last tick, overwritten by the next.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    precision: str
    logits: FloatArray

    @classmethod
    def unavailable(cls, config: ModelConfig, options: RuntimeOptions) -> str | None:
        """Return why this runtime cannot run such a model on this machine; None if it can."""
        return None

    @abstractmethod
    def __init__(self, model: ActionModel, options: RuntimeOptions) -> None:
        """Take the model's weights. Raises RuntimeUnavailable as :meth:`unavailable` says."""

    @abstractmethod
    def reset(self) -> None:
        """Empty the state: an episode starts."""

    @abstractmethod
    def tokenise(self, observation: FloatArray, return_to_go: float, reward: float | None) -> None:
        """Take a tick's inputs.

        Args:
            observation: (observation_size,).
            return_to_go: scaled.
            reward: scaled reward of the previous tick's action; None when there was none (an
                episode starts), or when :meth:`advance_reward` took it.
        """

    @abstractmethod
    def step(self) -> IntArray:
        """Advance by the tokens taken; return the most likely bins (action_size,).

        The array is overwritten by the next step.
        """

    @abstractmethod
    def advance_reward(self, reward: float) -> None:
        """Advance by the reward token of the last action alone, before the next inputs are known.

        The token then does not stand between sensor and command.
        """

    @abstractmethod
    def state(self) -> StateArrays:
        """Return a copy of the state, named and shaped as the backbone's with a batch of 1."""

    @abstractmethod
    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state. Raises StateError as :func:`check_state` does."""

    def describe(self) -> str:
        """Return one line for people: what really runs, and where."""
        return f"{self.name} ({self.precision})"

    @classmethod
    def choose_precision(cls, options: RuntimeOptions) -> str:
        """Return the precision to use. Raises RuntimeUnavailable naming those that exist."""
        precision = options.precision or cls.precisions[0]
        if precision not in cls.precisions:
            raise RuntimeUnavailable(
                f"runtime {cls.name} has no precision {precision!r}; "
                f"available: {listed(cls.precisions)}"
            )
        return precision


def check_state(
    state: Mapping[str, npt.ArrayLike], expected: Mapping[str, npt.NDArray[np.generic]]
) -> StateArrays:
    """Return a state as arrays, in the order of one of the right form.

    Raises:
        StateError: a name, shape or dtype differs, a floating-point value is not finite or a whole
            number is negative; it names them.
    """
    found = {name: array(value) for name, value in state.items()}
    wrong = [
        problem
        for name, value in expected.items()
        if (problem := _problem(name, found.get(name), value))
    ]
    wrong += [f"{name} is unknown" for name in found if name not in expected]
    if wrong:
        raise StateError(f"recurrent state does not fit the model: {listed(wrong, 4)}")
    return {name: found[name] for name in expected}


def _problem(name: str, value: npt.NDArray[Any] | None, expected: npt.NDArray[np.generic]) -> str:
    form = f"{expected.dtype} {tuple(expected.shape)}"
    if value is None:
        return f"{name} is missing, expected {form}"
    if value.dtype != expected.dtype or value.shape != expected.shape:
        return f"{name} is {value.dtype} {tuple(value.shape)}, expected {form}"
    if value.dtype.kind == "f":
        return "" if np.isfinite(value).all() else f"{name} is not finite"
    return "" if (value >= 0).all() else f"{name} is negative"
