"""Checkpoints: continuation bit for bit after a kill, damaged files, full disks, old files."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from train_rig import TINY

from lram_core.bundle import load_joint_bundle
from lram_core.contract import ObservationField
from lram_core.data.arrays import EpisodeSpan
from lram_core.data.stream import window_stream
from lram_core.errors import CommandError, DataError
from lram_core.testing import SCHEMA, small_dataset
from lram_core.training import checkpoint
from lram_core.training.checkpoint import Trainee, checkpoints, read_checkpoint
from lram_core.training.config import TrainConfig
from lram_core.training.optimizers import learning_rate
from lram_core.training.parallel import Processes
from lram_core.training.train import train

CONFIG = replace(
    TINY,
    batch=3,
    steps=14,
    warmup=5,
    ema=0.9,
    evaluate_every=7,
    checkpoint_every=4,
    tracker="none",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    small_dataset(folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def whole(data: Path) -> Path:
    """The bundle of a run that nothing disturbed; its run folder is ``run_whole``."""
    train([data], data.with_name("whole"), data.with_name("run_whole"), CONFIG)
    return data.with_name("whole")


@pytest.fixture(scope="module")
def broken_off(data: Path) -> Path:
    """A run that ended after nine steps: checkpoints of steps 4 and 8."""
    cut_at(9, data, data.with_name("run_cut"))
    return data.with_name("run_cut")


def curve(run: Path) -> list[dict[str, str]]:
    """What a run measured, without what depends on the machine's speed."""
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "ticks_per_s", "mfu", "data_share")}
        for row in rows
    ]


def assert_same_bundle(one: Path, other: Path) -> None:
    ours, theirs = (load_joint_bundle(path)[0].weights() for path in (one, other))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], atol=0, rtol=0)


class Cut(Exception):
    pass


def cut_at(step: int, data: Path, run: Path, config: TrainConfig = CONFIG) -> None:
    """Train until ``step`` steps are done, and break off."""

    def stop(*args: Any) -> float:
        if args[1] == step:
            raise Cut
        return learning_rate(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lram_core.training.train.learning_rate", stop)
        with pytest.raises(Cut):
            train([data], run.with_name("never"), run, config)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    batch=st.integers(1, 4),
    ticks=st.integers(1, 20),
    done=st.integers(0, 30),
    grouped=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_stream_goes_on_from_its_position(
    lengths: list[int], batch: int, ticks: int, done: int, grouped: bool
) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).tolist()
    episodes = [EpisodeSpan(s, n) for s, n in zip(starts, lengths, strict=True)]
    groups = [n % 2 for n in range(len(lengths))] if grouped else None
    first, second = (window_stream(episodes, batch, ticks, 1, 0.5, groups) for _ in range(2))
    for _ in range(done):
        next(first)
    second.seek(json.loads(json.dumps(first.position())))
    for ours, theirs in itertools.islice(zip(first, second, strict=True), 10):
        np.testing.assert_array_equal(ours.index, theirs.index)
        np.testing.assert_array_equal(ours.start, theirs.start)
        np.testing.assert_array_equal(ours.return_offset, theirs.return_offset)
    with pytest.raises(ValueError, match="streams, these are"):
        window_stream(episodes, batch + 1, ticks, 1).seek(first.position())


KILLED = """
import os, pickle, signal, sys
import lram_core.training.train as module
from pathlib import Path

folder, config = Path(sys.argv[1]), pickle.loads(bytes.fromhex(sys.argv[2]))
real = module.learning_rate

def kill(config, step, done):
    if step == 11:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(config, step, done)

if sys.argv[3] == "kill":
    module.learning_rate = kill
else:
    module.train([folder / "data"], folder / "calm", folder / "run_calm", config)
module.train([folder / "data"], folder / "killed", folder / "run_killed", config)
"""


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """SIGKILL between two checkpoints and between two rows of the metrics."""
    small_dataset(tmp_path / "data")

    def run(what: str) -> int:
        words = [sys.executable, "-c", KILLED, str(tmp_path), pickle.dumps(CONFIG).hex(), what]
        return subprocess.run(words, capture_output=True, timeout=240).returncode

    assert run("kill") == -signal.SIGKILL
    assert [file.stem for file in checkpoints(tmp_path / "run_killed")] == [
        "step-000000004",
        "step-000000008",
    ]
    assert not (tmp_path / "killed").exists()
    assert run("go on") == 0
    assert curve(tmp_path / "run_killed") == curve(tmp_path / "run_calm")
    assert [row["step"] for row in curve(tmp_path / "run_killed")] == ["7", "14"]
    assert_same_bundle(tmp_path / "killed", tmp_path / "calm")


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "header"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path,
    data: Path,
    whole: Path,
    broken_off: Path,
    damage: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(broken_off, run)
    before, newest = checkpoints(run)
    good = newest.read_bytes()
    bad = {
        "cut": good[: len(good) // 2],
        "flipped": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
        "empty": b"",
        "header": b"\xff" * 8 + good[8:],
    }[damage]
    newest.write_bytes(bad)
    begun = newest.with_name(".step-000000012.safetensors.1.tmp")
    begun.write_bytes(b"begun")
    train([data], tmp_path / "b", run, CONFIG)
    told = "".join(capsys.readouterr().err.split())  # lines are wrapped anywhere
    assert f"{newest.name}:damagedcheckpoint(" in told
    assert "goingonfromtheonebeforeit,step4" in told
    assert curve(run) == curve(whole.with_name("run_whole"))
    assert_same_bundle(tmp_path / "b", whole)
    assert not begun.exists()
    for file in checkpoints(run):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"damaged checkpoint .*; there is no other, remove it"):
        train([data], tmp_path / "b", run, CONFIG)
    assert not before.exists()


def full_by_library(tensors: Any, path: Path, metadata: Any) -> None:
    path.write_bytes(b"part")
    raise SafetensorError("I/O error: No space left on device (os error 28)")


def full_by_system(path: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("name", "fails"), [("save_file", full_by_library), ("_to_disk", full_by_system)]
)
def test_a_full_disk_leaves_the_last_good_checkpoint(
    tmp_path: Path,
    data: Path,
    whole: Path,
    broken_off: Path,
    name: str,
    fails: Callable[..., None],
) -> None:
    run = tmp_path / "run"
    shutil.copytree(broken_off, run)
    checkpoints(run)[-1].unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, name, fails)
        message = r"disk is full, no room .* MB at step 8; the last good .*/step-000000004\.safe"
        with pytest.raises(DataError, match=message):
            train([data], tmp_path / "b", run, CONFIG)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000000004.safetensors"]
    read_checkpoint(checkpoints(run)[0])
    train([data], tmp_path / "b", run, CONFIG)
    assert_same_bundle(tmp_path / "b", whole)


def test_a_run_of_an_old_release_goes_on(tmp_path: Path, data: Path, whole: Path) -> None:
    """Its checkpoint is ``checkpoint.pt``, its settings ``config.json`` without the newer keys."""

    def old_save(self: Trainee, run: Path, processes: Processes) -> None:
        saved = {
            "step": self.step,
            "seconds": self.seconds,
            "model": self.model.weights(),
            "average": self.average.weights(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "state": self.states[0],
        }
        torch.save(saved, run / "checkpoint.pt")

    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainee, "save", old_save)
        cut_at(9, data, run)
    found = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").unlink()
    old = {k: v for k, v in found.items() if k not in ("accumulate", "rollout_every", "parallel")}
    (run / "config.json").write_text(json.dumps(old))
    with pytest.raises(CommandError, match="other settings: accumulate 1"):
        train([data], tmp_path / "b", run, replace(CONFIG, accumulate=2))
    train([data], tmp_path / "b", run, CONFIG)
    assert_same_bundle(tmp_path / "b", whole)


def test_a_checkpoint_of_other_parts_is_refused(
    tmp_path: Path, data: Path, broken_off: Path
) -> None:
    shutil.copytree(broken_off, tmp_path / "run")
    header = read_checkpoint(checkpoints(tmp_path / "run")[0])[0]
    assert (header["parts"], header["step"]) == (1, 4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lram_core.training.train.open_run", lambda *args: None)
        with pytest.raises(CommandError, match=r"batches have 1 parts .* this run's have 2"):
            train([data], tmp_path / "b", tmp_path / "run", replace(CONFIG, accumulate=2))


def test_a_run_does_not_go_on_with_data_of_other_fields(
    tmp_path: Path, broken_off: Path, data: Path
) -> None:
    """The folder of the data is the same, what is in it is not; nothing is taken for damaged."""
    run, place = tmp_path / "run", data.with_name("moved")
    shutil.copytree(broken_off, run)
    before = sorted(path.name for path in run.rglob("*"))
    goal, speed = SCHEMA.observation[-1], ObservationField("speed", 4, "rad/s")
    data.rename(place)
    try:
        for observation, message in (
            (
                (*SCHEMA.observation, speed),
                f"{data} does not fit the run in {run}, .*: observation field speed is not exp",
            ),
            (
                (*SCHEMA.observation[:-1], replace(goal, unit="m")),
                "observation field goal: unit 'm' instead of 'rad'; choose another --run",
            ),
            (SCHEMA.observation[:-1], "observation field goal is missing"),
        ):
            small_dataset(data, schema=replace(SCHEMA, observation=observation))
            with pytest.raises(CommandError, match=message):
                train([data], tmp_path / "b", run, CONFIG)
            shutil.rmtree(data)
        small_dataset(data, schema=replace(SCHEMA, suite="other"))
        with pytest.raises(CommandError, match="suite testing is missing, suite other is new"):
            train([data], tmp_path / "b", run, CONFIG)
    finally:
        shutil.rmtree(data, ignore_errors=True)
        place.rename(data)
    assert sorted(path.name for path in run.rglob("*")) == before
