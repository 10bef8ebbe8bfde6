"""Every fault of the mock robot, in wall and in simulated time, against the node as a process.

The campaign of ``benchmarks/fault_campaign.py`` with deadlines that a busy machine keeps; its times
are for the manual and are not judged here.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import fault_campaign, fault_kill, fault_tables
from benchmarks.fault_arm import MEASURED, PATIENT
from benchmarks.fault_cases import GOES_ON, cases
from benchmarks.fault_motion import MotionLimits, last_speed, outside, stopping
from benchmarks.fault_rig import CLOCKS, rig
from lram_ros.mock.faults import KINDS
from lram_ros.safety import (
    FieldLimits,
    Reason,
    Request,
    Rules,
    SafetyLimits,
    State,
    World,
    supervise,
)

CASES = cases(PATIENT)


@pytest.fixture(scope="module", params=CLOCKS)
def made(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with rig(folder, request.param, PATIENT) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_new_motion_a_reason_and_a_new_start(made, case):
    row = fault_campaign.measure(made, case)
    assert row["problems"] == []
    if case.reasons(made.clock) == (GOES_ON,):
        assert row["commands"] > 0
    else:
        assert row["ticks"] > 0  # it was in motion, and was braked


def test_sigkill_of_the_policy_node_stops_the_mock_robot():
    assert fault_kill.mock_robot()["problems"] == []


def test_sigkill_of_the_policy_node_stops_the_simulated_robot():
    assert fault_kill.bridge()["problems"] == []


def test_every_kind_of_fault_is_in_the_campaign():
    texts = [case.fault.partition(":")[0].partition("=")[0] for case in CASES]
    assert set(KINDS) <= set(texts)
    known = {reason.value for reason in Reason}
    for case in CASES:
        assert {*case.wall, *case.sim} <= {*known, GOES_ON}


def test_measured_deadlines_fit_each_other():
    """A stale reading can be noticed within two periods and the watchdog's deadline."""
    assert MEASURED.max_age <= MEASURED.watchdog


LIMITS = MotionLimits(-1.0, 1.0, velocity=1.0, acceleration=4.0, period=0.02)


def braking(speeds):
    """(n, 1) places: three ticks at full speed, then those speeds, then rest."""
    steps = np.array([1.0] * 4 + list(speeds) + [0.0] * 10) * 0.02
    places = np.cumsum(steps)[:, None] - 0.5
    return places[:4], places[4:]


RAMP = np.arange(0.92, 0.0, -0.08)


@pytest.mark.parametrize(
    ("speeds", "words"),
    [
        (RAMP, ""),
        ([], ""),  # at once
        ([0.48, *(RAMP - 0.04)], ""),  # a tick that came early
        ([0.92, 0.92, 0.92], "too fast in tick 3"),
        ([*RAMP[:6], *RAMP[4:]], "too fast in tick 7"),
        ([1.0] * 20, "went on by"),
        ([0.5, 0.2, -0.2], "turned round"),
        ([0.3] * 3 + [0.0] * 12 + [0.1], "moved anew in tick 16"),
    ],
)
def test_a_stop_is_judged_by_its_commands(speeds, words):
    found = stopping(*braking(speeds), np.ones(1), LIMITS)
    assert bool(found["problems"]) == bool(words)
    assert words in "; ".join(found["problems"])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_stop_of_the_supervisor_is_found_right_however_early_or_late_its_ticks_come(data):
    """What a loaded machine does to a ticker: each tick up to a period late, some left out."""
    field = FieldLimits("joint", "joint_position", -1.0, 1.0, 1.0, 4.0, 0.02)
    rules = Rules(SafetyLimits((field,), 0.02), blend_s=0.0, proof_s=0.0)
    late = data.draw(st.lists(st.floats(0.0, 0.99), min_size=20, max_size=60))
    left_out = data.draw(st.lists(st.integers(0, 1), min_size=len(late), max_size=len(late)))
    due = np.cumsum(1 + np.array(left_out))
    moving = data.draw(st.integers(6, 12))
    state, places = State(), []
    times = 0.02 * np.concatenate([due + np.array(late), due[-1] + np.arange(1, 41)])
    for tick, now in enumerate(times.tolist()):
        world = World(
            now=now,
            position=places[-1] if places else np.zeros(1),
            external_stop=tick >= moving,
            request=Request.ACTIVATE if tick == 0 else Request.NONE,
        )
        state, decision = supervise(rules, state, world, np.full(1, 0.9))
        places.append(decision.command)
    before, after = np.array(places[:moving]), np.array(places[moving:])
    speed = last_speed(before, times[:moving], 0.02)
    assert stopping(before, after, speed, LIMITS)["problems"] == []


def test_commands_out_of_limits_are_found():
    assert outside(np.array([[0.0], [0.02]]), LIMITS) == []
    assert "step" in outside(np.array([[0.0], [0.03]]), LIMITS)[0]
    assert "outside" in outside(np.array([[1.01]]), LIMITS)[0]
    assert "finite" in outside(np.array([[np.nan]]), LIMITS)[0]


def test_the_table_says_what_was_not_as_it_should_be():
    row = {
        **{"fault": "stale", "what": "no more messages", "clock": "sim", "reason": "input_stale"},
        **{"safe_ms": 150.0, "allowed_ms": 140.0, "way_rad": 0.1, "way_allowed_rad": 0.2},
        **{"rearm_s": 0.1, "threads": [20, 20], "memory_mb": [440.0, 440.5], "problems": []},
        "stops": ["late_tick: 0.07 s"],
    }
    report = {
        **{"machine": "here", "rate_hz": 50.0, "watchdog_s": 0.1, "max_age_s": 0.1},
        **{"rows": [row, {**row, "clock": "wall", "problems": ["a step"]}], "kills": []},
        "seconds": 60.0,
    }
    lines = fault_tables.markdown(report)["faults"].splitlines()
    assert "2 stops between the faults: late_tick: 0.07 s, late_tick" in lines[0]
    assert lines[-2].endswith("| 20 | +0.5 | a step; late |")
    assert lines[-1].endswith(
        "| `input_stale` | 150 (140) | 0.100 (0.200) | 0.1 | 20 | +0.5 | late |"
    )
