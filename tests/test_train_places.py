"""What a training reads and writes: folders, data, disk; refused at the start, by one message."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from train_rig import TINY

from lram_core.data.files import sha256
from lram_core.errors import CommandError, DataError
from lram_core.testing import small_dataset
from lram_core.training import report
from lram_core.training.train import train

CONFIG = replace(TINY, tracker="none")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, the run ``run`` of them and its ``bundle``."""
    folder = tmp_path_factory.mktemp("places")
    small_dataset(folder / "data")
    train([folder / "data"], folder / "bundle", folder / "run", CONFIG)
    return folder


@pytest.mark.parametrize(
    ("out", "run", "message"),
    [
        ("b", "file", "file is a file; name a folder for the run"),
        ("b", "data", "data is a dataset; name another folder for the run"),
        ("b", "bundle", "bundle is a policy bundle; name another folder for the run"),
        ("b", "b", "run folder .*b lies in the bundle .*b, which is written as a whole"),
        ("b", "b/run", "run folder .*b/run lies in the bundle .*b, which"),
        ("file/b", "r", r"file/b cannot be written \(.*file: "),
        ("/proc/b", "r", r"/proc/b cannot be written \(/proc"),
        ("b", "/proc/r", "/proc/r cannot be written"),
        ("data", "r", "data is there already and is no policy bundle"),
    ],
)
def test_folders_that_cannot_be_written_are_refused_before_training(
    tmp_path: Path, made: Path, out: str, run: str, message: str
) -> None:
    (made / "file").touch()
    before = sorted(made.rglob("*"))
    with pytest.raises(CommandError, match=message):
        train([made / "data"], made / out, made / run, CONFIG)
    assert sorted(made.rglob("*")) == before


def test_a_dataset_is_not_given_twice(tmp_path: Path, made: Path) -> None:
    (tmp_path / "same").symlink_to(made / "data")
    with pytest.raises(CommandError, match=r"data given more than once: .*data, .*same"):
        train([made / "data", tmp_path / "same"], tmp_path / "b", tmp_path / "r", CONFIG)


HOLDER = """
import sys
from pathlib import Path
from lram_core.training.places import locked
with locked(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.read()
"""


def test_a_run_folder_is_of_one_training_at_a_time(tmp_path: Path, made: Path) -> None:
    run = shutil.copytree(made / "run", tmp_path / "run")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "has it\n"
        with pytest.raises(CommandError, match="another training is writing it"):
            train([made / "data"], tmp_path / "b", run, CONFIG)
        holder.kill()
    train([made / "data"], tmp_path / "b", run, CONFIG)


def test_a_run_goes_on_with_its_data_wherever_they_are_and_with_no_others(
    tmp_path: Path, made: Path
) -> None:
    run = shutil.copytree(made / "run", tmp_path / "run")
    moved = shutil.copytree(made / "data", tmp_path / "moved")
    train([moved], tmp_path / "b", run, CONFIG)
    more = small_dataset(tmp_path / "more", episodes=30).path
    with pytest.raises(CommandError, match=r"other data: 24 episodes of .*; now .*more \(30 epi"):
        train([more], tmp_path / "b", run, CONFIG)


def broken(made: Path, path: Path, file: str, change: Callable[[Any], Any]) -> Path:
    """A dataset with one file changed, and its checksum with it."""
    shutil.copytree(made / "data", path)
    if file.endswith(".npy"):
        np.save(path / file, change(np.load(path / file)))
    else:
        pq.write_table(change(pq.read_table(path / file)), path / file)
    description = json.loads((path / "dataset.json").read_text())
    description["sha256"][file] = sha256(path / file)
    (path / "dataset.json").write_text(json.dumps(description))
    return path


def spoilt(array: Any) -> Any:
    array[1] = np.nan
    return array


@pytest.mark.parametrize("name", ["observations", "actions", "rewards"])
def test_numbers_that_are_none_are_told_with_their_place(
    tmp_path: Path, made: Path, name: str
) -> None:
    data = broken(made, tmp_path / "data", f"{name}.npy", spoilt)
    with pytest.raises(DataError, match=f"{name}.npy: not finite in episode 0, tick 1"):
        train([data], tmp_path / "b", tmp_path / "r", CONFIG)


def test_data_without_an_episode_or_a_tick_are_refused(tmp_path: Path, made: Path) -> None:
    data = broken(made, tmp_path / "none", "episodes.parquet", lambda table: table.slice(0, 0))
    with pytest.raises(DataError, match="none: no episode in it"):
        train([data], tmp_path / "b", tmp_path / "r", CONFIG)

    def shorter(table: Any) -> Any:
        rows = table.to_pylist()
        rows[3]["length"] = 0
        return table.from_pylist(rows)

    data = broken(made, tmp_path / "short", "episodes.parquet", shorter)
    with pytest.raises(DataError, match=r"episodes\.parquet: episode 3 has no tick"):
        train([data], tmp_path / "b", tmp_path / "r", CONFIG)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_whatever_was_being_written(
    tmp_path: Path, made: Path, number: int
) -> None:
    def full(*given: Any) -> None:
        raise OSError(number, "no room")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report.MetricsFile, "write", full)
        with pytest.raises(DataError, match=r"disk is full \(no room\); there is no checkpoint"):
            train([made / "data"], tmp_path / "b", tmp_path / "run", CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lram_core.training.train.save_joint_bundle", full)
        with pytest.raises(DataError, match=r"the last good checkpoint is .*step-000000004\.saf"):
            train([made / "data"], tmp_path / "b", tmp_path / "run", CONFIG)
    train([made / "data"], tmp_path / "b", tmp_path / "run", CONFIG)


def test_a_checkpoint_may_be_read_by_whoever_may_read_the_run(made: Path) -> None:
    (file,) = (made / "run" / "checkpoints").iterdir()
    assert file.stat().st_mode & 0o777 == 0o644
