"""The object a control loop sees: reset at an episode's start, one action a tick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from lram_core.action_model import ActionModel
from lram_core.bundle import load_bundle
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.device import resolve_device
from lram_core.errors import ContractError


@dataclass(frozen=True)
class Action:
    """What the policy wants at one tick.

    Attributes:
        values: float64 (action_size,), in the units and limits of the contract's action fields.
        bins: int64 (action_size,), the bins chosen.
        timings: stage → seconds: ``tokenise``, ``step``, ``decode``.
    """

    values: npt.NDArray[np.float64]
    bins: npt.NDArray[np.int64]
    timings: dict[str, float]


class Policy:
    """Recurrent policy of one robot: holds the state and the return still asked for."""

    def __init__(
        self, model: ActionModel, contract: PolicyContract, device: torch.device | str = "cpu"
    ) -> None:
        self.contract = contract
        self.device = torch.device(device)
        self._model = model.to(self.device).eval()
        self._codec = ActionCodec(contract.action, model.config.bins)
        self.reset()

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> Policy:
        """Load a bundle.

        Args:
            path: the bundle's folder.
            device: ``cpu``, ``cuda``, or ``auto`` (CUDA where there is one).

        Raises:
            BundleError, ContractError: the bundle is unusable.
            CommandError: an unknown device, or CUDA was asked for and there is none.
        """
        where = resolve_device(device)
        model, contract = load_bundle(path, where)
        return cls(model, contract, where)

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        """Start an episode: empty state, full return to go.

        Args:
            task: picks the target return from the contract; unknown tasks take the default.
            target_return: undiscounted return to ask for instead, in reward units.
        """
        goal = self.contract.target_return(task) if target_return is None else target_return
        if not np.isfinite(goal):
            raise ContractError(f"target return must be finite, found {goal}")
        self._return_to_go = float(goal)
        self._state = self._model.init_state(1, self.device)
        self._first = True

    @property
    def return_to_go(self) -> float:
        """Return still asked for, in reward units: the target less the rewards received."""
        return self._return_to_go

    def warm_up(self, ticks: int = 3) -> float:
        """Pay first-call costs before the first real tick; leaves the policy reset.

        Returns:
            Seconds that the first call took.
        """
        observation = np.zeros(self.contract.observation_size, dtype=np.float32)
        start = perf_counter()
        self.act(observation, 0.0)
        first = perf_counter() - start
        for _ in range(ticks):
            self.act(observation, 0.0)
        self.reset()
        return first

    @torch.inference_mode()
    def act(self, observation: npt.NDArray[np.float32], reward: float) -> Action:
        """Advance the state by one control tick and return the action.

        Args:
            observation: float32 (observation_size,), see :class:`ObservationAssembler`.
            reward: reward of the previous action, in reward units; at the first tick of an
                episode there was none and it is ignored.

        Raises:
            ContractError: the observation has the wrong size, or a number is not finite; the
                recurrent state is left as it was.
        """
        start = perf_counter()
        vector = np.asarray(observation, dtype=np.float32)
        if vector.shape != (self.contract.observation_size,):
            raise ContractError(
                f"observation has shape {vector.shape}, "
                f"expected ({self.contract.observation_size},)"
            )
        if not (np.isfinite(vector).all() and np.isfinite(reward)):
            raise ContractError("observation or reward is not finite; the state was not advanced")
        scale = self.contract.reward.scale
        remaining = self._return_to_go if self._first else self._return_to_go - reward
        inputs = torch.tensor(vector, device=self.device).unsqueeze(0)
        goal = torch.tensor([remaining / scale], dtype=torch.float32, device=self.device)
        last = None
        if not self._first:
            last = torch.tensor([reward / scale], dtype=torch.float32, device=self.device)
        tokens = self._model.tick_tokens(inputs, goal, last)
        tokenised = perf_counter()
        logits, state = self._model.advance(tokens, self._state)
        bins = logits[0].argmax(-1).cpu().numpy()
        stepped = perf_counter()
        values = self._codec.decode(bins)
        self._state, self._return_to_go, self._first = state, remaining, False
        timings = {
            "tokenise": tokenised - start,
            "step": stepped - tokenised,
            "decode": perf_counter() - stepped,
        }
        return Action(values=values, bins=bins, timings=timings)
