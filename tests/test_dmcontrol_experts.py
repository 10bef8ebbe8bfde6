"""DMControl's experts, and the way from them to a policy that is measured by its return."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open

from lram_core.data.store import Dataset
from lram_core.errors import CommandError, DataError
from lram_sim import collect as collection
from lram_sim import train_expert_command
from lram_sim.demonstrate import Recipe, demonstrate
from lram_sim.dmcontrol import RobotSuite, UnionSuite
from lram_sim.dmcontrol_experts import EXPERTS, FOLDER, Network
from lram_sim.dmcontrol_layouts import suite_name
from lram_sim.evaluate import evaluate
from lram_sim.rollout import ExpertPolicy, run_episode
from lram_sim.suite import EVALUATION_SEED
from lram_sim.summaries import Outcome, summaries
from lram_sim.train_expert import Settings, full_name, train_expert

UNION = UnionSuite()


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_reach_what_they_claim(name: str) -> None:
    """In the layout of the robot and in the union the actions are the same."""
    domain, task = name.split("-")
    narrow, wide = RobotSuite(domain).make(task), UNION.make(name)
    record = run_episode(narrow, ExpertPolicy(narrow), EVALUATION_SEED)
    assert record.steps == 1000
    assert not record.success
    again = run_episode(wide, ExpertPolicy(wide), EVALUATION_SEED)
    np.testing.assert_array_equal(again.rewards, record.rewards)
    count = record.actions.shape[1]
    np.testing.assert_array_equal(again.actions[:, :count], record.actions)
    assert not again.actions[:, count:].any()
    np.testing.assert_array_equal(record.actions, record.actions.astype(np.float32))
    assert record.total_reward >= 0.8 * UNION.reference_returns[name]


def test_splits_name_the_tasks_with_an_expert() -> None:
    assert set(UNION.splits["experts"]) == set(EXPERTS)
    assert RobotSuite("reacher").splits["experts"] == ["easy", "hard"]
    assert "experts" not in RobotSuite("hopper").splits


def test_weights_are_small_and_say_how_they_were_made() -> None:
    files = sorted(FOLDER.glob("*.safetensors"))
    assert files
    for file in files:
        assert file.stat().st_size < 150_000
        with safe_open(file, framework="numpy") as content:
            metadata = content.metadata()
        assert metadata["algorithm"] == "soft actor-critic"
        domain, task = file.stem.split("-")
        assert (metadata["suite"], metadata["task"]) == (suite_name(domain), task)
        assert float(metadata["mean_return"]) > 0


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no expert's weights"):
        Network.load(tmp_path / "missing.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"something else")
    with pytest.raises(DataError, match="no expert's weights"):
        Network.load(tmp_path / "x.safetensors")


def test_a_demonstration_needs_enough_return() -> None:
    task = RobotSuite("pendulum").make("swingup")
    assert task.demonstration_return == 500
    episodes, tally = demonstrate(task, range(2), Recipe(2, 100, 0.3))
    assert len(episodes) == tally.collected == 2
    for episode in episodes:
        assert episode.success
        assert len(episode.rewards) == 1000
        assert episode.rewards.sum() >= 500
    task.demonstration_return = 1001.0
    episodes, tally = demonstrate(task, range(1), Recipe(1, 100, 0.0))
    assert (episodes, tally.successes) == ([], 0)


def test_pushes_reach_a_robot_with_one_actuator() -> None:
    """There is no gripper to leave alone."""
    task = RobotSuite("pendulum").make("swingup")
    episodes, tally = demonstrate(task, range(12), Recipe(12, 300, 0.3))
    assert tally.kinds["pushes"][0] > 0
    pushed = [e for e in episodes if e.noise == 0.3]
    assert pushed
    for episode in pushed:
        observation, elsewhere = task.reset(episode.seed), False
        for seen, label in zip(episode.observations, episode.actions, strict=True):
            elsewhere |= not np.array_equal(observation.astype(np.float32), seen)
            observation = task.step(label).observation
        assert elsewhere


def test_summaries_of_returns() -> None:
    outcomes = [
        Outcome("a", 0, False, 1000, 400.0),
        Outcome("a", 1, False, 1000, 600.0),
        Outcome("b", 0, False, 1000, 30.0),
        Outcome("b", 1, False, 1000, 30.0),
    ]
    a, b, mean = summaries(outcomes, {"a": 1000.0, "b": 100.0})
    assert (a.name, a.normalised_return, a.mean_return, a.least_return) == ("a", 0.5, 500, 400)
    assert (a.low, a.high) == pytest.approx((0.4, 0.6))
    assert (b.low, b.high) == pytest.approx((0.3, 0.3))
    assert (mean.name, mean.episodes) == ("mean", 4)
    assert mean.normalised_return == pytest.approx(0.4)
    assert (mean.low, mean.high) == pytest.approx((0.35, 0.45))


def test_parallel_evaluation_in_the_union_layout() -> None:
    names = ["pendulum-swingup", "point_mass-easy"]
    outcomes = evaluate(UNION, names, 2, [EVALUATION_SEED], 2, None)
    assert [(o.task, o.seed - EVALUATION_SEED) for o in outcomes] == [
        (name, i) for name in names for i in (0, 1)
    ]
    task = UNION.make("point_mass-easy")
    record = run_episode(task, ExpertPolicy(task), EVALUATION_SEED + 1)
    assert outcomes[-1].total_reward == record.total_reward


def _lram(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lram_core.cli", *arguments], capture_output=True, text=True
    )


def test_from_demonstrations_to_a_measured_policy(tmp_path: Path) -> None:
    suite = "dmcontrol-cartpole"
    data, bundle, out = (str(tmp_path / name) for name in ("data", "bundle", "out"))
    collected = _lram(
        *("collect", suite, "--tasks", "experts", "--episodes", "2"),
        *("--workers", "1", "--out", data),
    )
    assert collected.returncode == 0, collected.stderr
    dataset = Dataset.open(Path(data))
    dataset.verify()
    assert dataset.schema.suite == suite
    assert {row["task"] for row in dataset.episodes.to_pylist()} == {"swingup", "balance"}
    trained = _lram(
        *("train", "--data", data, "--steps", "3", "--batch", "4", "--out", bundle),
        *("--size", "d128", "--device", "cpu", "--run", str(tmp_path / "run")),
    )
    assert trained.returncode == 0, trained.stderr
    measured = _lram(
        *("eval", "--suite", suite, "--bundle", bundle, "--tasks", "all", "--episodes", "1"),
        *("--workers", "1", "--out", out),
    )
    assert measured.returncode == 0, measured.stderr
    assert "normalised" in measured.stdout
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["swingup", "balance", "mean"]
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert 0 < content["mean"]["normalised_return"] < 1.1
    assert content["mean"]["mean_steps"] == 1000
    carded = _lram("card", bundle, "--results", "Unseen seeds", out)
    assert carded.returncode == 0, carded.stderr
    assert "| task | episodes | normalised | 95 % |" in (tmp_path / "bundle/README.md").read_text()


def test_a_task_without_expert_is_an_error_of_one_line(tmp_path: Path) -> None:
    done = _lram(
        *("collect", "dmcontrol-hopper", "--tasks", "stand", "--episodes", "1"),
        *("--workers", "1", "--out", str(tmp_path / "data")),
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: task 'stand' of suite 'dmcontrol-hopper' has no expert ")
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in done.stderr


def test_an_expert_is_trained_the_same_way_twice(tmp_path: Path) -> None:
    suite = RobotSuite("pendulum")
    settings = Settings(decisions=60, warm_up=20, batch=16, repeat=4, evaluate_every=30)
    seen: list[int] = []
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in files:
        train_expert(suite, "swingup", file, settings, lambda done, mean, best: seen.append(done))
    assert seen == [30, 60, 30, 60]
    first, second = (Network.load(file) for file in files)
    for (w, b), (v, c) in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(w, v)
        np.testing.assert_array_equal(b, c)
    action = first.act(np.zeros(3))
    assert action.shape == (1,)
    assert np.abs(action).max() <= 1


def test_experts_run_without_the_learning_library() -> None:
    code = (
        "import sys; from lram_sim.suite_registry import get_suite;"
        "task = get_suite('dmcontrol-cartpole').make('swingup');"
        "print(task.expert().act(task.reset(0)).shape, 'stable_baselines3' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(1,) False", done.stderr


def test_training_without_the_learning_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stable_baselines3", None)
    with pytest.raises(CommandError, match="needs the Python module 'stable_baselines3'; install"):
        train_expert(RobotSuite("pendulum"), "swingup", tmp_path / "x", Settings())
    assert list(tmp_path.iterdir()) == []


def test_only_tasks_of_one_robot_are_trained_for(tmp_path: Path) -> None:
    assert full_name(RobotSuite("ball_in_cup"), "catch") == "ball_in_cup-catch"
    with pytest.raises(CommandError, match="found 'walk' of 'dmcontrol-reacher'; its tasks: easy"):
        full_name(RobotSuite("reacher"), "walk")
    result = CliRunner().invoke(
        train_expert_command.train_expert,
        ["dmcontrol", "--task", "reacher-easy", "--out", str(tmp_path / "x")],
    )
    assert "found 'reacher-easy' of 'dmcontrol'" in str(result.exception)


def test_collected_in_the_union_layout(tmp_path: Path) -> None:
    out = tmp_path / "data"
    recipe = Recipe(episodes=1, seed=0, noise=0.2)
    collection.collect(UNION, ["reacher-easy", "pendulum-swingup"], recipe, out, workers=1)
    stored = Dataset.open(out)
    assert stored.observations.shape == (2000, 204)
    assert stored.actions.shape == (2000, 6)
