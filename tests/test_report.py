"""Summary, table and HTML report from given results."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
from report_rig import check_self_contained
from rich.console import Console

from lram_ros.report import (
    EpisodeResult,
    RunInfo,
    print_results,
    summarise,
    write_report,
    write_summary,
)
from lram_ros.report.results import STAGES

INFO = RunInfo(
    suite="metaworld",
    mode="lockstep",
    bundle="models/<tiny> & co",
    seed=100,
    control_rate=80.0,
    started="2026-01-02T03:04:05+00:00",
    duration=12.5,
    machine={"processor": "two cores"},
    files={"video": "episodes.mp4", "bag": "bag"},
    notes=("stopped early",),
)


def result(task="reach-v3", seed=1, success=True, latency=(0.002, 0.004), **fields):
    fields.setdefault("ticks", len(latency))
    return EpisodeResult(
        task=task,
        seed=seed,
        success=success,
        episode_return=fields.pop("episode_return", 10.0),
        latency=np.array(latency, dtype=float),
        stages={stage: np.full(len(latency), 0.0004) for stage in STAGES},
        wall=fields.pop("wall", 0.5),
        **fields,
    )


@pytest.fixture
def results():
    return [
        result(latency=[0.001] * 98 + [0.003, 0.020], deadline_missed=1, wall=2.0),
        result(seed=2, success=False, episode_return=30.0),
        result(task="push-v3", seed=1),
    ]


def test_summary_has_the_figures(results, tmp_path):
    write_summary(tmp_path / "summary.json", results, INFO)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]
    assert summary["success_rate"] == pytest.approx(2 / 3)
    assert summary["episodes"] == 3
    assert set(summary["tick_ms"]) == {"p50", "p99", "max"}
    assert summary["tick_ms"]["p50"] == pytest.approx(1.0)
    assert summary["tick_ms"]["max"] == pytest.approx(20.0)
    assert summary["deadline_ms"] == pytest.approx(12.5)
    assert summary["deadline_missed"] == 1
    assert summary["loop_rate_hz"] == pytest.approx(104 / 3.0)
    assert summary["stage_ms"]["step"]["p50"] == pytest.approx(0.4)
    reach, push = summary["tasks"]
    assert (reach["task"], reach["episodes"], reach["success_rate"]) == ("reach-v3", 2, 0.5)
    assert reach["mean_return"] == pytest.approx(20.0)
    assert (push["task"], push["success_rate"]) == ("push-v3", 1.0)
    low, high = push["success_interval_95"]
    assert 0 < low < 1
    assert high == 1.0
    assert [run["seed"] for run in summary["runs"]] == [1, 2, 1]


def test_an_episode_without_a_tick_is_no_number_that_json_lacks(tmp_path):
    write_summary(tmp_path / "summary.json", [result(latency=[], wall=0.0)], INFO)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["tick_ms"] == {"p50": None, "p99": None, "max": None}
    assert summary["loop_rate_hz"] is None


def test_no_episode_is_refused():
    with pytest.raises(ValueError, match="at least one episode"):
        summarise([], INFO)


def printed(results, width):
    console = Console(width=width, record=True, color_system=None, file=io.StringIO())
    print_results(console, results, "demo")
    return console.export_text().splitlines()


def test_table_fits_a_terminal(results):
    lines = printed([result(task="pick-place-wall-v3", ticks=500), *results], 80)
    assert max(map(len, lines)) <= 80
    assert any(re.search(r"pick-place-wall-v3 +yes +10 +500", line) for line in lines)
    assert any(re.search(r"4 episodes +3/4 +15 ", line) for line in lines)


def test_a_narrow_terminal_gets_a_list_that_lacks_nothing(results):
    lines = printed([result(task="pick-place-wall-v3", ticks=500), *results], 30)
    assert max(map(len, lines)) <= 30
    text = "\n".join(lines)
    assert re.search(r"pick-place-wall-v3\n  success: yes\n  return: 10\n  ticks: 500\n", text)
    assert re.search(r"4 episodes\n  success: 3/4\n  return: 15\n", text)


def test_report_is_self_contained(results, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, results, INFO)
    html = path.read_text()
    page = check_self_contained(html)
    assert page.links == ["episodes.mp4", "bag"]
    text = page.words
    assert "models/<tiny> & co" in text
    assert "67 %" in text
    assert "stopped early" in text
    for words in ("reach-v3", "push-v3", "deadline 12.5 ms", "success rate", "tick latency"):
        assert words in text
    assert html.count("<svg") == 3


def test_same_results_give_the_same_report(results, tmp_path):
    write_report(tmp_path / "a.html", results, INFO)
    write_report(tmp_path / "b.html", results, INFO)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_report_of_an_episode_without_a_tick(tmp_path):
    write_report(tmp_path / "report.html", [result(latency=[], wall=0.0)], INFO)
    assert "–" in (tmp_path / "report.html").read_text()
