"""ROS time against steady time: frozen, jumped, or merely slow, fast, stepped or disciplined."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lram_core.errors import ContractError
from lram_ros.safety import ClockLimits, ClockState, check_clock

SYSTEM, SIMULATED = ClockLimits.system(), ClockLimits.simulated()
TICK = 0.02


def verdicts(limits, readings):
    """States of a sequence of (steady, ros) readings."""
    memory, found = None, []
    for steady, ros in readings:
        memory, verdict = check_clock(limits, memory, steady, ros)
        found.append(verdict)
    return found


def going(count, rate=1.0, start=1e9, steady=50.0):
    return [(steady + i * TICK, start + i * TICK * rate) for i in range(count)]


@pytest.mark.parametrize("limits", [SYSTEM, SIMULATED])
def test_a_clock_that_goes_on_is_fine(limits):
    assert {v.state for v in verdicts(limits, going(500))} == {ClockState.FINE}


@pytest.mark.parametrize("rate", [0.05, 0.5, 3.0, 10.0])
def test_a_simulation_may_be_slow_or_fast(rate):
    assert {v.state for v in verdicts(SIMULATED, going(500, rate))} == {ClockState.FINE}


def test_a_simulation_may_step_seldom():
    readings = [(s, math.floor(r / 0.2) * 0.2) for s, r in going(500)]
    assert {v.state for v in verdicts(SIMULATED, readings)} == {ClockState.FINE}


def test_frozen_clock_is_reported_as_long_as_it_is():
    readings = going(10)
    steady, ros = readings[-1]
    readings += [(steady + i * TICK, ros) for i in range(1, 51)]
    readings += [(steady + 51 * TICK, ros + TICK)]
    found = verdicts(SIMULATED, readings)
    states = [verdict.state for verdict in found]
    assert states.index(ClockState.FROZEN) in (35, 36)  # more than 0.5 s after the last change
    assert set(states[36:-1]) == {ClockState.FROZEN}
    assert found[-2].seconds == pytest.approx(1.0)
    assert str(found[-2]) == "frozen for 1 s"
    assert states[-1] is ClockState.FINE


@pytest.mark.parametrize("limits", [SYSTEM, SIMULATED])
@pytest.mark.parametrize(
    ("jump", "state", "text"),
    [
        (3600.0, ClockState.FORWARD, "jumped forward by 3.6e+03 s"),
        (-3600.0, ClockState.BACK, "jumped back by 3.6e+03 s"),
    ],
)
def test_a_jump_is_reported_once(limits, jump, state, text):
    readings = [(s, r + (jump if i >= 100 else 0.0)) for i, (s, r) in enumerate(going(200))]
    found = verdicts(limits, readings)
    assert [i for i, v in enumerate(found) if v.state is not ClockState.FINE] == [100]
    assert found[100].state is state
    assert str(found[100]) == text


def test_small_corrections_of_the_system_clock_are_no_jumps():
    readings = [(s, r + 0.005 * math.sin(i)) for i, (s, r) in enumerate(going(500))]
    assert {v.state for v in verdicts(SYSTEM, readings)} == {ClockState.FINE}
    step = [(s, r - (0.3 if i >= 50 else 0)) for i, (s, r) in enumerate(going(100))]
    assert verdicts(SYSTEM, step)[50].state is ClockState.BACK
    assert verdicts(SYSTEM, step)[50].seconds == pytest.approx(0.3 - TICK)


def test_a_clock_that_creeps_back_is_caught_by_how_far_it_went():
    readings = [(i * TICK, 100.0 - 0.004 * i) for i in range(10)]
    assert verdicts(SYSTEM, readings)[3].state is ClockState.BACK


def test_a_simulation_that_is_reset_goes_back():
    readings = [*going(10, start=0.0), (60.0, 0.0)]
    assert verdicts(SIMULATED, readings)[-1].state is ClockState.BACK


def test_a_long_pause_of_the_reader_is_not_a_jump():
    """A process that slept sees both clocks ahead by as much."""
    assert verdicts(SYSTEM, [(0.0, 100.0), (30.0, 130.0)])[-1].state is ClockState.FINE


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_reading_that_is_not_finite_is_no_time(value):
    states = [v.state for v in verdicts(SYSTEM, [(0.0, value), (0.1, value), (0.2, 5.0)])]
    assert states[:2] == [ClockState.FINE, ClockState.FROZEN]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(-2, 2)), max_size=50))
def test_fine_means_no_more_than_the_limits(steps):
    memory, steady, ros = None, 0.0, 0.0
    memory, _ = check_clock(SYSTEM, memory, steady, ros)
    for step, change in steps:
        steady, before, ros = steady + step, ros, ros + change
        memory, verdict = check_clock(SYSTEM, memory, steady, ros)
        if verdict.state is ClockState.FINE:
            assert ros - before <= SYSTEM.rate * step + SYSTEM.forward + 1e-9
            assert before - ros <= SYSTEM.back + 1e-9


@pytest.mark.parametrize("name", ["frozen_after", "forward", "rate"])
def test_limits_are_positive(name):
    with pytest.raises(ContractError, match="must be positive"):
        ClockLimits(**{name: 0.0})
