"""The plan's arithmetic, and that its measurement runs."""

from __future__ import annotations

import json

import pytest

from benchmarks import scale_plan, scale_rates
from benchmarks.scale_plan import Assumptions


def test_the_arithmetic():
    rates = {"kept_per_s": 1000.0, "bytes": 200.0, "part_bytes": 50.0}
    chosen = Assumptions(transitions=1e9, cores=10, days=2.0)
    found = scale_plan.plan(rates, chosen)
    assert found.store_bytes == 200e9
    assert found.part_bytes == 50e9
    assert found.core_hours == pytest.approx(277.78, abs=0.01)
    assert found.machines == 1  # 480 core hours in two days
    assert scale_plan.plan(rates, Assumptions(1e9, 10, 0.5)).machines == 3
    assert found.bytes_per_s == pytest.approx(50e9 / 172_800)
    # 6 × 206.5 million × 3 × 10⁹ = 3.717e18 FLOP at 346 TFLOP/s
    assert scale_plan.gpu_hours(206.5, Assumptions()) == pytest.approx(2.983, abs=0.001)


def test_the_measurement_runs_and_is_told(tmp_path, capsys):
    file = tmp_path / "report.json"
    words = "--suites dmcontrol-reacher --episodes 2 --windows 10"
    scale_rates.main([*words.split(), "--json", str(file)])
    report = json.loads(file.read_text())
    found = report["collected"]["dmcontrol-reacher"]
    assert found["kept"] == 2000
    # 6 observations, 2 actions, a reward: float32, and the index
    assert found["bytes"] > 4 * 9
    assert found["steps_per_s"] >= found["kept_per_s"] > 0
    assert report["loaded_per_s"] > 0
    assert report["trained"]["timesteps_per_s"] > 0
    scale_plan.main(["--report", str(file), "--transitions", "1e6"])
    said = capsys.readouterr().out
    assert "| dmcontrol-reacher | easy |" in said
    assert "1e+06 transitions" in said
