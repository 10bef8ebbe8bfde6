"""The object a control loop sees: reset at an episode's start, one action a tick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from lram_core.bundle import load_bundle
from lram_core.checks import count, finite32, number, numbers
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.device import resolve_device
from lram_core.embodiments import Choice
from lram_core.errors import ContractError
from lram_core.runtimes import AUTO, make_runtime
from lram_core.runtimes.base import Runtime, RuntimeOptions, StateArrays


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


@dataclass(frozen=True)
class PolicyState:
    """All that a policy carries from tick to tick.

    Attributes:
        recurrent: the runtime's state, name → array; the same for every runtime.
        return_to_go: return still asked for, in reward units.
        first: whether the next tick is the first of an episode.
        rewarded: whether the last action's reward was taken ahead of the next observation.
    """

    recurrent: StateArrays
    return_to_go: float
    first: bool
    rewarded: bool


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
        embodiment: Choice = "",
    ) -> Policy:
        """Load a bundle.

        Args:
            path: the bundle's folder.
            device: ``cpu``, ``cuda``, or ``auto`` (CUDA where there is one).
            runtime: name in :data:`lram_core.runtimes.RUNTIMES`, or ``auto``: the first in a fixed
                order that can run the bundle here.
            precision: of the weights; empty for the runtime's default.
            threads: CPU threads of one tick. PyTorch has one number of threads for the whole
                process: it is set to this.
            embodiment: which of the bundle's, see :data:`lram_core.embodiments.Choice`.

        Raises:
            BundleError, ContractError: the bundle is unusable, or has no such embodiment.
            CommandError: an unknown device, runtime or precision, CUDA was asked for and there is
                none, or no thread was.
            RuntimeUnavailable: the runtime cannot run this bundle here.
        """
        where, threads = resolve_device(device), count("threads", threads)
        torch.set_num_threads(threads)
        model, contract = load_bundle(path, where, embodiment)
        options = RuntimeOptions(where, precision, threads, Path(path), contract.suite)
        return cls(make_runtime(model, runtime, options), contract)

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        """Start an episode: empty state, full return to go.

        Args:
            task: picks the target return from the contract; unknown tasks take the default.
            target_return: undiscounted return to ask for instead, in reward units.

        Raises:
            ContractError: the target is not finite in float32; nothing has changed then.
        """
        goal = self.contract.target_return(task) if target_return is None else target_return
        self._return_to_go = self._finite("target return", goal)
        self.runtime.reset()
        self._first = True
        self._rewarded = False

    @property
    def return_to_go(self) -> float:
        """Return still asked for, in reward units: the target less the rewards received."""
        return self._return_to_go

    def state(self) -> PolicyState:
        """Return a copy of all that the next ticks depend on."""
        return PolicyState(self.runtime.state(), self._return_to_go, self._first, self._rewarded)

    def load_state(self, state: PolicyState) -> None:
        """Go on from a state, of this policy or of one with the same weights.

        Raises:
            StateError: it does not fit the model, or holds a number that cannot be.
            ContractError: its return to go is not finite. Nothing has changed in either case.
        """
        to_go = self._finite("return to go", state.return_to_go)
        self.runtime.load_state(state.recurrent)
        self._return_to_go = to_go
        self._first, self._rewarded = bool(state.first), bool(state.rewarded)

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
            ContractError: no number, not finite in float32, or no action waits for a reward;
                nothing has changed then.
        """
        if self._first or self._rewarded:
            raise ContractError(
                "no action waits for a reward: "
                + ("the episode has just started" if self._first else "it was given already")
            )
        reward = number("reward", reward)
        remaining = self._after(reward)
        self.runtime.advance_reward(reward / self.contract.reward.scale)
        self._return_to_go, self._rewarded = remaining, True

    def act(self, observation: npt.NDArray[np.float32], reward: float | None = None) -> Action:
        """Advance the state by one control tick and return the action.

        Args:
            observation: float32 (observation_size,), see :class:`ObservationAssembler`.
            reward: reward of the previous action, in reward units; None when
                :meth:`observe_reward` took it. At the first tick of an episode there was none:
                what is given then must be finite, and has no effect.

        Raises:
            ContractError: the observation has the wrong size, a number is none or is not finite
                in float32, or the reward is missing or given twice; the recurrent state is left as
                it was.
        """
        start = perf_counter()
        vector = numbers("observation", observation, (self.contract.observation_size,))
        if not finite32(vector).all():
            raise ContractError("observation is not finite in float32; the state was not advanced")
        remaining = self._return_to_go
        if reward is not None:
            reward = number("reward", reward)
            remaining = self._after(reward)
        if not self._first and (reward is None) != self._rewarded:
            given = "was given twice" if self._rewarded else "is missing"
            raise ContractError(f"the last action's reward {given}; the state was not advanced")
        if self._first:
            reward, remaining = None, self._return_to_go
        scale = self.contract.reward.scale
        self.runtime.tokenise(
            vector.astype(np.float32), remaining / scale, None if reward is None else reward / scale
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

    def _after(self, reward: float) -> float:
        """Return to go after a reward. Raises ContractError where one of them is not finite."""
        remaining, scale = self._return_to_go - reward, self.contract.reward.scale
        if not (finite32(reward, scale) and finite32(remaining, scale)):
            raise ContractError("reward is not finite in float32; the state was not advanced")
        return remaining

    def _finite(self, what: str, given: object) -> float:
        """A return, in reward units. Raises ContractError where the model could not take it."""
        value = number(what, given)
        if not finite32(value, self.contract.reward.scale):
            raise ContractError(f"{what} must be finite in float32, found {value:g}")
        return value
