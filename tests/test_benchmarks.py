"""The measured peers do the work they are measured for, and every benchmark writes JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.peers.decision_transformer import DecisionTransformer

ROOT = Path(__file__).parents[1]


@torch.inference_mode()
def test_cached_transformer_steps_equal_its_forward() -> None:
    torch.manual_seed(0)
    model = DecisionTransformer(d_model=32, num_layers=2, num_heads=2, capacity=30).eval()
    tokens = torch.randn(1, 30, 32)
    expected = model(tokens)
    for start in range(0, 30, 3):
        found = model.step(tokens[:, start : start + 3], start)
        torch.testing.assert_close(found, expected[:, start : start + 3], atol=1e-5, rtol=0)


def test_tick_latency_writes_a_table_and_json(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.tick_latency", "--sizes", "d256"]
    command += ["--ticks", "5", "--contexts", "20", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    results = json.loads(report.read_text())["results"]["d256"]
    assert len(results) == 3
    for name, figures in results.items():
        assert figures["p50_ms"] > 0
        assert name in done.stdout
