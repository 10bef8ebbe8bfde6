"""Collection: only successes, clean labels, repeatable, resumable, and it always ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lram_core.data.files import sha256
from lram_core.data.store import Dataset
from lram_core.errors import BundleError, CommandError, ContractError, DataError, TaskError
from lram_sim import collect as collection
from lram_sim import collection_parts, commands
from lram_sim.cameras import Cameras
from lram_sim.collection_parts import open_parts
from lram_sim.demonstrate import FACTORS, GIVE_UP, STARTS, Recipe, demonstrate
from lram_sim.experts import MetaworldExpert
from lram_sim.metaworld import MetaworldSuite, MetaworldTask
from lram_sim.perturb import KINDS, Perturbation, draw
from lram_sim.roll_in import RollIn, load_roll_in
from lram_sim.suite import EVALUATION_SEED, StepResult
from lram_sim.suite_registry import get_suite

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


class _Failing:
    """A task whose expert never succeeds in the seeds ``bad``."""

    observation_fields = MetaworldTask.observation_fields
    action_fields = MetaworldTask.action_fields
    max_episode_steps = 5

    def __init__(self, name: str, bad: Callable[[int], bool]) -> None:
        self.name = name
        self._bad = bad
        self.resets: list[int] = []

    def reset(self, seed: int) -> np.ndarray:
        self.resets.append(seed)
        self._ticks = 0
        return np.zeros(39)

    def step(self, action: np.ndarray) -> Any:
        self._ticks += 1
        success = self._ticks == 3 and not self._bad(self.resets[-1])
        return StepResult(np.zeros(39), 1.0, success, self._ticks == 5)

    def expert(self) -> Any:
        return self

    def act(self, observation: np.ndarray) -> np.ndarray:
        return np.zeros(4)


def test_a_broken_expert_ends_after_a_bounded_number_of_tries() -> None:
    task = _Failing("broken", bad=lambda seed: True)
    episodes, tally = demonstrate(task, range(1000), RECIPE)
    assert not episodes
    assert tally.given_up == GIVE_UP
    assert tally.tries == len(task.resets) <= GIVE_UP * STARTS * len(FACTORS)
    assert tally.first_successes == tally.successes == 0


def test_an_impossible_start_is_left_for_another() -> None:
    task = _Failing("odd", bad=lambda seed: seed % 2 == 1)
    recipe = Recipe(episodes=5, seed=100, noise=0.3)
    episodes, tally = demonstrate(task, range(5), recipe)
    # Episode i is tried at 100 + i, then at 105 + i: another parity.
    assert [episode.seed for episode in episodes] == [100, 106, 102, 108, 104]
    assert all(len(episode.rewards) == 3 for episode in episodes)
    assert (tally.collected, tally.given_up) == (5, 0)
    assert tally.tries > tally.successes == 5


def test_what_was_collected_is_kept_when_an_expert_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {
        "good": _Failing("good", bad=lambda seed: False),
        "bad": _Failing("bad", bad=lambda seed: True),
    }

    def serial(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
        yield from map(function, items)

    monkeypatch.setattr(collection, "cached_task", lambda suite, name, cameras: tasks[name])
    out = tmp_path / "data"
    recipe = Recipe(episodes=50, seed=0, noise=0.2)
    for _ in range(2):  # the second time from the finished dataset
        with pytest.raises(CommandError, match=r"expert fails in: bad \(0 of 50 episodes"):
            collection.collect(SUITE, ["bad", "good"], recipe, out, workers=1, run=serial)
        assert len(Dataset.open(out).episodes) == 50
    # One chunk told that the task is broken; its other chunks were not tried.
    assert len(tasks["bad"].resets) <= GIVE_UP * STARTS * len(FACTORS)


def test_a_worker_without_the_roll_ins_bundle_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    weights = sha256(tiny_bundle / "model.safetensors")
    assert load_roll_in(RollIn(str(tiny_bundle), weights), "metaworld")
    for folder, told, found in (
        (tiny_bundle, "0" * 64, "another one"),
        (tmp_path / "none", weights, "none"),
    ):
        with pytest.raises(BundleError, match=f"on the worker's machine .*found {found}"):
            load_roll_in(RollIn(str(folder), told), "metaworld")


def test_a_roll_in_must_see_the_pictures_that_are_collected(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    recipe, cameras = Recipe(1, 0, 0.0, 1.0), Cameras.parse(["corner2:16x16"])
    with pytest.raises(ContractError, match=r"looks at \(none\), --camera gives camera_corner2"):
        collection.collect(
            SUITE, ["reach-v3"], recipe, tmp_path / "x", 1, tiny_bundle, cameras=cameras
        )
    assert not list(tmp_path.glob("x*"))


def test_what_broke_the_simulation_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = MetaworldTask.step
    breaks = iter([False, False, True, True] + [False] * 10_000)

    def break_some(self: MetaworldTask, action: Any) -> Any:
        if next(breaks):
            self.data.qvel[0] = 1e12
        return step(self, action)

    def in_turn(function: Any, items: Any, workers: int | None) -> Iterator[Any]:
        yield from map(function, items)

    monkeypatch.setattr(MetaworldTask, "step", break_some)
    monkeypatch.setattr(commands, "run_parallel", in_turn)
    out = tmp_path / "data"
    words = ["metaworld", "--tasks", "reach-v3", "--episodes", "2", "--out", str(out)]
    done = CliRunner().invoke(commands.collect, words, catch_exceptions=False)
    reason = "the simulation became unstable (BADQVEL)"
    assert f"tries that ended early: {reason} in 2" in " ".join(done.output.split())
    tally = Dataset.open(out).provenance["tasks"]["reach-v3"]
    assert (tally["collected"], tally["tries"]) == (2, 4)
    assert tally["failures"] == {reason: 2}


@pytest.mark.parametrize(
    ("suite", "task"),
    [
        ("composuite-panda", "dumbbell-goalwall-push"),
        ("mimicgen-sawyer", "stack-d0"),
        ("dmcontrol", "hopper-stand"),
        ("dmcontrol-hopper", "stand"),
    ],
)
def test_a_task_without_an_expert_leaves_nothing(suite: str, task: str, tmp_path: Path) -> None:
    found, out = get_suite(suite), tmp_path / "data"
    with pytest.raises(TaskError, match=f"task '{task}' of suite '{suite}' has no expert that was"):
        collection.collect(found, [task], RECIPE, out, 1, run=unused)
    assert list(tmp_path.iterdir()) == []


def unused(function: Any, items: Any, workers: int | None) -> Iterator[Any]:
    raise AssertionError("work was begun")
    yield


def test_a_refusal_of_the_first_work_leaves_nothing(tmp_path: Path) -> None:
    def refuse(function: Any, items: Any, workers: int | None) -> Iterator[Any]:
        raise TaskError("no expert")
        yield

    out = tmp_path / "data"
    with pytest.raises(TaskError, match="no expert"):
        collection.collect(SUITE, ["reach-v3"], RECIPE, out, 1, run=refuse)
    assert list(tmp_path.iterdir()) == []


def test_roll_in_keeps_the_experts_labels(tiny_bundle: Path, tmp_path: Path) -> None:
    from lram_core.policy import Policy

    policy = Policy.load(tiny_bundle)
    recipe = Recipe(episodes=2, seed=40, noise=0.3, roll_in_fraction=1.0)
    task = SUITE.make("reach-v3")
    episodes, tally = demonstrate(task, range(2), recipe, policy)
    assert tally.kinds == {"roll-in": [2, 2]}
    plain, _ = demonstrate(task, range(2), Recipe(2, 40, 0.0))
    for driven, undisturbed in zip(episodes, plain, strict=True):
        assert driven.seed == undisturbed.seed
        assert len(driven.rewards) > len(undisturbed.rewards)
        expert = MetaworldExpert("reach-v3")
        again = [expert.act(o.astype(np.float64)) for o in driven.observations]
        np.testing.assert_allclose(driven.actions, again, atol=1e-4)
    out = tmp_path / "data"
    collection.collect(SUITE, ["reach-v3"], recipe, out, workers=1, bundle=tiny_bundle)
    stored = Dataset.open(out)
    np.testing.assert_array_equal(
        stored.observations, np.concatenate([e.observations for e in episodes])
    )
    with pytest.raises(BundleError, match=r"model\.safetensors"):
        collection.collect(SUITE, ["reach-v3"], recipe, tmp_path / "x", 1, bundle=tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_perturbations_stay_within_limits_and_have_their_size(kind: str) -> None:
    rng = np.random.default_rng(1)
    perturbation = Perturbation(kind, 0.3, rng)
    clean = np.array([0.1, -0.2, 0.0, 0.3])
    executed = np.array([perturbation.apply(clean) for _ in range(20_000)])
    assert np.abs(executed).max() <= 1
    moved = executed - clean
    share = (moved != 0).any(axis=1).mean()
    if kind == "none":
        assert share == 0
    elif kind == "pushes":
        assert 0.1 < share < 0.35
        gripper = (moved[:, 3] != 0).sum() / (moved[:, 0] != 0).sum()
        assert 0.15 < gripper < 0.45
    else:
        assert share == 1
        assert np.std(moved[:, 0]) == pytest.approx(0.3, rel=0.1)
        neighbours = np.corrcoef(moved[:-1, 0], moved[1:, 0])[0, 1]
        assert (neighbours > 0.85) if kind == "correlated" else (abs(neighbours) < 0.05)
    weak = Perturbation(kind, 0.0, rng)
    np.testing.assert_array_equal(weak.apply(clean), clean)


def test_kinds_are_mixed() -> None:
    rng = np.random.default_rng(2)
    drawn = [draw(0.3, rng) for _ in range(2000)]
    for kind, weight in zip(KINDS, (0.15, 0.25, 0.3, 0.3), strict=True):
        assert sum(k == kind for k, _ in drawn) / 2000 == pytest.approx(weight, abs=0.04)
    assert max(scale for _, scale in drawn) <= 0.3
    assert draw(0.0, rng) == ("none", 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["atari", "--tasks", "x", "--episodes", "1"], "unknown suite 'atari'"),
        (["metaworld", "--tasks", "reach", "--episodes", "1"], "unknown task 'reach'"),
        (["metaworld", "--tasks", "reach-v3", "--episodes", "0"], "--episodes"),
        (["metaworld", "--tasks", "reach-v3", "--episodes", "1", "--noise", "2"], "--noise"),
        (["metaworld", "--tasks", "reach-v3", "--episodes", "1", "--workers", "0"], "--workers"),
        (["metaworld", "--tasks", "reach-v3", "--episodes", "1", "--seed", "1000000000"], "--seed"),
        (["metaworld", "--tasks", "reach-v3", "--episodes", "1", "--rollin", "no"], "--rollin"),
        (
            ["metaworld", "--tasks", "reach-v3", "--episodes", "1", "--rollin-fraction", "0.5"],
            "needs both a bundle and a fraction",
        ),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = CliRunner().invoke(commands.collect, [*arguments, "--out", str(out)])
    text = result.output + str(result.exception)
    assert message in text
    assert isinstance(result.exception, SystemExit) == (result.exit_code == 2)
    assert list(tmp_path.iterdir()) == []


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
