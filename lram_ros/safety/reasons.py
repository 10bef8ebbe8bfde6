"""Why a robot was stopped: one named reason each, with the line a person reads."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Every reason for a latched stop; the value is its name on topics and in logs.

    Where several hold in the same tick, the one that stands first here is named.
    """

    EXTERNAL_STOP = "external_stop"
    RUNNER_FAILED = "runner_failed"
    WATCHDOG = "watchdog"
    TICK_TIME = "tick_time"
    LATE_TICK = "late_tick"
    CLOCK_BACK = "clock_back"
    CLOCK_FORWARD = "clock_forward"
    CLOCK_FROZEN = "clock_frozen"
    SECOND_PUBLISHER = "second_publisher"
    INPUT_AMBIGUOUS = "input_ambiguous"
    PUBLISHER_LOST = "publisher_lost"
    INPUT_MISSING = "input_missing"
    INPUT_STALE = "input_stale"
    INPUT_INVALID = "input_invalid"
    OUTSIDE_LIMITS = "outside_limits"
    NOT_FOLLOWING = "not_following"
    COMMAND_SIZE = "command_size"
    COMMAND_NOT_FINITE = "command_not_finite"
    DEACTIVATED = "deactivated"
    SHUTDOWN = "shutdown"

    @property
    def text(self) -> str:
        """What happened, in one line."""
        return TEXTS[self]


TEXTS = {
    Reason.EXTERNAL_STOP: "the external stop topic asks for a stop",
    Reason.RUNNER_FAILED: "the control loop or the policy ended with an error",
    Reason.WATCHDOG: "the control loop did not tick before the watchdog's deadline",
    Reason.TICK_TIME: "the time of a tick went back or is not a number",
    Reason.LATE_TICK: "a tick came too late after the one before",
    Reason.CLOCK_BACK: "ROS time went back",
    Reason.CLOCK_FORWARD: "ROS time jumped forward",
    Reason.CLOCK_FROZEN: "ROS time stands still",
    Reason.SECOND_PUBLISHER: "somebody else publishes on the command topic",
    Reason.INPUT_AMBIGUOUS: "a required input has more than one publisher",
    Reason.PUBLISHER_LOST: "a required input has no publisher any more",
    Reason.INPUT_MISSING: "a required input never came",
    Reason.INPUT_STALE: "a required input is too old, or stamped too far ahead",
    Reason.INPUT_INVALID: "an input is malformed or not finite",
    Reason.OUTSIDE_LIMITS: "the robot is outside its position limits or its workspace",
    Reason.NOT_FOLLOWING: "the robot is too far from where it was commanded to be",
    Reason.COMMAND_SIZE: "the policy's action has the wrong number of values",
    Reason.COMMAND_NOT_FINITE: "the policy's action is not finite",
    Reason.DEACTIVATED: "the node was deactivated",
    Reason.SHUTDOWN: "the node is shutting down",
}


def table() -> str:
    """Return the reasons as the Markdown table of docs/safety.md."""
    rows = [f"| `{reason.value}` | {reason.text} |" for reason in Reason]
    return "\n".join(["| reason | what happened |", "|---|---|", *rows])


@dataclass(frozen=True)
class Fault:
    """A reason and what exactly was found: names, numbers and limits."""

    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail or self.reason.text}"
