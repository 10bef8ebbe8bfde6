"""Whether a runtime computes what the reference computes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lram_core.bench.inputs import Inputs
from lram_core.runtimes.base import Runtime

LEAST_AGREEMENT = 0.99
LARGEST_ERROR = 1e-3


@dataclass(frozen=True)
class Parity:
    """One runtime against the reference, over the same inputs.

    Attributes:
        agreement: share of the action bins that are the reference's.
        logit_error: largest difference of a logit, relative to the largest logit.
        passed: the bins agree to 99 %; with float32 weights, the logits to 1e-3 as well. Rounded
            weights are judged by the bins alone: what they do to a logit is not what they do to
            an action.
    """

    agreement: float
    logit_error: float
    passed: bool

    def __str__(self) -> str:
        return (
            f"{100 * self.agreement:.1f} % of the bins are those of torch fp32, "
            f"logits off by {self.logit_error:.1e} of the largest"
        )


def compare(reference: Runtime, candidate: Runtime, inputs: Inputs) -> Parity:
    """Run one episode through both; the candidate takes every second reward early."""
    equal = total = 0
    error = scale = 0.0
    reference.reset()
    candidate.reset()
    for tick in range(len(inputs)):
        observation, to_go = inputs.observations[tick], float(inputs.returns_to_go[tick])
        reward = float(inputs.rewards[tick - 1]) if tick else None
        reference.tokenise(observation, to_go, reward)
        expected = reference.step()
        if reward is not None and tick % 2:
            candidate.advance_reward(reward)
            reward = None
        candidate.tokenise(observation, to_go, reward)
        bins = candidate.step()
        equal += int((bins == expected).sum())
        total += bins.size
        error = _larger(error, candidate.logits - reference.logits)
        scale = _larger(scale, reference.logits)
    agreement, error = equal / total, error / max(scale, 1e-30)
    exact = candidate.precision != "fp32" or error <= LARGEST_ERROR
    return Parity(agreement, error, bool(agreement >= LEAST_AGREEMENT and exact))


def _larger(value: float, array: npt.NDArray[np.float32]) -> float:
    """``value`` or the largest magnitude in ``array``; infinite where that holds a NaN."""
    largest = float(np.abs(array).max())
    return float("inf") if np.isnan(largest) else max(value, largest)
