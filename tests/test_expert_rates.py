"""The measurement of experts: stopped, it goes on where it was, with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.expert_rates import RateFile, measure, row
from lram_sim.suite_registry import get_suite


def test_a_stopped_measurement_goes_on(tmp_path: Path) -> None:
    suite, task = get_suite("metaworld"), "reach-v3"
    whole = measure(suite, task, 2, RateFile(None))
    assert all(whole)
    path = tmp_path / "rates" / "experts.json"
    measure(suite, task, 1, RateFile(path))
    assert json.loads(path.read_text()) == {"metaworld": {task: whole[:1]}}
    assert measure(suite, task, 2, RateFile(path)) == whole
    assert RateFile(path).rates == {"metaworld": {task: whole}}
    assert not list(path.parent.glob("*.part"))


def test_what_was_measured_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "experts.json"
    path.write_text('{"metaworld": {"reach-v3": [40, null, 50]}}')
    suite = get_suite("metaworld")
    monkeypatch.setattr(type(suite), "make", None)
    assert measure(suite, "reach-v3", 2, RateFile(path)) == [40, None]
    assert row("reach-v3", [40, None, 50]).startswith("| reach-v3 | 2/3 | 0.21 … 0.94 | 45 ")
