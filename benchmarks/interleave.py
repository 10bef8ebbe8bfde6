"""Takes turns: every contestant once a round, in a new order each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from lram_core.bench.inputs import Inputs
from lram_core.bench.timing import Latency

Contestant = Callable[[int], object]
"""Called with the number of the round; returns when its work is done."""
WARM_UP = 5


@dataclass(frozen=True)
class Budget:
    """When a measurement is enough.

    Attributes:
        ticks: most rounds. seconds: rounds stop after this time, but not before ``least``.
    """

    ticks: int = 300
    seconds: float = 20.0
    least: int = 30


def take_turns(contestants: Mapping[str, Contestant], budget: Budget) -> dict[str, Latency]:
    """Time every contestant once a round, so that a change of the machine's speed meets all alike.

    The order is drawn anew each round: no contestant always finds the caches of the same other.
    """
    names = list(contestants)
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in names}
    begin = perf_counter()
    for number in range(WARM_UP + budget.ticks):
        if number == WARM_UP:
            begin = perf_counter()
        late = perf_counter() - begin > budget.seconds
        if late and number >= WARM_UP + min(budget.least, budget.ticks):
            break
        for index in rng.permutation(len(names)):
            name = names[index]
            start = perf_counter()
            contestants[name](number)
            duration = perf_counter() - start
            if number >= WARM_UP:
                times[name].append(duration)
    return {name: Latency.of(values) for name, values in times.items()}


def on_inputs(tick: Callable[..., object], inputs: Inputs) -> Contestant:
    """A candidate's tick on the round's inputs."""

    def contestant(number: int) -> object:
        at = number % len(inputs)
        return tick(
            inputs.observations[at], float(inputs.returns_to_go[at]), float(inputs.rewards[at])
        )

    return contestant
