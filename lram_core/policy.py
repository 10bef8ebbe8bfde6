"""The object a control loop sees: reset at an episode's start, one action a tick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from lram_core.bundle import load_bundle
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.device import resolve_device
from lram_core.errors import CommandError, ContractError
from lram_core.runtimes import AUTO, make_runtime
from lram_core.runtimes.base import Runtime, RuntimeOptions


@dataclass(frozen=True)
class Action:
    """What the policy wants at one tick.

    Attributes:
        values: float64 (action_size,), in the units and limits of the contract's action fields;
            NaN where a logit was not finite: a fault of the device, or a state gone wrong, must
            not look like a choice.
        bins: int64 (action_size,), the bins chosen.
        timings: stage → seconds: ``tokenise``, ``step``, ``decode``.
    """

    values: npt.NDArray[np.float64]
    bins: npt.NDArray[np.int64]
    timings: dict[str, float]


class Policy:
    """Recurrent policy of one robot: holds the state and the return still asked for."""

    def __init__(self, runtime: Runtime, contract: PolicyContract) -> None:
        self.contract = contract
        self.runtime = runtime
        self._codec = ActionCodec(contract.action, runtime.logits.shape[-1])
        self.reset()

    @classmethod
    def load(
        cls,
        path: Path | str,
        device: str = "cpu",
        runtime: str = AUTO,
        precision: str = "",
        threads: int = 1,
    ) -> Policy:
        """Load a bundle.

        Args:
            path: the bundle's folder.
            device: ``cpu``, ``cuda``, or ``auto`` (CUDA where there is one).
            runtime: name in :data:`lram_core.runtimes.RUNTIMES`, or ``auto`` for the fastest.
            precision: of the weights; empty for the runtime's default.
            threads: CPU threads of one tick. PyTorch has one number of threads for the whole
                process: it is set to this.

        Raises:
            BundleError, ContractError: the bundle is unusable.
            CommandError: an unknown device or runtime, CUDA was asked for and there is none, or
                no thread was.
            RuntimeUnavailable: the runtime cannot run this bundle here.
        """
        where = resolve_device(device)
        if threads < 1:
            raise CommandError(f"threads: expected at least 1, found {threads}")
        torch.set_num_threads(threads)
        model, contract = load_bundle(path, where)
        options = RuntimeOptions(where, precision, threads, Path(path))
        return cls(make_runtime(model, runtime, options), contract)

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
        self.runtime.reset()
        self._first = True
        self._rewarded = False

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
            self.observe_reward(0.0)
            self.act(observation)
        self.reset()
        return first

    def observe_reward(self, reward: float) -> None:
        """Take the last action's reward as soon as it is known, ahead of the next observation.

        Its token is advanced now, so that only state and return-to-go stand between the next
        observation and its command; the next :meth:`act` is then called without a reward.

        Args:
            reward: of the last action, in reward units.

        Raises:
            ContractError: not finite, or no action waits for a reward; nothing has changed then.
        """
        if self._first or self._rewarded:
            raise ContractError(
                "no action waits for a reward: "
                + ("the episode has just started" if self._first else "it was given already")
            )
        if not np.isfinite(reward):
            raise ContractError("reward is not finite; the state was not advanced")
        self.runtime.advance_reward(reward / self.contract.reward.scale)
        self._return_to_go -= reward
        self._rewarded = True

    def act(self, observation: npt.NDArray[np.float32], reward: float | None = None) -> Action:
        """Advance the state by one control tick and return the action.

        Args:
            observation: float32 (observation_size,), see :class:`ObservationAssembler`.
            reward: reward of the previous action, in reward units; None when
                :meth:`observe_reward` took it. At the first tick of an episode there was none
                and it is ignored.

        Raises:
            ContractError: the observation has the wrong size, a number is not finite, or the
                reward is missing or given twice; the recurrent state is left as it was.
        """
        start = perf_counter()
        vector = np.asarray(observation, dtype=np.float32)
        if vector.shape != (self.contract.observation_size,):
            raise ContractError(
                f"observation has shape {vector.shape}, "
                f"expected ({self.contract.observation_size},)"
            )
        if not (np.isfinite(vector).all() and (reward is None or np.isfinite(reward))):
            raise ContractError("observation or reward is not finite; the state was not advanced")
        if not self._first and (reward is None) != self._rewarded:
            given = "was given twice" if self._rewarded else "is missing"
            raise ContractError(f"the last action's reward {given}; the state was not advanced")
        new_reward = None if self._first else reward
        remaining = self._return_to_go - (new_reward or 0.0)
        scale = self.contract.reward.scale
        self.runtime.tokenise(
            vector, remaining / scale, None if new_reward is None else new_reward / scale
        )
        tokenised = perf_counter()
        bins = self.runtime.step().copy()
        stepped = perf_counter()
        values = self._codec.decode(bins)
        if not np.isfinite(self.runtime.logits).all():
            values[:] = np.nan
        self._return_to_go, self._first, self._rewarded = remaining, False, False
        timings = {
            "tokenise": tokenised - start,
            "step": stepped - tokenised,
            "decode": perf_counter() - stepped,
        }
        return Action(values=values, bins=bins, timings=timings)
