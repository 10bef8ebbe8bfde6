"""What each event does to the policy's recurrent state: reset, hold or advance, and why.

A recurrent policy was trained on episodes without gaps: tick follows tick, one control period
apart. The rules follow from that. Nothing is ever replayed, made up or fed twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from lram_ros.safety.reasons import Reason


class Effect(Enum):
    """What happens to the state; ``hold`` leaves every number as it is."""

    RESET = "reset"
    HOLD = "hold"
    ADVANCE = "advance"


class Event(Enum):
    """What can happen between two ticks; the value is how the table calls it."""

    WHOLE_SET = "whole, fresh set of inputs"
    REPEATED_SET = "the same set again"
    EPISODE_RESET = "episode reset (another number, task or seed)"
    EPISODE_OVER = "episode ended, or none runs"
    MISSED_TICK = "missed tick (a gap shorter than the late-tick limit)"
    LATE_TICK = "late tick (a gap that stops the robot)"
    STALE_INPUT = "stale or missing input"
    INVALID_INPUT = "malformed input or one that is not finite"
    INVALID_ACTION = "action that is not finite"
    CLOCK_FORWARD = "clock jump forward"
    CLOCK_BACK = "clock jump back (the source was restarted)"
    CLOCK_FROZEN = "frozen clock"
    FAULT = "any other latched stop (external stop, watchdog, second publisher, …)"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    REARM = "re-arm"
    BUNDLE_SWITCH = "bundle switch"
    TARGET_RETURN = "target-return change"


@dataclass(frozen=True)
class Rule:
    """The effect of an event, and why."""

    effect: Effect
    why: str


_R, _H, _A = Effect.RESET, Effect.HOLD, Effect.ADVANCE
RULES: dict[Event, Rule] = {
    Event.WHOLE_SET: Rule(_A, "one tick, as in training"),
    Event.REPEATED_SET: Rule(_H, "it was answered; the same command is sent again"),
    Event.EPISODE_RESET: Rule(_R, "training starts every episode with an empty state"),
    Event.EPISODE_OVER: Rule(_H, "there is nothing to answer; the next episode resets"),
    Event.MISSED_TICK: Rule(_A, "by the newest set once: lost ones are not made up for"),
    Event.LATE_TICK: Rule(_H, "a gap that training never saw; the robot stops, re-arm resets"),
    Event.STALE_INPUT: Rule(_H, "the past may not be fed as the present; the robot stops"),
    Event.INVALID_INPUT: Rule(_H, "one such number would stay in the state for good"),
    Event.INVALID_ACTION: Rule(_H, "the state may be spoilt: it is not used before a re-arm"),
    Event.CLOCK_FORWARD: Rule(_H, "ages cannot be trusted; the robot stops, re-arm resets"),
    Event.CLOCK_BACK: Rule(_R, "what was seen belongs to another run"),
    Event.CLOCK_FROZEN: Rule(_H, "no time passes for the inputs; the robot stops"),
    Event.FAULT: Rule(_H, "kept as it was, for whoever looks for the cause"),
    Event.ACTIVATE: Rule(_R, "what happened before is unknown to the policy"),
    Event.DEACTIVATE: Rule(_R, "the robot may be moved by others from now on"),
    Event.REARM: Rule(_R, "time has passed without ticks; the return to go starts anew too"),
    Event.BUNDLE_SWITCH: Rule(_R, "one model's state means nothing to another"),
    Event.TARGET_RETURN: Rule(_H, "it holds from the next episode on, not in mid-sequence"),
}


EVENTS = {
    Reason.LATE_TICK: Event.LATE_TICK,
    Reason.CLOCK_BACK: Event.CLOCK_BACK,
    Reason.CLOCK_FORWARD: Event.CLOCK_FORWARD,
    Reason.CLOCK_FROZEN: Event.CLOCK_FROZEN,
    Reason.PUBLISHER_LOST: Event.STALE_INPUT,
    Reason.INPUT_MISSING: Event.STALE_INPUT,
    Reason.INPUT_STALE: Event.STALE_INPUT,
    Reason.INPUT_INVALID: Event.INVALID_INPUT,
    Reason.COMMAND_SIZE: Event.INVALID_ACTION,
    Reason.COMMAND_NOT_FINITE: Event.INVALID_ACTION,
    Reason.DEACTIVATED: Event.DEACTIVATE,
    Reason.SHUTDOWN: Event.DEACTIVATE,
}


def event_of(reason: Reason) -> Event:
    """Return what a stop of the supervisor means for the state."""
    return EVENTS.get(reason, Event.FAULT)


def effect(events: Iterable[Event]) -> tuple[bool, bool]:
    """Return (reset, advance) for what happened since the last tick; neither: hold.

    A reset comes first. The state advances by the set at hand, once, unless the node was
    deactivated or an event says hold: of these only a target-return change and the end of an
    episode that is followed by a new one do not concern the set itself.
    """
    seen = set(events)
    reset = any(RULES[event].effect is Effect.RESET for event in seen)
    if Event.DEACTIVATE in seen:
        return reset, False
    held = {event for event in seen if RULES[event].effect is Effect.HOLD}
    held.discard(Event.TARGET_RETURN)
    if Event.EPISODE_RESET in seen:
        held.discard(Event.EPISODE_OVER)
    return reset, Event.WHOLE_SET in seen and not held


def table() -> str:
    """Return the rules as the Markdown table of docs/safety.md."""
    rows = [
        f"| {event.value} | {rule.effect.value} | {rule.why} |" for event, rule in RULES.items()
    ]
    return "\n".join(["| event | state | why |", "|---|---|---|", *rows])
