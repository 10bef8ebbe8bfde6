"""The benchmark of the control loop: its figures on known times, and one short real run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import control_loop

MS = 1_000_000


def test_figures_of_known_times():
    """100 Hz, every 10th tick 2 ms late; answers 3 ms after the last message, 1 ms the model's."""
    ticks = np.arange(200)
    start = ticks * 10 * MS + np.where(ticks % 10 == 9, 2 * MS, 0)
    stamps = ticks * 10 * MS - 5 * MS
    sent = np.stack([stamps, stamps + MS // 10, start - MS], -1)
    notes = np.stack([start, start + 2 * MS, stamps, np.full(200, MS)], -1)
    answers = np.stack([stamps, start + 4 * MS], -1)
    found = control_loop.figures(notes, sent[:-1], answers, 100.0)
    assert found["jitter_ms"] == pytest.approx({"p50": 0, "p99": 2, "p99.9": 2, "max": 2})
    assert found["late_periods"] == 0
    assert found["true_hz"] == pytest.approx(100, abs=0.2)
    for name, expected in (
        ("latency_ms", 3),
        ("model_ms", 1),
        ("beside_model_ms", 2),
        ("delivery_ms", 1),
        ("round_trip_ms", 5),
    ):
        assert found[name]["p50"] == pytest.approx(expected), name


def test_sets_that_nobody_answered_are_left_out():
    found = control_loop.figures(
        np.zeros((3, 4), np.int64), np.ones((3, 3), np.int64), np.zeros((0, 2), np.int64), 10.0
    )
    assert found["latency_ms"] is None
    assert found["round_trip_ms"] is None


def test_a_short_run_leaves_report_tables_and_plot(tmp_path, capsys):
    report, plot = tmp_path / "report.json", tmp_path / "plot.svg"
    control_loop.main(
        [
            *("--rates", "50", "--loads", "loaded", "--kinds", "ticker", "events"),
            *("--seconds", "0.5", "--ticks", "20", "--json", str(report)),
            *("--plot", str(plot), "--markdown"),
        ]
    )
    rows = json.loads(report.read_text())["rows"]
    assert sorted(row["kind"] for row in rows) == ["events", "ticker"]
    for row in rows:
        assert row["ticks"] == 25
        assert 0 < row["model_ms"]["p50"] < row["latency_ms"]["p50"]
    printed = capsys.readouterr().out
    assert "| loaded | 50 | ticker |" in printed
    assert "| loaded | 50 | events |" in printed
    assert plot.stat().st_size > 1000
