"""Rollouts and `lram eval`."""

from __future__ import annotations

import csv
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from lram_core.errors import CommandError, ContractError, TaskError
from lram_core.policy import Policy
from lram_core.statistics import bootstrap_interval, wilson_interval
from lram_sim import evaluate_command, run_options
from lram_sim.evaluate import check_writable, evaluate, write_results
from lram_sim.metaworld import MetaworldSuite, MetaworldTask, policy_contract
from lram_sim.policy_source import PolicySource
from lram_sim.rollout import ExpertPolicy, check_contract, run_episode
from lram_sim.suite import EVALUATION_SEED, StepResult
from lram_sim.suite_registry import get_suite
from lram_sim.summaries import Outcome, summaries
from lram_sim.task_choice import split_name

SUITE = MetaworldSuite()


def test_an_expert_episode_ends_at_its_first_success() -> None:
    task = SUITE.make("reach-v3")
    record = run_episode(task, ExpertPolicy(task), EVALUATION_SEED)
    assert record.success
    assert record.success_step == record.steps == len(record.actions) == len(record.observations)
    assert 5 < record.steps < 200
    assert record.total_reward == pytest.approx(sum(record.rewards))
    again = run_episode(task, ExpertPolicy(task), EVALUATION_SEED)
    np.testing.assert_array_equal(record.observations, again.observations)
    np.testing.assert_array_equal(record.actions, again.actions)


class _Spy:
    """Notes what it is given; its actions are distinguishable and never succeed."""

    def __init__(self) -> None:
        self.contract = policy_contract({"default": 1.0}, context=50)
        self.seen: list[tuple[np.ndarray, float]] = []
        self.resets: list[tuple[str | None, float | None]] = []
        self.values = np.zeros(4)

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        self.resets.append((task, target_return))

    def act(self, observation: np.ndarray, reward: float) -> _Spy:
        self.seen.append((observation, reward))
        self.values = np.array([0.0, 0.0, 0.1 * (len(self.seen) % 2), -1.0])
        return self


def test_a_policy_is_given_the_reward_of_its_last_action() -> None:
    task = SUITE.make("pick-place-v3")
    spy = _Spy()
    record = run_episode(task, spy, 5, target_return=123.0, max_steps=30)
    assert spy.resets == [("pick-place-v3", 123.0)]
    assert (record.success, record.success_step, record.steps) == (False, None, 30)
    assert [reward for _, reward in spy.seen] == [0.0, *record.rewards[:-1]]
    observation = task.reset(5)
    for (seen, _), action in zip(spy.seen, record.actions, strict=True):
        np.testing.assert_array_equal(seen, observation.astype(np.float32))
        observation = task.step(action).observation


def test_bundle_rollouts_are_the_same_in_parallel(tiny_bundle: Path) -> None:
    tasks = ["door-close-v3", "reach-v3"]
    done: list[int] = []
    outcomes = evaluate(
        SUITE,
        tasks,
        1,
        [77, 78],
        2,
        PolicySource(str(tiny_bundle), runtime="torch"),
        on_progress=lambda n, steps: done.append(n),
    )
    assert sum(done) == 4
    assert [(o.task, o.seed) for o in outcomes] == [(t, s) for t in tasks for s in (77, 78)]
    record = run_episode(SUITE.make("reach-v3"), Policy.load(tiny_bundle, runtime="torch"), 78)
    assert outcomes[-1] == Outcome(
        "reach-v3", 78, record.success, record.steps, record.total_reward
    )


def in_turn(function: Any, items: Any, workers: int | None) -> Iterator[Any]:
    """A runner in this process."""
    yield from map(function, items)


def test_an_episode_that_the_simulation_ended_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = MetaworldTask.step

    def break_one(self: MetaworldTask, action: npt.ArrayLike) -> StepResult:
        if self.seed == 6 and self._steps == 3:
            self.data.qvel[0] = 1e12
        return step(self, action)

    def start(self: MetaworldTask, seed: int, reset: Any = MetaworldTask.reset) -> Any:
        self.seed = seed
        return reset(self, seed)

    monkeypatch.setattr(MetaworldTask, "step", break_one)
    monkeypatch.setattr(MetaworldTask, "reset", start)
    monkeypatch.setattr(run_options, "run_parallel", in_turn)
    out = tmp_path / "results"
    words = ["--expert", "--tasks", "reach-v3", "--episodes", "2", "--seed", "5", "--out", str(out)]
    done = CliRunner().invoke(evaluate_command.evaluate, words, catch_exceptions=False)
    reason = "the simulation became unstable (BADQVEL)"
    told = f"1 of 2 episodes ended early: reach-v3 seed 6: {reason}"
    assert told in " ".join(done.output.split())
    assert told in (out / "report.html").read_text()
    first, second = json.loads((out / "results.json").read_text())["episodes"]
    assert (first["success"], first["failure"]) == (True, "")
    assert (second["success"], second["steps"], second["failure"]) == (False, 4, reason)


def test_summaries() -> None:
    outcomes = [
        Outcome("a", 0, True, 50, 100.0),
        Outcome("a", 1, True, 300, 300.0),
        Outcome("b", 0, False, 500, 20.0),
        Outcome("b", 1, False, 500, 40.0),
    ]
    a, b, mean = summaries(outcomes)
    assert (a.name, a.success_rate, a.success_rate_200, a.mean_steps) == ("a", 1.0, 0.5, 175.0)
    assert (b.success_rate, b.mean_return) == (0.0, 30.0)
    assert (mean.name, mean.episodes, mean.success_rate, mean.mean_return) == ("mean", 4, 0.5, 115)
    assert (mean.low, mean.high) == wilson_interval(2, 4)
    assert (mean.low_200, mean.high_200) == wilson_interval(1, 4)


def test_bootstrap_intervals_cover_the_mean_they_estimate() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        # Two tasks of different levels: only the spread within them is uncertain.
        groups = [rng.uniform(0.0, 0.2, 30), rng.uniform(0.8, 1.0, 30)]
        low, high = bootstrap_interval(groups, resamples=1000)
        covered += low <= 0.5 <= high
        assert high - low < 0.06
    assert 180 <= covered <= 198
    assert bootstrap_interval(groups) == bootstrap_interval(groups)
    for empty in ([], [np.array([])]):
        with pytest.raises(ValueError, match="at least one group"):
            bootstrap_interval(empty)


def test_results_are_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    out = tmp_path / "results"
    write_results(out, [Outcome("a", 0, True, 5, 1.0)], {"seed": 1})
    write_results(out, [Outcome("b", 0, False, 5, 1.0)], {"seed": 2})
    assert json.loads((out / "results.json").read_text())["parameters"] == {"seed": 2}
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("precious")
    with pytest.raises(CommandError, match="no result of 'lram eval'"):
        check_writable(other)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other", "results"]


def test_a_bundle_of_another_robot_is_refused() -> None:
    contract = policy_contract({"default": 1.0}, context=50)
    check_contract(contract, SUITE)
    with pytest.raises(ContractError, match="gripper: the bundle has other, the suite metaworld_"):
        check_contract(dataclasses.replace(contract, gripper="other"), SUITE)
    with pytest.raises(ContractError, match="control rate: the bundle has 20 Hz, the suite 80 Hz"):
        check_contract(dataclasses.replace(contract, control_rate=20.0), SUITE)
    first = dataclasses.replace(contract.observation[0], name="camera")
    with pytest.raises(ContractError, match="sensor camera: the bundle needs 3 values"):
        check_contract(
            dataclasses.replace(contract, observation=(first, *contract.observation[1:])), SUITE
        )
    with pytest.raises(ContractError, match="actions: the bundle has ee_dx"):
        check_contract(dataclasses.replace(contract, action=contract.action[:1]), SUITE)


def test_seeds_are_checked() -> None:
    with pytest.raises(TaskError, match="seed -3"):
        evaluate(SUITE, ["reach-v3"], 1, [-3], 1, None)
    with pytest.raises(CommandError, match="blocks of 5 seeds from 10, 14 overlap"):
        evaluate(SUITE, ["reach-v3"], 5, [10, 14], 1, None)


@pytest.mark.parametrize(
    ("suite", "train", "heldout"),
    [
        ("metaworld", "ml45-train", "ml45-test"),
        ("dmcontrol", "train", "test"),
        ("dmcontrol-walker", "train", "test"),
        ("composuite-panda", "train", "heldout"),
        ("mimicgen-panda-osc", "train", "heldout"),
        ("darkroom", "train", "test"),
    ],
)
def test_a_split_goes_by_whatever_name_the_suite_has(suite: str, train: str, heldout: str) -> None:
    found = get_suite(suite)
    assert (split_name(found, "train"), split_name(found, "heldout")) == (train, heldout)
    assert set(found.splits[train]).isdisjoint(found.splits[heldout])
    for own in found.splits:
        assert own in ("train", "heldout") or split_name(found, own) == own


def test_a_suite_without_the_split_lists_those_it_has() -> None:
    for suite, wanted, there in (
        ("robosuite-panda", "heldout", "all, expert, pick-place, nut-assembly"),
        ("composuite-iiwa", "heldout", "all, train, expert, box, "),
        ("metaworld", "test", "mt10, mt50, ml10-train, ml10-test, ml45-train, ml45-test"),
    ):
        message = f"suite '{suite}' has no split '{wanted}'; available: {there}"
        with pytest.raises(TaskError, match=message):
            split_name(get_suite(suite), wanted)


def test_a_split_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_options, "run_parallel", in_turn)
    words = ["--expert", "--suite", "dmcontrol-reacher", "--episodes", "1"]
    words += ["--split", "heldout", "--out", str(tmp_path / "results")]
    CliRunner().invoke(evaluate_command.evaluate, words, catch_exceptions=False)
    parameters = json.loads((tmp_path / "results" / "results.json").read_text())["parameters"]
    assert parameters["tasks"] == ["hard"]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lram_core.cli", "eval", *arguments], capture_output=True, text=True
    )


def test_results_name_the_runtime(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = _run(
        *("--bundle", str(tiny_bundle), "--tasks", "reach-v3", "--episodes", "1"),
        *("--runtime", "torch", "--precision", "fp32", "--workers", "1", "--out", str(out)),
    )
    assert result.returncode == 0, result.stderr
    parameters = json.loads((out / "results.json").read_text())["parameters"]
    assert parameters["runtime"] == "torch eager (fp32, cpu)"


def test_command_writes_tables(tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = _run(
        *("--expert", "--tasks", "reach-v3,drawer-close-v3", "--episodes", "6"),
        *("--seed", "1000000000", "--seed", "2000000000", "--workers", "2", "--out", str(out)),
    )
    assert result.returncode == 0, result.stderr
    assert "drawer-close-v3" in result.stdout
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["reach-v3", "drawer-close-v3", "mean"]
    content = json.loads((out / "results.json").read_text())
    assert content["mean"]["episodes"] == 24
    assert content["mean"]["success_rate"] == pytest.approx(float(rows[-1]["success_rate"]))
    assert content["mean"]["success_rate"] >= 0.9
    blocks = [*range(10**9, 10**9 + 6), *range(2 * 10**9, 2 * 10**9 + 6)]
    assert [e["seed"] for e in content["episodes"][:12]] == blocks


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--expert", "--tasks", "reach"], "unknown task 'reach'"),
        (["--expert", "--tasks", "reach-v3", "--suite", "atari"], "unknown suite 'atari'"),
        (["--tasks", "reach-v3"], "either --bundle or --expert"),
        (["--expert"], "either --tasks or --split"),
        (["--expert", "--tasks", "reach-v3", "--split", "train"], "either --tasks or --split"),
        (["--tasks", "reach-v3", "--bundle", "{empty}"], "{empty}"),
        (
            ["--tasks", "reach-v3", "--bundle", "{tiny}", "--runtime", "warp"],
            "unknown runtime 'warp'; available: auto, ",
        ),
        (
            [
                "--tasks",
                "reach-v3",
                "--bundle",
                "{tiny}",
                "--runtime",
                "torch",
                "--precision",
                "fp3",
            ],
            "runtime torch has no precision 'fp3'; available: fp32",
        ),
    ],
)
def test_bad_arguments_exit_with_2(
    arguments: list[str], message: str, tmp_path: Path, tiny_bundle: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    filled = [argument.format(empty=empty, tiny=tiny_bundle) for argument in arguments]
    result = _run(*filled, "--workers", "1", "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert message.format(empty=empty) in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", tiny_bundle.name]


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"file/out cannot be written \(.*file: File exists"):
        check_writable(tmp_path / "file" / "out")
