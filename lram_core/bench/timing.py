"""Latency of control ticks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from lram_core.bench.inputs import Inputs
from lram_core.runtimes.base import Runtime

if TYPE_CHECKING:
    from lram_core.batch_policy import BatchPolicy

K = TypeVar("K", bound=Hashable)
ROUNDS = 5
WARM_UP = 20
COLD = 2
"""Ticks at the start of a turn that are not counted: they find the caches of another runtime."""


@dataclass(frozen=True)
class Latency:
    """Distribution of a tick's duration in milliseconds.

    Attributes:
        ticks: number of ticks. p50, p99, p999, max: quantiles, each a duration that occurred;
            with fewer than 1000 ticks ``p999`` is the maximum.
    """

    ticks: int
    p50: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, seconds: npt.ArrayLike) -> Latency:
        values = 1e3 * np.asarray(seconds, dtype=np.float64)
        quantiles = np.quantile(values, [0.5, 0.99, 0.999], method="higher")
        p50, p99, p999 = (float(quantile) for quantile in quantiles)
        return cls(len(values), p50, p99, p999, float(values.max()))


def time_ticks(
    runtimes: Mapping[K, Runtime], inputs: Inputs, reward_early: bool
) -> dict[K, Latency]:
    """Time every tick from the observation to the action bins.

    The runtimes take turns of a fifth of the ticks each, so that a change of the machine's speed
    meets all alike.

    Args:
        runtimes: any key → runtime; their state is reset.
        inputs: the ticks.
        reward_early: the last action's reward is advanced before the observation is there, and
            not timed; otherwise it is part of the tick.
    """
    times: dict[K, list[float]] = {name: [] for name in runtimes}
    for runtime in runtimes.values():
        runtime.reset()
        _run(runtime, inputs, range(min(WARM_UP, len(inputs))), reward_early)
    for turn in np.array_split(np.arange(len(inputs)), min(ROUNDS, len(inputs))):
        for name, runtime in runtimes.items():
            _run(runtime, inputs, range(turn[0], turn[0] + min(COLD, len(turn))), reward_early)
            times[name] += _run(runtime, inputs, range(turn[0], turn[-1] + 1), reward_early)
    return {name: Latency.of(values) for name, values in times.items()}


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


def _run(runtime: Runtime, inputs: Inputs, ticks: range, reward_early: bool) -> list[float]:
    times = []
    for tick in ticks:
        observation, to_go = inputs.observations[tick], float(inputs.returns_to_go[tick])
        reward: float | None = float(inputs.rewards[tick])
        if reward_early:
            runtime.advance_reward(float(inputs.rewards[tick]))
            reward = None
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()  # it was early: it is done when the observation comes
        start = perf_counter()
        runtime.tokenise(observation, to_go, reward)
        runtime.step()
        times.append(perf_counter() - start)
    return times
