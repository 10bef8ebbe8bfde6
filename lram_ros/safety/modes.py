"""The supervisor's rules, its memory and its answers; ``supervisor.py`` says what it does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from lram_core.errors import ContractError
from lram_ros.safety.limits import Array, Mask, SafetyLimits
from lram_ros.safety.reasons import Fault, Reason
from lram_ros.safety.shaping import Motion


class Mode(Enum):
    """Where the supervisor is; the value is its name on topics and in logs."""

    IDLE = "idle"
    WAITING = "waiting"
    BLENDING = "blending"
    RUNNING = "running"
    STOPPING = "stopping"
    HOLDING = "holding"


MOVING = (Mode.BLENDING, Mode.RUNNING)


@dataclass(frozen=True)
class Rules:
    """What the supervisor enforces.

    Attributes:
        limits: of the command.
        blend_s: seconds in which a start leads from the measured pose to the proposals; 0: none.
        proof_s: seconds for which every source must have been fine before a start.
        late_s: a tick this long after the one before stops the robot; None: three periods.
    """

    limits: SafetyLimits
    blend_s: float = 1.0
    proof_s: float = 0.5
    late_s: float | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.blend_s < math.inf and 0 <= self.proof_s < math.inf):
            raise ContractError(
                f"safety rules: blend_s and proof_s must be finite and not negative, found "
                f"{self.blend_s:g} and {self.proof_s:g}"
            )
        if not self.late_after > self.limits.period:
            raise ContractError(
                f"safety rules: late_s must be longer than a period "
                f"({self.limits.period:g} s), found {self.late_s}"
            )

    @property
    def late_after(self) -> float:
        return 3 * self.limits.period if self.late_s is None else self.late_s


@dataclass(frozen=True, eq=False)
class State:
    """What the supervisor remembers; start with ``State()``, then only what it returns.

    Attributes:
        mode: where it is.
        fault: why it stopped last; None while nothing is wrong.
        motion: what was sent last; None when nothing is being held.
        now: time of the last tick in seconds; None before the first.
        credit: seconds of motion that ticks may still use up, see ``supervisor._budget``.
        since: start of the proof of life (waiting) or of the blend; None: not begun.
        start: where the blend begins.
        leaving: it becomes idle when it stands.
        rearmed: it waits because of a re-arm; what goes wrong now latches again, because a robot
            may not start by itself long after the person who asked for it has turned away.
    """

    mode: Mode = Mode.IDLE
    fault: Fault | None = None
    motion: Motion | None = None
    now: float | None = None
    credit: float = math.inf
    since: float | None = None
    start: Array | None = None
    leaving: bool = False
    rearmed: bool = False


@dataclass(frozen=True, eq=False)
class Decision:
    """What a tick comes to.

    Attributes:
        mode: after this tick.
        command: float64 (size,) to send now; None: send nothing.
        limited: bool (size,): where the command is not what the policy (or its blend) asked for.
        fault: why it stops, holds or has become idle; None otherwise.
        waiting_for: what keeps it from starting or from being re-armed; empty: nothing.
        weight: of the proposal in the command, 0 to 1.
    """

    mode: Mode
    command: Array | None
    limited: Mask
    fault: Fault | None = None
    waiting_for: tuple[str, ...] = ()
    weight: float = 0.0

    @property
    def moving(self) -> bool:
        """Whether new motion is allowed."""
        return self.mode in MOVING

    @property
    def reason(self) -> Reason | None:
        return self.fault.reason if self.fault else None
