"""The folder of a run: settings, surroundings, metrics, curves; TensorBoard."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from train_rig import TINY

from lram_core.errors import DataError
from lram_core.testing import small_dataset
from lram_core.training.run_folder import MetricsFile, draw_curves, git_revision, read_metrics
from lram_core.training.settings import make_settings, read_settings
from lram_core.training.speed import Stopwatch, peak_flops
from lram_core.training.train import train


@pytest.fixture
def data(tmp_path: Path) -> Path:
    small_dataset(tmp_path / "data")
    return tmp_path / "data"


def test_a_run_tells_how_and_where_it_was_made(tmp_path: Path, data: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    train([data], tmp_path / "b", run, TINY)
    again = make_settings(read_settings(run / "config.yaml"))
    assert again.config == TINY
    assert again.data == (str(data),)
    (start,) = json.loads((run / "environment.json").read_text())
    assert (start["torch"], start["step"]) == (torch.__version__, 0)
    assert start["python"] == ".".join(str(part) for part in sys.version_info[:3])
    assert start["peak"]["flops"] > 1e6
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["2", "4"]
    for row in rows:
        assert 0 < float(row["mfu"]) < 2
        assert 0 <= float(row["data_share"]) < 1
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    loss = events.Scalars("train_loss")
    assert [event.step for event in loss] == [2, 4]
    assert loss[1].value == pytest.approx(float(rows[1]["train_loss"]), rel=1e-5)


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)


def test_the_revision_of_a_checkout_and_whether_it_has_changes(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("x = 1\n")
    git(tmp_path, "init")
    assert git_revision(module) is None, "not in the repository"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = git_revision(module)
    assert clean is not None
    assert len(clean["revision"]) == 40
    assert not clean["dirty"]
    module.write_text("x = 2\n")
    assert git_revision(module) == {**clean, "dirty": True}
    assert git_revision(tmp_path / "elsewhere" / "module.py") is None


def test_metrics_after_the_checkpoint_are_dropped_and_columns_may_differ(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss,mae\n2,0.5,0.1\n4,0.4,0.2\n6,0.3,0\n")
    metrics = MetricsFile(tmp_path, ("step", "loss", "mfu"), 4)
    metrics.write(6, {"loss": 0.25, "mfu": 0.125, "unknown": 1.0})
    metrics.close()
    assert (tmp_path / "metrics.csv").read_text().split() == [
        "step,loss,mfu,mae", "2,0.5,,0.1", "4,0.4,,0.2", "6,0.25,0.125,",
    ]  # fmt: skip
    rows = read_metrics(tmp_path)
    assert [row["loss"] for row in rows] == [0.5, 0.4, 0.25]
    assert rows[0]["mfu"] != rows[0]["mfu"]
    assert draw_curves(tmp_path) == ""
    (tmp_path / "metrics.csv").write_text("step,loss\n2,many\n")
    with pytest.raises(DataError, match="not a training run's folder"):
        read_metrics(tmp_path)


def test_without_tensorboard_a_run_says_so_once(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("tensorboard", "torch.utils.tensorboard"):
            patch.setitem(sys.modules, name, None)
        train([data], tmp_path / "b", tmp_path / "run", TINY)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("TensorBoard is not installed") == 1
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_the_speed_of_the_machine_is_measured_once() -> None:
    cpu = torch.device("cpu")
    peak, source = peak_flops(cpu, False)
    assert peak > 1e6
    assert source.startswith("measured")
    assert peak_flops(cpu, False)[0] == peak


def test_the_data_share_is_the_waiting_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr("lram_core.training.speed.time", clock)
    watch = Stopwatch()
    for _ in range(2):
        with watch.waiting():
            now += 1.0
        now += 3.0
    assert (watch.steps, watch.seconds, watch.data_share) == (2, 8.0, 0.25)
    watch.restart()
    now += 1.0
    assert (watch.steps, watch.seconds, watch.data_share) == (0, 1.0, 0.0)
