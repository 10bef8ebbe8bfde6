"""Does ROS time go on as time does? A check of two clocks against each other, free of both.

The steady clock is the judge: it cannot be set, and a simulator cannot stop it. ROS time is the
system clock (a jump is a correction by NTP or by hand) or, with ``use_sim_time``, ``/clock`` (it
stands still when the simulator pauses and goes back when it is reset).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from lram_core.errors import ContractError


class ClockState(Enum):
    """What ROS time did since the check before."""

    FINE = "fine"
    FROZEN = "frozen"
    FORWARD = "jumped forward"
    BACK = "jumped back"


@dataclass(frozen=True)
class ClockLimits:
    """What is taken for a clock that goes on.

    Attributes:
        frozen_after: seconds of steady time that ROS time may stand still.
        forward: seconds that ROS time may gain on the steady clock between two checks.
        back: seconds that ROS time may go back.
        rate: how many times faster than the steady clock ROS time may run.
    """

    frozen_after: float = 0.5
    forward: float = 0.1
    back: float = 0.0
    rate: float = 1.0

    def __post_init__(self) -> None:
        ok = self.frozen_after > 0 and self.forward > 0 and self.back >= 0 and self.rate > 0
        if not ok:
            raise ContractError(f"clock limits must be positive, found {self}")

    @classmethod
    def system(cls) -> ClockLimits:
        """For the system clock, which NTP turns by small amounts all the time."""
        return cls(back=0.01)

    @classmethod
    def simulated(cls) -> ClockLimits:
        """For ``/clock``: up to ten times real time, in steps of up to a quarter of a second."""
        return cls(forward=0.25, rate=10.0)


@dataclass(frozen=True)
class ClockVerdict:
    """A state and its size in seconds: how long it stood still, how far it jumped."""

    state: ClockState = ClockState.FINE
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.state is ClockState.FINE:
            return "fine"
        return f"{self.state.value} for {self.seconds:.3g} s".replace(
            "jumped forward for", "jumped forward by"
        ).replace("jumped back for", "jumped back by")


@dataclass(frozen=True)
class ClockMemory:
    """What the check remembers, in seconds; built by :func:`check_clock` alone."""

    steady: float
    ros: float
    highest: float
    changed: float


def check_clock(
    limits: ClockLimits, memory: ClockMemory | None, steady: float, ros: float
) -> tuple[ClockMemory, ClockVerdict]:
    """Compare a reading of both clocks with the one before.

    A jump is reported once, by the check that sees it; the time after it is the new time. A clock
    that stands still is reported as long as it does.

    Args:
        limits: what is allowed.
        memory: of the check before; None at the first one, which is always fine.
        steady: steady time in seconds.
        ros: ROS time in seconds; not finite is reported as frozen.
    """
    if memory is None:
        start = ros if math.isfinite(ros) else 0.0
        return ClockMemory(steady, start, start, steady), ClockVerdict()
    known = math.isfinite(ros)
    value = ros if known else memory.ros
    changed = steady if value != memory.ros else memory.changed
    went_back = memory.highest - value
    gained = (value - memory.ros) - limits.rate * (steady - memory.steady)
    verdict = ClockVerdict()
    highest = max(memory.highest, value)
    if went_back > limits.back:
        verdict, highest = ClockVerdict(ClockState.BACK, went_back), value
    elif gained > limits.forward:
        verdict = ClockVerdict(ClockState.FORWARD, gained)
    elif not known or steady - changed > limits.frozen_after:
        verdict = ClockVerdict(ClockState.FROZEN, steady - changed)
    return ClockMemory(steady, value, highest, changed), verdict
