"""Collection: only successes, clean labels, repeatable, resumable."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lram_core.data.store import Dataset
from lram_core.errors import CommandError, DataError
from lram_sim import collect as collection
from lram_sim import collection_parts
from lram_sim.collection_parts import open_parts
from lram_sim.demonstrate import Recipe
from lram_sim.experts import MetaworldExpert
from lram_sim.metaworld import MetaworldSuite
from lram_sim.suite import EVALUATION_SEED

SUITE = MetaworldSuite()
RECIPE = Recipe(episodes=6, seed=500, noise=0.3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("collected") / "data"
    seen: list[tuple[int, int]] = []
    collection.collect(
        SUITE,
        ["reach-v3", "door-open-v3"],
        RECIPE,
        out,
        workers=2,
        on_progress=lambda episodes, steps: seen.append((episodes, steps)),
    )
    assert sum(episodes for episodes, _ in seen) == 12
    return Dataset.open(out)


def _episodes(dataset: Dataset) -> Iterator[tuple[dict[str, Any], slice]]:
    for row in dataset.episodes.to_pylist():
        yield row, slice(row["start"], row["start"] + row["length"])


def test_no_demonstration_uses_a_seed_of_the_evaluation(tmp_path: Path) -> None:
    recipe = Recipe(episodes=10, seed=EVALUATION_SEED - 30, noise=0.0)
    with pytest.raises(CommandError, match="1000000029 would be used"):
        collection.collect(SUITE, ["reach-v3"], recipe, tmp_path / "set", 1)


def test_only_successes_in_the_order_of_tasks(dataset: Dataset) -> None:
    dataset.verify()
    rows = dataset.episodes.to_pylist()
    assert [row["task"] for row in rows] == ["reach-v3"] * 6 + ["door-open-v3"] * 6
    assert all(row["success"] and 0 < row["length"] <= 500 for row in rows)
    assert len({(row["task"], row["seed"]) for row in rows}) == 12
    assert all(500 <= row["seed"] < EVALUATION_SEED for row in rows)
    assert len({row["noise"] for row in rows}) > 3
    tasks = dataset.provenance["tasks"]
    assert tasks["reach-v3"]["collected"] == 6
    assert tasks["reach-v3"]["successes"] == 6 <= tasks["reach-v3"]["tries"]


def test_labels_are_the_experts_clean_actions(dataset: Dataset) -> None:
    """Recomputed from the stored observations; single precision moves them a little."""
    for row, part in _episodes(dataset):
        expert = MetaworldExpert(row["task"])
        for observation, label in zip(
            dataset.observations[part], dataset.actions[part], strict=True
        ):
            again = expert.act(observation.astype(np.float64))
            np.testing.assert_allclose(label, again, atol=1e-4)


def test_executed_actions_were_perturbed(dataset: Dataset) -> None:
    """Replaying the labels leads to the same place only without noise."""
    elsewhere = 0
    for row, part in _episodes(dataset):
        if row["task"] != "reach-v3":
            continue
        task = SUITE.make(row["task"])
        observation = task.reset(row["seed"])
        same = True
        for stored, label in zip(dataset.observations[part], dataset.actions[part], strict=True):
            same = same and np.array_equal(observation.astype(np.float32), stored)
            observation = task.step(label).observation
        assert same or row["noise"] > 0
        elsewhere += not same
    assert elsewhere >= 3


def test_a_finished_dataset_is_not_collected_again(dataset: Dataset) -> None:
    tasks = ["reach-v3", "door-open-v3"]
    before = (dataset.path / "observations.npy").stat().st_mtime_ns
    tallies = collection.collect(SUITE, tasks, RECIPE, dataset.path, workers=1)
    assert tallies["reach-v3"].collected == 6
    assert (dataset.path / "observations.npy").stat().st_mtime_ns == before
    other = Recipe(episodes=6, seed=501, noise=0.3)
    with pytest.raises(DataError, match=r"seed 500 \(now 501\)"):
        collection.collect(SUITE, tasks, other, dataset.path, workers=1)


def _command(out: Path, *more: str) -> list[str]:
    arguments = ["collect", "metaworld", "--tasks", "reach-v3,door-open-v3", "--episodes", "60"]
    arguments += ["--seed", "500", "--workers", "2", "--out", str(out), *more]
    return [sys.executable, "-m", "lram_core.cli", *arguments]


def test_resumes_after_a_kill_with_the_same_result(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(_command(whole), check=True, capture_output=True)
    process = subprocess.Popen(
        _command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    parts = tmp_path / "killed.parts"
    deadline = time.monotonic() + 60
    while not list(parts.glob("0*.npz")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    workers = _children(process.pid)
    assert workers
    process.kill()
    process.wait()
    assert not killed.exists()
    _wait_until(lambda: not any(map(_runs, workers)), "workers outlived their parent")
    done = {path: path.stat().st_mtime_ns for path in parts.glob("0*.npz")}

    other = subprocess.run(_command(killed, "--noise", "0.1"), capture_output=True, text=True)
    assert other.returncode == 2
    assert "noise 0.3 (now 0.1)" in other.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == done

    subprocess.run(_command(killed), check=True, capture_output=True)
    assert not parts.exists()
    first, second = Dataset.open(whole), Dataset.open(killed)
    assert first.checksums == second.checksums


def test_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        _command(tmp_path / "data"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # A test run in the background has inherited an ignored SIGINT; a terminal's has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    parts = tmp_path / "data.parts"
    _wait_until(lambda: bool(list(parts.glob("0*.npz"))), "no part was written")
    workers = _children(process.pid)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in error
    _wait_until(lambda: not any(map(_runs, workers)), "processes were left behind")


def test_bad_arguments_exit_with_2(tmp_path: Path) -> None:
    command = _command(tmp_path / "out")
    command[command.index("reach-v3,door-open-v3")] = "reach"
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: unknown task 'reach'")
    assert "Traceback" not in result.stderr


def test_parts_of_something_else_are_left_alone(tmp_path: Path) -> None:
    parts = tmp_path / "data.parts"
    parts.mkdir()
    (parts / "mine.txt").write_text("precious")
    with pytest.raises(DataError, match=r"data\.parts: not the parts of a collection"):
        collection.collect(SUITE, ["reach-v3"], RECIPE, tmp_path / "data", workers=1)
    assert (parts / "mine.txt").read_text() == "precious"


def test_a_collection_that_ends_before_its_first_part_can_be_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(collection_parts.json, "dumps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_parts(tmp_path / "data", {"seed": 1})
    assert list(tmp_path.iterdir()) == []
    parts = open_parts(tmp_path / "data", {"seed": 1})
    assert open_parts(tmp_path / "data", {"seed": 1}) == parts
    (parts / "parameters.json").write_text("[]")
    with pytest.raises(DataError, match="not the parts of a collection"):
        open_parts(tmp_path / "data", {"seed": 1})


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _runs(pid: int) -> bool:
    """Whether a process exists and is more than a zombie that nobody has waited for."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_until(condition: Callable[[], bool], complaint: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.02)
