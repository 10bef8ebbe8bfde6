"""Figures of a replay, from numbers whose answers are known."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from adapter_rig import JOINTS, RATE, policy, robot, sink_data
from hypothesis import given
from hypothesis import strategies as st

from lram_core.errors import CommandError
from lram_core.report.figures import thinned
from lram_ros.commander import Commander
from lram_ros.replay.bag.measures import drift, readable, relative_error, tokens, wire_fields
from lram_ros.replay.bag.output import topic_name
from lram_ros.replay.bag.run import short_names
from lram_ros.replay.bag.thresholds import Thresholds, parse_max_error
from lram_ros.replay.bag.ticks import restarting
from lram_ros.safety import contract_limits


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=3000),
    st.integers(2, 200),
)
def test_a_thinned_line_keeps_its_peaks(values, points):
    x, y = thinned(np.arange(len(values)), values, points)
    assert len(x) == len(y) <= max(points + 2, min(len(values), points))
    assert (np.diff(x) > 0).all()
    np.testing.assert_array_equal(y, np.array(values)[x.astype(int)])
    if np.isfinite(values).any():
        assert np.nanmax(y) == np.nanmax(values)
        assert np.nanmin(y) == np.nanmin(values)


@pytest.mark.parametrize(
    ("kind", "unit"),
    [("joint_position", "deg"), ("joint_delta", "rad"), ("joint_velocity", "deg/s")],
)
@given(data=st.data())
def test_the_action_behind_a_command_is_found_again(kind, unit, data):
    bundle = policy(kind, unit=unit, low=-5.0, high=5.0)
    fields = {name: {"unit": "rad", "low": -100.0, "high": 100.0} for name in JOINTS}
    arm = robot(sink_data("forward_position", fields))
    commander = Commander(arm, bundle, contract_limits(arm.sinks, bundle.action, RATE))
    three = st.lists(st.floats(-5.0, 5.0), min_size=3, max_size=3).map(np.array)
    measured = [data.draw(three)]
    for _ in range(3):
        action = data.draw(three)
        values, clipped = commander.target(action, measured)
        assert not clipped.any()
        np.testing.assert_allclose(commander.action(values, measured), action, atol=1e-9)
        commander.sent(values)


def replayed(segment, **more):
    segment = np.array(segment)
    number = np.concatenate([np.arange((segment == s).sum()) for s in np.unique(segment)])
    return SimpleNamespace(segment=segment, number=number, **more)


def test_drift_is_told_by_the_tick_within_the_episode():
    found = drift(replayed([0] * 8 + [1] * 4), np.array([0.0] * 4 + [2.0] * 4 + [1.0] * 4))
    np.testing.assert_array_equal(found.tick, np.arange(8))
    np.testing.assert_array_equal(found.median, [0.5] * 4 + [2.0] * 4)
    assert found.first == pytest.approx(1 / 3)  # two ticks of 0 and one of 1
    assert found.last == pytest.approx((2 + 2 + 1) / 3)


def test_drift_without_a_command_is_not_known():
    found = drift(replayed([0, 0]), np.full(2, np.nan))
    assert (found.first, found.last, len(found.tick)) == (None, None, 0)


def test_errors_in_per_cent_of_the_range_leave_out_what_has_none():
    fields = wire_fields(robot(sink_data("forward_position")))
    assert [(f.name, f.unit, f.span) for f in fields] == [(j, "rad", 5.0) for j in JOINTS]
    shares = relative_error(np.array([[0.5, -1.0, math.nan], [math.nan] * 3]), fields)
    np.testing.assert_array_equal(shares, [15.0, math.nan])


def test_scaled_units_are_told_in_si():
    joints = {
        "a": {"unit": "0.01 m", "low": -1.0, "high": 1.0},
        "b": {"unit": "deg", "low": -90.0, "high": 90.0},
    }
    efforts = {"c": {"unit": "N m", "low": -2.0, "high": 2.0}}
    arm = robot(sink_data("forward_position", joints), sink_data("forward_effort", efforts))
    found = wire_fields(arm)
    assert [(f.unit, f.scale, f.span) for f in found] == [
        ("m", 0.01, 0.02),
        ("deg", 1.0, 180.0),
        ("N m", 1.0, 4.0),
    ]
    assert [f.axis for f in found] == ["a, m", "b, deg", "c, N m"]
    row = {"name": "a", "unit": "m", "mean": 0.002, "rms": None, "p95": 1, "max": 1, "bias": 0}
    assert (readable(row)["unit"], readable(row)["mean"], readable(row)["rms"]) == ("mm", 2.0, None)


def test_tokens_count_what_is_known():
    answers = SimpleNamespace(
        bins=np.array([[5, 7], [6, 8], [9, 9]]),
        recorded_bins=np.array([[5, -1], [5, 8], [0, 9]]),
        nll=np.array([[0.5, math.nan], [1.5, 1.0], [4.0, 2.0]]),
    )
    found = tokens(answers, ["a", "b"])
    assert (found["tokens"], found["accuracy"], found["within_one_bin"]) == (5, 3 / 5, 4 / 5)
    assert found["nll"] == pytest.approx(9 / 5)
    assert found["perplexity"] == pytest.approx(math.exp(9 / 5))
    assert [row["tokens"] for row in found["by_action"]] == [3, 2]


def trace(episode, tick, to_go, reward=1.0):
    message = SimpleNamespace(episode=episode, tick=tick, return_to_go=to_go, reward=reward)
    return SimpleNamespace(message=message)


def test_a_policy_that_began_anew_in_mid_episode_is_noticed():
    traces = [
        trace(1, 0, 10.0),
        trace(1, 1, 9.0),
        trace(1, 2, 10.0),  # a re-arm: the whole return again
        trace(1, 4, 8.0),  # a tick was lost
        trace(2, 0, 10.0),  # another episode
        trace(2, 0, 10.0),  # counted from 0 again
    ]
    assert restarting(traces) == {id(traces[2]), id(traces[5])}


def test_thresholds_are_read():
    assert parse_max_error("2") == ("", 2.0)
    assert parse_max_error("wrist=0.5") == ("wrist", 0.5)
    for text in ("", "wrist=", "-1", "nan", "a=b"):
        with pytest.raises(CommandError, match="--max-error"):
            parse_max_error(text)


def test_a_threshold_for_what_is_not_known_is_missed():
    unknown = {"accuracy": None, "perplexity": None}
    joint = {"name": "wrist", "unit": "rad", "mean": None, "mean_percent_of_range": None}
    found = {"name": "p", "joints": [joint], "tokens": unknown, "parity": None, "live": None}
    thresholds = Thresholds((("wrist", 1.0), ("", 1.0)), 0.0, 1e9, parity=True)
    assert len(thresholds.missed({"policies": [found]})) == 5
    assert Thresholds().missed({"policies": [found]}) == []


def test_names_are_told_apart_and_fit_a_topic():
    assert short_names((Path("/a/one"), Path("/b/one"), Path("/b/two"))) == ["one", "one 2", "two"]
    assert topic_name("metaworld-ml45") == "metaworld_ml45"
    assert topic_name("16M 2") == "p_16M_2"
    assert topic_name("–") == "policy"
