"""A policy for many robots at once: one model, a slot a robot, one pass over the weights a tick."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch

from lram_core.action_model import ActionModel
from lram_core.bundle import load_bundle
from lram_core.checks import count, finite32, flags, number, numbers
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.device import resolve_device
from lram_core.embodiments import Choice
from lram_core.errors import CommandError, ContractError, RuntimeUnavailable, listed
from lram_core.runtimes import AUTO
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.cuda_graph import CudaGraphRuntime
from lram_core.runtimes.static_tick import Program, StaticTick
from lram_core.runtimes.weights import PRECISIONS

BoolArray = npt.NDArray[np.bool_]
RUNTIMES = ("torch", "cuda-graph")
"""What runs a batch: PyTorch operation by operation, or one CUDA graph a tick."""


@dataclass(frozen=True)
class BatchAction:
    """What the policy wants for each of N slots.

    Rows of slots that did not act are NaN and -1. Values are NaN, too, where a logit of the slot
    was not finite.

    Attributes:
        values: float64 (N, action_size), in the units and limits of the contract's action fields.
        bins: int64 (N, action_size), the bins chosen.
        timings: stage → seconds for the whole batch: ``tokenise``, ``step``, ``decode``.
    """

    values: npt.NDArray[np.float64]
    bins: npt.NDArray[np.int64]
    timings: dict[str, float]


class BatchPolicy:
    """N robots' states and returns still asked for; each slot starts its episodes on its own.

    A tick does for every slot what :meth:`lram_core.policy.Policy.act` does for one.
    """

    def __init__(
        self,
        model: ActionModel,
        contract: PolicyContract,
        slots: int,
        device: torch.device | None = None,
        runtime: str = AUTO,
        precision: str = "",
    ) -> None:
        """See :meth:`load` for the arguments."""
        slots = count("slots", slots)
        where = torch.device("cpu") if device is None else device
        runtime = _resolved(runtime, model, where)
        precision = precision or PRECISIONS[0]
        if precision not in PRECISIONS:
            raise RuntimeUnavailable(
                f"a batch has no precision {precision!r}; available: {listed(PRECISIONS)}"
            )
        self.contract = contract
        self.slots = slots
        self._codec = ActionCodec(contract.action, model.config.bins)
        self._tick = StaticTick(
            model, slots, where, precision, flags=True, capture=runtime == "cuda-graph"
        )
        self._description = f"{runtime} ({slots} slots, {precision}, {where})"
        self._target = contract.target_return(None)
        self._to_go = np.full(slots, self._target)
        self._first = np.ones(slots, dtype=bool)
        self._rewarded = np.zeros(slots, dtype=bool)

    @classmethod
    def load(
        cls,
        path: Path | str,
        slots: int,
        device: str = "cpu",
        runtime: str = AUTO,
        precision: str = "",
        embodiment: Choice = "",
    ) -> BatchPolicy:
        """Load a bundle.

        Args:
            path: the bundle's folder.
            slots: number of robots, N.
            device: ``cpu``, ``cuda``, or ``auto`` (CUDA where there is one).
            runtime: one of RUNTIMES, or ``auto``: the graph where there is a GPU.
            precision: of the large weight matrices, ``fp32`` (the default) or ``bf16``.
            embodiment: which of the bundle's, see :data:`lram_core.embodiments.Choice`.

        Raises:
            BundleError, ContractError: the bundle is unusable, or has no such embodiment.
            CommandError: an unknown device or runtime, or no slot.
            RuntimeUnavailable: the runtime or the precision cannot be had here.
        """
        where = resolve_device(device)
        model, contract = load_bundle(path, where, embodiment)
        return cls(model, contract, slots, where, runtime, precision)

    def describe(self) -> str:
        """Return one line for people: what really runs, and where."""
        return self._description

    @property
    def return_to_go(self) -> npt.NDArray[np.float64]:
        """Return still asked for, in reward units, (N,): the targets less the rewards received."""
        return self._to_go.copy()

    def reset(self, slot: int, task: str | None = None, target_return: float | None = None) -> None:
        """Start an episode in one slot; the others go on.

        Args:
            slot: 0 to N - 1.
            task: picks the target return from the contract; unknown tasks take the default.
            target_return: undiscounted return to ask for instead, in reward units.

        Raises:
            ContractError: there is no such slot, or the target is not finite in float32.
        """
        try:
            slot = range(self.slots).index(slot)
        except ValueError:
            raise ContractError(f"slot {slot}: expected 0 to {self.slots - 1}") from None
        goal = number(
            f"slot {slot}: target return",
            self.contract.target_return(task) if target_return is None else target_return,
        )
        if not finite32(goal, self.contract.reward.scale):
            raise ContractError(
                f"slot {slot}: target return must be finite in float32, found {goal:g}"
            )
        self._to_go[slot] = goal
        self._first[slot] = True
        self._rewarded[slot] = False

    def observe_rewards(self, rewards: npt.ArrayLike, active: npt.ArrayLike | None = None) -> None:
        """Take last actions' rewards ahead of the next observations, off the critical path.

        Args:
            rewards: (N,), in reward units.
            active: (N,) bool, the slots that take part; all by default.

        Raises:
            ContractError: wrong shapes, or a slot that takes part has a reward that is not finite
                in float32 or has no action that waits for one. Nothing has changed then.
        """
        taking = self._taking(active)
        given = self._numbers("rewards", rewards, (self.slots,), taking)
        remaining = self._after(given, taking)
        self._refuse(taking & self._first, "no action waits for a reward: an episode starts")
        self._refuse(taking & self._rewarded, "the last action's reward was given already")
        self._advance_rewards(taking, given)
        self._to_go = remaining
        self._rewarded |= taking

    def act(
        self,
        observations: npt.ArrayLike,
        rewards: npt.ArrayLike | None = None,
        active: npt.ArrayLike | None = None,
    ) -> BatchAction:
        """Advance the slots that take part by one control tick.

        Args:
            observations: (N, observation_size).
            rewards: (N,) of the last actions, in reward units; NaN for a slot whose reward
                :meth:`observe_rewards` took, None when it took them all. At an episode's first
                tick there was none: what is given then must be finite, and has no effect.
            active: (N,) bool, the slots that take part; all by default. The others keep their
                state, and what is given for them is not looked at.

        Raises:
            ContractError: wrong shapes, or a slot that takes part has a number that is not finite
                in float32, or its reward is missing or given twice. The message names the slots;
                no slot was advanced.
        """
        start = perf_counter()
        taking = self._taking(active)
        shape = (self.slots, self.contract.observation_size)
        vectors = self._numbers("observations", observations, shape, taking)
        self._refuse(~finite32(vectors).all(axis=1), "observations are not finite in float32")
        given, bringing = self._brought(rewards, taking)
        remaining = self._after(given, bringing)
        scale = self.contract.reward.scale
        # The tokens of a pass are those of every slot: where some slots' rewards went ahead, the
        # others' go ahead now.
        mixed = bool((taking & self._rewarded).any() and bringing.any())
        if mixed:
            self._advance_rewards(bringing, given)
        self._tick.wait()
        self._write(taking, vectors, remaining / scale, given / scale)
        tokenised = perf_counter()
        self._tick.run(Program.TICK if bringing.any() and not mixed else Program.LATE)
        self._tick.wait()
        stepped = perf_counter()
        bins = np.where(taking[:, None], self._tick.bins, -1)
        values = np.full(bins.shape, np.nan)
        sound = taking & np.isfinite(self._tick.logits).all(axis=(1, 2))
        values[sound] = self._codec.decode(bins[sound])
        self._to_go = remaining
        self._first &= ~taking
        self._rewarded &= ~taking
        timings = {
            "tokenise": tokenised - start,
            "step": stepped - tokenised,
            "decode": perf_counter() - stepped,
        }
        return BatchAction(values=values, bins=bins, timings=timings)

    def _brought(
        self, rewards: npt.ArrayLike | None, taking: BoolArray
    ) -> tuple[npt.NDArray[np.float64], BoolArray]:
        """Return the rewards that a tick brings, zero for the other slots, and whose they are."""
        going_on = taking & ~self._first
        if rewards is None:
            self._refuse(going_on & ~self._rewarded, "the last action's reward is missing")
            return np.zeros(self.slots), np.zeros(self.slots, dtype=bool)
        given = self._numbers("rewards", rewards, (self.slots,), taking)
        bringing = taking & ~(going_on & self._rewarded & np.isnan(given))
        self._refuse(bringing & ~self._finite(given), "rewards are not finite in float32")
        self._refuse(
            bringing & going_on & self._rewarded, "the last action's reward was given twice"
        )
        bringing &= going_on
        return np.where(bringing, given, 0.0), bringing

    def _numbers(
        self, what: str, given: npt.ArrayLike, shape: tuple[int, ...], taking: BoolArray
    ) -> npt.NDArray[np.float64]:
        """Return what came for the slots that take part; zeros for the others."""
        values = numbers(what, given, shape)
        return np.where(taking if values.ndim == 1 else taking[:, None], values, 0.0)

    def _after(
        self, rewards: npt.NDArray[np.float64], bringing: BoolArray
    ) -> npt.NDArray[np.float64]:
        """Return to go after the rewards of some slots; refuses what is not finite."""
        remaining = self._to_go - np.where(bringing, rewards, 0.0)
        sound = self._finite(rewards) & self._finite(remaining)
        self._refuse(bringing & ~sound, "rewards are not finite in float32")
        return remaining

    def _finite(self, values: npt.NDArray[np.float64]) -> BoolArray:
        finite: BoolArray = finite32(values, self.contract.reward.scale)
        return finite

    def _advance_rewards(self, taking: BoolArray, rewards: npt.NDArray[np.float64]) -> None:
        self._tick.wait()
        self._write(taking, reward=rewards / self.contract.reward.scale)
        self._tick.run(Program.REWARD)

    def _write(
        self,
        taking: BoolArray,
        observations: npt.NDArray[np.float64] | None = None,
        to_go: npt.NDArray[np.float64] | None = None,
        reward: npt.NDArray[np.float64] | None = None,
    ) -> None:
        """Fill the model's inputs; rows of slots that do not take part are zero, not what came."""
        host = self._tick.host
        host[...] = 0.0
        if observations is not None:
            host[:, :-4] = observations
        if to_go is not None:
            host[:, -4] = to_go
        if reward is not None:
            host[:, -3] = reward
        host[:, -2] = self._first
        host[:, -1] = 1.0
        host[~taking] = 0.0

    def _taking(self, active: npt.ArrayLike | None) -> BoolArray:
        if active is None:
            return np.ones(self.slots, dtype=bool)
        return flags("active", active, (self.slots,))

    def _refuse(self, wrong: BoolArray, why: str) -> None:
        if wrong.any():
            raise ContractError(
                f"slot {listed(np.flatnonzero(wrong))}: {why}; no slot was advanced"
            )


def _resolved(runtime: str, model: ActionModel, device: torch.device) -> str:
    reason = CudaGraphRuntime.unavailable(model.config, RuntimeOptions(device))
    if runtime == AUTO:
        return "torch" if reason else "cuda-graph"
    if runtime not in RUNTIMES:
        raise CommandError(
            f"unknown runtime {runtime!r} for a batch; available: {listed([AUTO, *RUNTIMES])}"
        )
    if runtime == "cuda-graph" and reason:
        raise RuntimeUnavailable(f"runtime cuda-graph: {reason}")
    return runtime
