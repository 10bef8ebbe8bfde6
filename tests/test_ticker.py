"""The control clock: absolute deadlines, missed ones counted, errors told, stop from anywhere."""

from __future__ import annotations

import threading
import time
import traceback

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_ros.ticker import Ticker


def wait_for(condition, timeout=10.0):
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "what was waited for did not happen"
        time.sleep(0.002)


class SimulatedTime:
    """The clock and the sleep of a ticker, without any waiting: deadlines to the nanosecond."""

    def __init__(self, monkeypatch, wake_late=lambda: 0):
        self.now = 7_000_000_000
        self.wake_late = wake_late
        monkeypatch.setattr("lram_ros.ticker.time", self)

    def monotonic_ns(self):
        return self.now

    def sleep(self, seconds):
        self.now += round(seconds * 1e9) + self.wake_late()


def run_simulated(rate, durations, wake_late=lambda: 0):
    """Run one tick for each duration (s); returns their TickTimes and the ticker."""
    seen = []
    left = list(durations)

    def tick(when):
        seen.append(when)
        clock.now += round(left.pop(0) * 1e9)
        if not left:
            ticker.stop()

    with pytest.MonkeyPatch.context() as patch:
        clock = SimulatedTime(patch, wake_late)
        ticker = Ticker(rate, tick)
        ticker._loop()
    return seen, ticker


def test_ticks_hold_the_rate_in_real_time():
    starts = []
    ticker = Ticker(100.0, lambda when: starts.append((time.monotonic(), when)))
    with ticker:
        wait_for(lambda: len(starts) >= 30)
    due = np.array([when.deadline for _, when in starts])
    steps = np.diff(due) * 100
    assert np.allclose(steps, np.round(steps), atol=1e-6)  # whole periods apart, whatever the load
    assert np.round(steps).astype(int).tolist() == [1 + when.missed for _, when in starts[1:]]
    assert all(0 <= when.lateness < 0.01 for _, when in starts)
    assert all(began >= when.deadline + when.lateness for began, when in starts)
    assert [when.number for _, when in starts] == list(range(len(starts)))
    assert ticker.missed == sum(when.missed for _, when in starts)


def test_a_late_tick_does_not_shift_those_after_it():
    seen, ticker = run_simulated(100.0, [0.001, 0.013, 0.001, 0.001])
    due = [when.deadline - seen[0].deadline for when in seen]
    assert due == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert [when.lateness for when in seen] == pytest.approx([0, 0, 0.003, 0])
    assert ticker.missed == 0


def test_missed_deadlines_are_counted_and_not_made_up_for():
    seen, ticker = run_simulated(100.0, [0.001, 0.035, 0.001, 0.001])
    due = [when.deadline - seen[0].deadline for when in seen]
    assert due == pytest.approx([0.0, 0.01, 0.04, 0.05])
    assert [when.missed for when in seen] == [0, 0, 2, 0]
    assert seen[2].lateness == pytest.approx(0.005)
    assert ticker.missed == 2
    assert ticker.ticks == 4


@given(
    st.floats(0.5, 2000.0),
    st.lists(st.floats(0.0, 5.0), min_size=1, max_size=60),
    st.lists(st.integers(0, 3_000_000), min_size=1, max_size=5),
)
def test_every_deadline_is_met_or_counted(rate, load, delays):
    """Whatever the ticks take (in periods) and however late the kernel wakes."""
    turn = iter(range(10**9))
    seen, ticker = run_simulated(
        rate, [x / rate for x in load], lambda: delays[next(turn) % len(delays)]
    )
    period = 1 / rate
    step = 0
    for when in seen:
        step += 1 + when.missed
        assert when.deadline - 7.0 == pytest.approx(step * period, abs=2e-9 * step)
        assert 0 <= when.lateness <= period + 2e-9
    assert ticker.missed == sum(when.missed for when in seen)
    assert ticker.ticks == len(load)


def test_a_million_ticks_do_not_drift():
    ticker = Ticker(30.0, lambda when: None)  # a period that no whole number of nanoseconds is
    assert ticker._deadline(0, 30 * 10**6) == 10**15


def test_an_error_is_handed_over_with_its_traceback_and_ends_the_ticking():
    seen, calls = [], []

    def tick(when):
        calls.append(when)
        if len(calls) == 3:
            raise KeyError("elbow")

    ticker = Ticker(500.0, tick, seen.append)
    ticker.start()
    wait_for(lambda: seen)
    ticker.stop()
    assert len(calls) == 3
    assert isinstance(seen[0], KeyError)
    assert seen[0] is ticker.failure
    assert 'raise KeyError("elbow")' in "".join(traceback.format_exception(seen[0]))
    assert not ticker.running


def test_an_error_nobody_asked_for_reaches_the_excepthook(monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))

    def tick(when):
        raise OSError("bus off")

    ticker = Ticker(500.0, tick)
    ticker.start()
    wait_for(lambda: seen)
    ticker.stop()
    assert seen == [ticker.failure]


def test_what_is_prepared_runs_on_the_thread_before_the_first_tick():
    order = []
    ticker = Ticker(
        200.0,
        lambda when: order.append(("tick", threading.current_thread().name)),
        prepare=lambda: order.append(("prepare", threading.current_thread().name)),
        name="arm",
    )
    with ticker:
        wait_for(lambda: len(order) > 2)
    assert order[0] == ("prepare", "arm")
    assert set(order[1:]) == {("tick", "arm")}


def test_a_failing_preparation_is_an_error_and_no_tick_follows():
    calls, seen = [], []

    def prepare():
        raise PermissionError("no")

    ticker = Ticker(500.0, calls.append, seen.append, prepare)
    ticker.start()
    wait_for(lambda: seen)
    ticker.stop()
    assert calls == []


def test_stop_joins_even_at_a_slow_rate():
    ticker = Ticker(0.01, lambda when: None)
    ticker.start()
    begin = time.monotonic()
    ticker.stop()
    assert time.monotonic() - begin < 5.0
    assert not ticker._thread.is_alive()
    assert ticker.ticks == 0
    ticker.stop()  # again: nothing happens


def test_stop_waits_for_the_tick_under_way():
    inside, done = threading.Event(), []

    def tick(when):
        inside.set()
        time.sleep(0.1)
        done.append(when)

    ticker = Ticker(500.0, tick)
    ticker.start()
    assert inside.wait(5)
    ticker.stop()
    assert len(done) == 1


def test_stop_from_inside_a_tick_makes_it_the_last():
    calls = []

    def tick(when):
        calls.append(when)
        ticker.stop()

    ticker = Ticker(500.0, tick)
    ticker.start()
    wait_for(lambda: not ticker._thread.is_alive())
    assert len(calls) == 1


def test_stop_before_start_is_harmless():
    Ticker(10.0, lambda when: None).stop()


@settings(max_examples=20)
@given(st.one_of(st.floats(max_value=0.0), st.sampled_from([float("nan"), float("inf")])))
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate"):
        Ticker(rate, lambda when: None)
