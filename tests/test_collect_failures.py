"""What a collection does where experts, tasks or arguments are no good: it ends, and says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lram_core.data.store import Dataset
from lram_core.errors import CommandError, TaskError
from lram_sim import collect as collection
from lram_sim import collect_command, run_options
from lram_sim.demonstrate import FACTORS, GIVE_UP, STARTS, Recipe, demonstrate
from lram_sim.metaworld import MetaworldSuite, MetaworldTask
from lram_sim.suite import StepResult
from lram_sim.suite_registry import get_suite

SUITE = MetaworldSuite()
RECIPE = Recipe(episodes=6, seed=500, noise=0.3)


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
    monkeypatch.setattr(run_options, "run_parallel", in_turn)
    out = tmp_path / "data"
    words = ["metaworld", "--tasks", "reach-v3", "--episodes", "2", "--out", str(out)]
    done = CliRunner().invoke(collect_command.collect, words, catch_exceptions=False)
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
    result = CliRunner().invoke(collect_command.collect, [*arguments, "--out", str(out)])
    text = result.output + str(result.exception)
    assert message in text
    assert isinstance(result.exception, SystemExit) == (result.exit_code == 2)
    assert list(tmp_path.iterdir()) == []
