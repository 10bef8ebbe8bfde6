"""Statistics of the loop equal what a full record would give, at a constant cost."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_growth import grown

from lram_ros.tick_statistics import TickStatistics

STAGES = ("observe", "step")


def filled(times, rate=100.0, stages=None, **options):
    statistics = TickStatistics(rate, STAGES, ("joint_states", "goal"), ("dx", "dy"), **options)
    for number, when in enumerate(times):
        statistics.add(when, (0.001, 0.002) if stages is None else stages[number])
    return statistics


@settings(max_examples=60)
@given(
    st.lists(st.floats(0.001, 0.3), min_size=1, max_size=120),
    st.integers(0, 12),
    st.integers(1, 40),
    st.data(),
)
def test_equals_a_full_record(gaps, warm_up, window, data):
    """Whatever the gaps between ticks: percentiles of the window, maxima and misses of the run."""
    rate = 20.0
    times = 5.0 + np.cumsum(gaps)
    seconds = st.floats(0, 10)
    stages = np.array(data.draw(st.lists(st.tuples(seconds, seconds), **_sized(len(gaps)))))
    statistics = filled(times, rate, stages, warm_up=warm_up, window=window)
    found = statistics.summary(times[-1])

    first = max(warm_up, 1)
    kept, jitter = stages[first:], np.abs(np.diff(times, prepend=math.nan) - 1 / rate)[first:]
    assert found.ticks == len(times)
    assert found.window == min(len(kept), window)
    for i, name in enumerate(STAGES):
        times_of = found.stages[name]
        if not len(kept):
            assert math.isnan(times_of.p50)
            assert math.isnan(times_of.max)
            continue
        expected = np.percentile(kept[-window:, i], [50, 95, 99])
        assert [times_of.p50, times_of.p95, times_of.p99] == pytest.approx(expected.tolist())
        assert times_of.max == kept[:, i].max()
    if len(kept):
        assert found.jitter_p99 == pytest.approx(np.percentile(jitter[-window:], 99), abs=1e-12)
        assert found.jitter_max == pytest.approx(jitter.max(), abs=1e-12)

    assert found.rate == ((times > times[-1] - 1.0) & (times <= times[-1])).sum()
    span = 1.0 + 0.5 / rate
    before = [((times > t - span) & (times < t)).sum() for t in times[1:] if t - times[0] >= span]
    if times[-1] - times[0] >= span:
        last = ((times > times[-1] - span) & (times <= times[-1])).sum()
        # More ticks than twice the nominal number are not told apart: they are no record low.
        assert min(found.worst_second, 40) == min(*before, last, 40)
    else:
        assert math.isnan(found.worst_second)


def _sized(size):
    return {"min_size": size, "max_size": size}


def test_a_steady_loop_has_its_rate_in_its_worst_second():
    rng = np.random.default_rng(0)
    times = np.arange(500) * 0.01 + rng.uniform(0, 0.002, 500)
    found = filled(times).summary(times[-1])
    assert found.worst_second == 100
    assert found.rate == pytest.approx(100, abs=1)
    assert found.jitter_max < 0.002


def test_a_stall_shows_in_the_worst_second_wherever_it_lies():
    times = np.concatenate([np.arange(250), np.arange(320, 700)]) * 0.01  # 0.7 s without a tick
    found = filled(times).summary(times[-1])
    assert found.worst_second == 30
    assert found.rate == 100
    assert found.jitter_max == pytest.approx(0.70)


def test_a_loop_that_stands_still_shows_before_its_next_tick():
    times = np.arange(300) * 0.01
    statistics = filled(times)
    assert statistics.summary(times[-1]).rate == 100
    assert statistics.summary(times[-1] + 0.6).rate == pytest.approx(40, abs=1)
    still = statistics.summary(times[-1] + 5.0)
    assert still.rate == 0
    assert still.worst_second == 0


def test_misses_ages_clipping_and_norms_are_counted_from_the_first_tick():
    statistics = TickStatistics(50.0, STAGES, ("joint_states", "goal"), ("dx", "dy"), warm_up=10)
    statistics.add(0.0, (0, 0), (0.01, 0.30), (True, False), missed=2, late=True, state_norm=4.0)
    statistics.add(0.1, (0, 0), (0.02, 0.10), np.array([True, True]), state_norm=9.0)
    statistics.add(0.2, (0, 0), state_norm=5.0)  # a tick without inputs and action
    statistics.add(0.3, (0, 0), missed=1)
    found = statistics.summary(0.3)
    assert (found.ticks, found.missed, found.late) == (4, 3, 1)
    assert found.ages == {"joint_states": (0.02, 0.02), "goal": (0.10, 0.30)}
    assert found.clipped == {"dx": 2, "dy": 1}
    assert (found.state_norm, found.state_norm_max) == (5.0, 9.0)


def test_before_the_first_tick_there_is_a_summary():
    found = TickStatistics(50.0, STAGES, ("goal",), ("dx",)).summary(12.0)
    assert (found.ticks, found.rate) == (0, 0)
    assert math.isnan(found.worst_second)
    assert math.isnan(found.state_norm_max)
    assert found.key_values()["observe p50 [ms]"] == "nan"


def test_a_slow_start_is_left_out_of_the_stages():
    stages = [(1.0, 1.0)] * 10 + [(0.001, 0.002)] * 50
    found = filled(np.arange(60) * 0.01, stages=stages, warm_up=10).summary(0.6)
    assert found.stages["step"].max == 0.002


def test_every_figure_is_in_the_diagnostic():
    statistics = filled(np.arange(300) * 0.01)
    statistics.add(3.0, (0.001, 0.002), (0.0123, 0.0), (True, False), state_norm=12.5)
    values = statistics.summary(3.0).key_values()
    assert values["rate [Hz]"] == "100"
    assert values["worst second [Hz]"] == "100"
    assert values["step p99 [ms]"] == "2.000"
    assert values["age of joint_states [ms]"] == "12.3 (at most 12.3)"
    assert values["clipped dx"] == "1"
    assert values["state norm"] == "12.5 (at most 12.5)"
    assert all(isinstance(value, str) for value in values.values())


def test_ticks_leave_no_memory_behind():
    statistics = TickStatistics(500.0, STAGES, ("goal",), ("dx",), window=256)
    clipped, stages, ages = np.array([True]), (0.001, 0.002), (0.01,)

    def run(start, ticks):
        for number in range(start, start + ticks):
            statistics.add(number * 0.002, stages, ages, clipped, 0, False, 1.0)

    run(0, 2000)
    assert grown(run, 2000, 5000) < 500


def test_a_reader_never_sees_a_half_written_row():
    statistics = TickStatistics(1000.0, ("a", "b"), window=512, warm_up=0)
    done = threading.Event()

    def write():
        number = 0
        while not done.is_set():
            number += 1
            statistics.add(number * 0.001, (number, number))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            found = statistics.summary(0.0)
            for name in ("p50", "p99"):
                a, b = (getattr(found.stages[stage], name) for stage in "ab")
                assert a == b or math.isnan(a)
    finally:
        done.set()
        writer.join()


@pytest.mark.parametrize(
    ("rate", "options"),
    [(0.0, {}), (math.nan, {}), (10.0, {"window": 0}), (10.0, {"warm_up": -1})],
)
def test_impossible_settings_are_refused(rate, options):
    with pytest.raises(ValueError, match="expected rate > 0"):
        TickStatistics(rate, STAGES, **options)
