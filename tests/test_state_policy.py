"""The recurrent state: a real policy's, through every event of the table, number for number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lram_core.policy import Policy
from lram_ros.safety import Reason
from lram_ros.safety.state_policy import RULES, Effect, Event, effect, event_of

# Said a second time, so that a change of a rule is a change of a test.
EXPECTED = {
    Event.WHOLE_SET: "advance",
    Event.REPEATED_SET: "hold",
    Event.EPISODE_RESET: "reset",
    Event.EPISODE_OVER: "hold",
    Event.MISSED_TICK: "advance",
    Event.LATE_TICK: "hold",
    Event.STALE_INPUT: "hold",
    Event.INVALID_INPUT: "hold",
    Event.INVALID_ACTION: "hold",
    Event.CLOCK_FORWARD: "hold",
    Event.CLOCK_BACK: "reset",
    Event.CLOCK_FROZEN: "hold",
    Event.FAULT: "hold",
    Event.ACTIVATE: "reset",
    Event.DEACTIVATE: "reset",
    Event.REARM: "reset",
    Event.BUNDLE_SWITCH: "reset",
    Event.TARGET_RETURN: "hold",
}
PAST, AT_HAND, AFTER = 4, 4, 5


class Recurrence:
    """A policy, and what it answers from here on."""

    def __init__(self, policy):
        self.policy = policy
        rng = np.random.default_rng(3)
        size = policy.contract.observation_size
        self.observations = rng.normal(size=(8, size)).astype(np.float32)

    def act(self, number):
        self.policy.act(self.observations[number], 0.5)

    def after(self, reset, advance):
        """Logits of the ticks after an event in mid-episode that did this to the state."""
        self.policy.reset()
        for number in range(PAST):
            self.act(number)
        if reset:
            self.policy.reset()
        if advance:
            self.act(AT_HAND)
        answers = []
        for number in range(AFTER, 8):
            self.act(number)
            answers.append(self.policy.runtime.logits.copy())
        return np.array(answers)

    def from_the_start(self, *numbers):
        """Logits of the last three of these ticks, in an episode of nothing else."""
        self.policy.reset()
        answers = []
        for number in numbers:
            self.act(number)
            answers.append(self.policy.runtime.logits.copy())
        return np.array(answers[-3:])


@pytest.fixture
def recurrence(tiny_bundle):
    return Recurrence(Policy.load(tiny_bundle))


def test_every_event_has_a_rule_and_a_row_here():
    assert list(RULES) == list(Event) == list(EXPECTED)
    assert all(rule.why for rule in RULES.values())


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
def test_row(recurrence, event):
    rule = RULES[event].effect
    assert rule.value == EXPECTED[event]
    # An advance needs a set; a missed tick is noticed when the next one comes.
    events = {event, Event.WHOLE_SET} if rule is Effect.ADVANCE else {event}
    found = recurrence.after(*effect(events))
    past = range(PAST)
    expected = {
        Effect.RESET: recurrence.from_the_start(*range(AFTER, 8)),
        Effect.HOLD: recurrence.from_the_start(*past, *range(AFTER, 8)),
        Effect.ADVANCE: recurrence.from_the_start(*past, *range(AT_HAND, 8)),
    }
    for other, answers in expected.items():
        assert (found == answers).all() == (other is rule)


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_no_stop_advances_the_state(reason):
    _, advance = effect({event_of(reason), Event.WHOLE_SET})
    assert not advance or reason is Reason.CLOCK_BACK  # the first set of the new run


def test_the_set_that_comes_with_a_new_episode_is_its_first(recurrence):
    found = recurrence.after(*effect({Event.EPISODE_OVER, Event.EPISODE_RESET, Event.WHOLE_SET}))
    assert (found == recurrence.from_the_start(*range(AT_HAND, 8))).all()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (set(), (False, False)),
        ({Event.WHOLE_SET, Event.TARGET_RETURN}, (False, True)),
        ({Event.WHOLE_SET, Event.REPEATED_SET}, (False, False)),
        ({Event.WHOLE_SET, Event.INVALID_INPUT}, (False, False)),
        ({Event.EPISODE_RESET, Event.INVALID_INPUT, Event.WHOLE_SET}, (True, False)),
        ({Event.REARM, Event.WHOLE_SET}, (True, True)),
        ({Event.DEACTIVATE, Event.WHOLE_SET}, (True, False)),
        ({Event.MISSED_TICK}, (False, False)),
    ],
)
def test_events_that_come_together(events, expected):
    assert effect(events) == expected


@given(st.sets(st.sampled_from(list(Event))))
def test_any_events_together(events):
    reset, advance = effect(events)
    assert reset == any(EXPECTED[event] == "reset" for event in events)
    if advance:
        assert Event.WHOLE_SET in events
        blocking = {event for event in events if EXPECTED[event] == "hold"}
        assert blocking <= {Event.TARGET_RETURN, Event.EPISODE_OVER}
