"""The faults of the campaign and what should come of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.fault_arm import Patience

GOES_ON = ""
"""Instead of a reason: the loop does not stop."""


@dataclass(frozen=True)
class Case:
    """A fault.

    Attributes:
        name: in tables and on the command line.
        what: happens, in a few words.
        fault: in the mock robot's grammar without a time; empty where the campaign itself does it.
        wall, sim: reasons that may be named; ``GOES_ON`` alone: none is.
        moves: whether it still has to move where it goes on.
    """

    name: str
    what: str
    fault: str = ""
    wall: tuple[str, ...] = (GOES_ON,)
    sim: tuple[str, ...] = field(default=())
    moves: bool = True

    def reasons(self, clock: str) -> tuple[str, ...]:
        return self.sim if clock == "sim" and self.sim else self.wall


KILL, COMMANDS = "kill", "second_publisher of commands"
_STALE, _INVALID = ("input_stale",), ("input_invalid",)
_JUMP_S = 2.5


def cases(patience: Patience) -> list[Case]:
    """Return all of them; a delay is longer than readings may be old."""
    topic = "joint_states"
    late = round(3 * patience.max_age, 3)
    return [
        Case("stale", "no more messages", f"stale:{topic}", _STALE),
        Case("frozen", "the last message again and again", f"frozen:{topic}", _STALE),
        Case("drop", "every 2nd message is lost", f"drop:{topic}=2"),
        Case("delay", f"messages come {late:g} s late", f"delay:{topic}={late}s", _STALE),
        Case("reorder", "joints in another order each time", f"reorder:{topic}"),
        Case("nan", "positions and velocities are NaN", f"nan:{topic}", _INVALID),
        Case("extreme", "joints at 1e6 rad", f"extreme:{topic}=1e6", ("not_following",)),
        Case("extreme goal", "the goal is 1e6 m away", "extreme:goal=1e6", moves=False),
        Case("huge goal", "the goal is 1e300 m away", "extreme:goal=1e300", _INVALID),
        Case("wrong_size", "one value too few", f"wrong_size:{topic}", _INVALID),
        Case("duplicate_names", "a joint named twice", f"duplicate_names:{topic}", _INVALID),
        Case(
            "second_publisher",
            "another node publishes joint_states",
            f"second_publisher:{topic}",
            ("input_ambiguous",),
        ),
        Case(COMMANDS, "another node publishes commands", wall=("second_publisher",)),
        Case(
            "freeze_clock",
            "the robot's clock stands still",
            "freeze_clock",
            _STALE,
            ("clock_frozen",),
        ),
        Case(
            "jump_clock forward",
            f"the robot's clock jumps by {_JUMP_S:g} s",
            f"jump_clock={_JUMP_S}s",
            _STALE,
            ("clock_forward",),
        ),
        Case(
            "jump_clock back",
            f"the robot's clock jumps by -{_JUMP_S:g} s",
            f"jump_clock=-{_JUMP_S}s",
            _STALE,
            ("clock_back",),
        ),
        # Of a simulator that is gone, the clock and the readings end with the same message.
        Case(KILL, "SIGKILL of the robot", "kill", _STALE, ("clock_frozen", "input_stale")),
    ]
