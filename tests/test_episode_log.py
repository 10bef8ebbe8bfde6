"""An episode put together from its messages."""

from __future__ import annotations

import pytest

from lram_core.errors import CommandError
from lram_ros.episode_driver import EpisodePlan, make_plan, split_tasks
from lram_ros.episode_log import EpisodeLog
from lram_ros.episode_state import EpisodeState
from lram_ros.msg import EpisodeStatus, PolicyTick
from lram_sim.bridge_episode import State


def status(tick, state=EpisodeStatus.RUNNING, episode=3, **fields):
    message = EpisodeStatus(episode=episode, tick=tick, state=state, task="reach-v3", **fields)
    message.header.stamp.nanosec = 12_500_000 * (tick + 4)
    return message


def trace(tick, episode=3, **fields):
    return PolicyTick(episode=episode, tick=tick, total_s=0.001 * (tick + 1), step_s=0.5, **fields)


def test_states_are_the_messages_and_the_simulators():
    for state in EpisodeState:
        assert getattr(EpisodeStatus, state.name) == state
    assert {s.name: s.value for s in EpisodeState} == {s.name: s.value for s in State}


def test_result_of_an_episode():
    log = EpisodeLog(3)
    log.add_status(status(9, EpisodeStatus.TRUNCATED, episode=2), 1.0)  # the one before
    log.add_trace(trace(5, episode=2))
    log.add_status(status(0), 10.0)
    log.add_status(status(0), 11.0)  # shown again
    log.add_trace(trace(0))
    log.add_status(status(1), 11.5)
    end = status(2, EpisodeStatus.SUCCEEDED, success=True, seed=-4, episode_return=7.5)
    log.add_status(end, 12.0)
    assert log.awaits_trace
    assert log.missing_traces == 1
    log.add_trace(trace(1, deadline_missed=True))
    assert not log.awaits_trace
    log.add_status(end, 99.0)  # shown again
    result = log.result()
    assert (result.task, result.seed, result.success) == ("reach-v3", -4, True)
    assert (result.ticks, result.episode_return, result.wall) == (2, 7.5, 2.0)
    assert result.latency == pytest.approx([0.001, 0.002])
    assert result.stages["step"] == pytest.approx([0.5, 0.5])
    assert result.deadline_missed == 1
    assert result.loop_rate == pytest.approx(1.0)
    assert log.period == pytest.approx(0.0125)
    assert log.missing_traces == 0


def test_an_unfinished_episode_has_no_result():
    log = EpisodeLog(3)
    log.add_status(status(0), 1.0)
    with pytest.raises(ValueError, match="episode 3 is not finished"):
        log.result()


def test_plan():
    assert make_plan(split_tasks(" a, b,"), 2, 7, 9) == [
        *(EpisodePlan("a", 7, 9), EpisodePlan("a", 8, 9)),
        *(EpisodePlan("b", 7, 9), EpisodePlan("b", 8, 9)),
    ]
    with pytest.raises(CommandError, match="at least one task"):
        make_plan(split_tasks(" , "), 2, 7, 9)
    assert make_plan(["a"], 1, 2**63 - 1, 2**32 - 1)
    for numbers, words in (
        ((2, 2**63 - 1, 0), "2 seeds from 9223372036854775807 are out of range"),
        ((1, 7, 2**32), "max_steps 4294967296 is out of range; expected 0 … 4294967295"),
    ):
        with pytest.raises(CommandError, match=words):
            make_plan(["a"], *numbers)
