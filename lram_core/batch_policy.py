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
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.device import resolve_device
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
        if slots < 1:
            raise CommandError(f"a batch needs at least one slot, found {slots}")
        where = torch.device("cpu") if device is None else device
        runtime = _resolved(runtime, model, where)
        if not precision:
            precision = "bf16" if runtime == "cuda-graph" else "fp32"
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
    ) -> BatchPolicy:
        """Load a bundle.

        Args:
            path: the bundle's folder.
            slots: number of robots, N.
            device: ``cpu``, ``cuda``, or ``auto`` (CUDA where there is one).
            runtime: one of RUNTIMES, or ``auto``: the graph where there is a GPU.
            precision: of the large weight matrices, ``fp32`` or ``bf16``; empty for the
                runtime's own.

        Raises:
            BundleError, ContractError: the bundle is unusable.
            CommandError: an unknown device or runtime, or no slot.
            RuntimeUnavailable: the runtime or the precision cannot be had here.
        """
        where = resolve_device(device)
        model, contract = load_bundle(path, where)
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
            ContractError: there is no such slot, or the target is not finite.
        """
        if not 0 <= slot < self.slots:
            raise ContractError(f"slot {slot}: expected 0 to {self.slots - 1}")
        goal = self.contract.target_return(task) if target_return is None else target_return
        if not np.isfinite(goal):
            raise ContractError(f"slot {slot}: target return must be finite, found {goal}")
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
                or has no action that waits for one. Nothing has changed then.
        """
        taking = self._taking(active)
        given = self._checked("rewards", rewards, (self.slots,), taking)
        self._refuse(taking & self._first, "no action waits for a reward: an episode starts")
        self._refuse(taking & self._rewarded, "the last action's reward was given already")
        self._tick.wait()
        self._write(taking, reward=given / self.contract.reward.scale)
        self._tick.run(Program.REWARD)
        self._to_go[taking] -= given[taking]
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
            rewards: (N,) of the last actions, in reward units; None when :meth:`observe_rewards`
                took them. Ignored at an episode's first tick.
            active: (N,) bool, the slots that take part; all by default. The others keep their
                state, and what is given for them is not looked at.

        Raises:
            ContractError: wrong shapes, or a slot that takes part has a number that is not finite,
                or its reward is missing or given twice. The message names the slots; no slot was
                advanced.
        """
        start = perf_counter()
        taking = self._taking(active)
        shape = (self.slots, self.contract.observation_size)
        vectors = self._checked("observations", observations, shape, taking)
        going_on = taking & ~self._first
        given = np.zeros(self.slots)
        if rewards is None:
            self._refuse(going_on & ~self._rewarded, "the last action's reward is missing")
        else:
            given = np.where(
                going_on, self._checked("rewards", rewards, (self.slots,), taking), 0.0
            )
            self._refuse(going_on & self._rewarded, "the last action's reward was given twice")
        remaining = self._to_go - given
        scale = self.contract.reward.scale
        self._tick.wait()
        self._write(taking, vectors, remaining / scale, given / scale)
        tokenised = perf_counter()
        self._tick.run(Program.LATE if rewards is None else Program.TICK)
        self._tick.wait()
        stepped = perf_counter()
        bins = np.where(taking[:, None], self._tick.bins, -1)
        values = np.full(bins.shape, np.nan)
        sound = taking & np.isfinite(self._tick.logits).all(axis=(1, 2))
        values[sound] = self._codec.decode(bins[sound])
        self._to_go = np.where(taking, remaining, self._to_go)
        self._first &= ~taking
        self._rewarded &= ~taking
        timings = {
            "tokenise": tokenised - start,
            "step": stepped - tokenised,
            "decode": perf_counter() - stepped,
        }
        return BatchAction(values=values, bins=bins, timings=timings)

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
        taking = np.ones(self.slots, dtype=bool) if active is None else np.asarray(active)
        if taking.shape != (self.slots,) or taking.dtype != bool:
            raise ContractError(
                f"active is {taking.dtype} {taking.shape}, expected bool ({self.slots},)"
            )
        return taking

    def _checked(
        self, what: str, given: npt.ArrayLike, shape: tuple[int, ...], taking: BoolArray
    ) -> npt.NDArray[np.float64]:
        values = np.asarray(given, dtype=np.float64)
        if values.shape != shape:
            raise ContractError(f"{what} have shape {values.shape}, expected {shape}")
        # The model's inputs are float32: what is infinite there is infinite here.
        finite = (np.abs(values) <= np.finfo(np.float32).max).reshape(self.slots, -1).all(axis=1)
        self._refuse(taking & ~finite, f"{what} are not finite")
        return values

    def _refuse(self, wrong: BoolArray, why: str) -> None:
        if wrong.any():
            raise ContractError(
                f"slot {listed(np.flatnonzero(wrong))}: {why}; no slot was advanced"
            )


def tick_seconds(policy: BatchPolicy, ticks: int) -> npt.NDArray[np.float64]:
    """Time control ticks of all slots on random inputs, (ticks,) seconds, first-call costs paid.

    Episodes are reset before and after.
    """
    rng = np.random.default_rng(0)
    shape = (policy.slots, policy.contract.observation_size)
    rewards = np.zeros(policy.slots)
    for slot in range(policy.slots):
        policy.reset(slot)
    seconds = np.zeros(ticks)
    for number in range(-3, ticks):
        observations = rng.standard_normal(shape)
        start = perf_counter()
        policy.act(observations, rewards)
        if number >= 0:
            seconds[number] = perf_counter() - start
    for slot in range(policy.slots):
        policy.reset(slot)
    return seconds


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
