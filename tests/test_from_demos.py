"""Demonstrations from a few others: cut, moved with the objects, replayed, kept if successful."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lram_core.data.parts import merge_parts, write_part
from lram_core.data.schema import Episode
from lram_core.data.store import Dataset
from lram_core.errors import CommandError, DataError, TaskError
from lram_sim import collect as collection
from lram_sim import collect_command, generate
from lram_sim.demonstrate import Recipe, demonstrate
from lram_sim.generate import Sources
from lram_sim.replay_segments import SegmentReplay
from lram_sim.robosuite_env import ENVIRONMENTS
from lram_sim.robosuite_subtasks import SUBTASKS
from lram_sim.segments import (
    Demonstration,
    Library,
    Segmented,
    cut,
    read_library,
    segmented,
    source_task,
)
from lram_sim.subtasks import SUCCESS, Decomposed
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite
from lram_sim.workers import cached_task

OSC, JOINT = "robosuite-panda-osc", "robosuite-panda"
SUITE = get_suite(OSC)


def serial(function: Callable[[Any], Any], items: Iterable[Any], workers: int) -> Iterator[Any]:
    yield from map(function, items)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building an environment takes longer than these episodes do."""
    monkeypatch.setattr(generate, "run_parallel", serial)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three undisturbed episodes of the experts of two tasks."""
    out = tmp_path_factory.mktemp("demos") / "demos"
    part = out.with_suffix(".npz")
    tasks = (cached_task(OSC, name) for name in ("lift", "stack"))
    write_part(part, [e for t in tasks for e in demonstrate(t, range(3), Recipe(3, 0, 0.0))[0]])
    merge_parts([part], out, dataset_schema(SUITE), {})
    return Dataset.open(out)


def task_of(suite: str, name: str) -> Segmented:
    return segmented(cached_task(suite, name), suite)


def changed(demos: Dataset, out: Path, change: Callable[[Episode], Episode]) -> Sources:
    """A copy of the demonstrations with each episode changed."""
    part = out.with_suffix(".npz")
    write_part(part, [change(demos.episode(row)) for row in range(len(demos))])
    merge_parts([part], out, demos.schema, demos.provenance)
    return Sources(out)


def generated(
    out: Path,
    sources: Sources,
    suite: str = OSC,
    tasks: tuple[str, ...] = ("lift",),
    run: Any = serial,
) -> Dataset:
    recipe = Recipe(2, seed=100, noise=0.05)
    collection.collect(get_suite(suite), list(tasks), recipe, out, 1, sources=sources, run=run)
    return Dataset.open(out)


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_every_task_declares_what_it_is_made_of(name: str) -> None:
    subtasks = SUBTASKS[name]
    assert subtasks[-1].ends == SUCCESS
    assert all(subtask.ends != SUCCESS for subtask in subtasks[:-1])
    if name == "stack":
        task = task_of(OSC, name)
        assert isinstance(task, Decomposed)
        task.reset(5)
        assert {subtask.object for subtask in subtasks} <= set(task.object_poses())
        assert not any(task.signal(subtask.ends) for subtask in subtasks)
        with pytest.raises(TaskError, match=r"no signal 'thrown'; available: lifted, success"):
            task.signal("thrown")


def test_segments_are_the_episode(demos: Dataset) -> None:
    """One after the other, in the frame of what they refer to; the first one ends with the lift."""
    task = task_of(OSC, "stack")
    episode = demos.episode(3)
    first, second = cut(task, episode)
    assert len(first.goals) + len(second.goals) == len(episode.rewards)
    np.testing.assert_array_equal(first.hands[-1], second.hands[0])
    np.testing.assert_array_equal(
        np.concatenate((first.grips, second.grips)), episode.actions[:, -1]
    )
    fields = {field.name: field for field in task.observation_fields}
    start = sum(f.size for f in list(fields.values())[: list(fields).index("ee_position")])
    recorded = episode.observations[:, start : start + 3]
    np.testing.assert_allclose(first.hands[:-1, :3, 3], recorded[: len(first.goals)], atol=1e-6)
    assert first.hands[-1, 2, 3] > first.hands[:, 2, 3].min() + 0.04


@pytest.mark.parametrize("name", ["lift", "stack"])
def test_a_demonstration_replayed_at_its_own_start_is_itself(demos: Dataset, name: str) -> None:
    task = task_of(OSC, name)
    row = list(demos.column("task")).index(name)
    episode = demos.episode(row)
    library = Library("demos", name, (Demonstration(row, cut(task, episode)),), 0)
    observation = task.reset(episode.seed)
    replay = SegmentReplay(task, library, True, np.random.default_rng(0))
    for tick, recorded in enumerate(episode.actions):
        action = replay.act(observation)
        np.testing.assert_allclose(action, recorded, atol=2e-3, err_msg=f"tick {tick}")
        result = task.step(action)
        observation = result.observation
    assert result.success
    assert replay.used == [row] * len(task.subtasks)


def test_generates_from_a_few_and_says_from_which(demos: Dataset, tmp_path: Path) -> None:
    found = generated(tmp_path / "new", Sources(demos.path), tasks=("stack",))
    found.verify()
    rows = found.episodes.to_pylist()
    assert [row["task"] for row in rows] == ["stack"] * 2
    assert all(row["success"] and row["seed"] >= 100 for row in rows)
    assert found.schema == dataset_schema(SUITE)
    assert all(row["source"].startswith("demos: segments of episodes ") for row in rows)
    numbers = {int(n) for row in rows for n in row["source"].rsplit("episodes ")[1].split(", ")}
    assert numbers <= {3, 4, 5}
    made_of = found.provenance["demonstrations"]
    assert made_of["tasks"]["stack"] == {"task": "stack", "episodes": [3, 4, 5], "left_out": 0}
    assert found.provenance["parameters"]["demonstrations"]["dataset"] == demos.checksums
    again = generated(tmp_path / "again", Sources(demos.path), tasks=("stack",))
    assert again.checksums == found.checksums
    with pytest.raises(DataError, match=r"was begun with demonstrations"):
        generated(tmp_path / "new", Sources(demos.path, "random"), tasks=("stack",))


def test_the_other_action_space_takes_the_same_segments(demos: Dataset, tmp_path: Path) -> None:
    found = generated(tmp_path / "joints", Sources(demos.path, "random", mixed=True), JOINT)
    assert found.schema == dataset_schema(get_suite(JOINT))
    assert list(found.column("success")) == [True, True]


def test_goes_on_where_it_was_interrupted(
    demos: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "CHUNK", 1)
    whole = generated(tmp_path / "whole", Sources(demos.path))

    def killed(function: Callable[[Any], Any], items: Iterable[Any], n: int) -> Iterator[Any]:
        for item in items:
            yield function(item)
            raise KeyboardInterrupt

    out = tmp_path / "resumed"
    with pytest.raises(KeyboardInterrupt):
        generated(out, Sources(demos.path), run=killed)
    parts = out.with_name("resumed.parts")
    assert not out.exists()
    assert len(list(parts.glob("*.npz"))) == 1
    with pytest.raises(DataError, match=r"resumed\.parts was begun with demonstrations"):
        generated(out, Sources(demos.path, "random"))
    assert generated(out, Sources(demos.path)).checksums == whole.checksums
    assert not parts.exists()


def other_seed(episode: Episode) -> Episode:
    return replace(episode, seed=episode.seed + 1)


def other_action(episode: Episode) -> Episode:
    actions = episode.actions.copy()
    actions[5, 0] = -np.sign(actions[5, 0])
    return replace(episode, actions=actions)


def cut_short(episode: Episode) -> Episode:
    arrays = {name: getattr(episode, name)[:-3] for name in ("observations", "actions", "rewards")}
    return replace(episode, **arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_seed, r"episode 0 \(lift, seed 1\): its seed and actions do not give .* at tick 0"),
        (other_action, r"do not give its observations: \w+ differs by .* at tick \d"),
        (cut_short, r"episode 0 \(lift, seed 0\): its replay does not end in success"),
        (lambda e: replace(e, noise=0.1), r"none of the 3 episodes of 'lift' can be replayed"),
        (lambda e: replace(e, success=False), r"none of the 3 episodes of 'lift' can be replayed"),
        (lambda e: replace(e, task="stack"), r"no demonstrations of task 'lift'; .*some of stack"),
    ],
)
def test_demonstrations_that_are_not_their_replay_are_refused(
    demos: Dataset, tmp_path: Path, change: Callable[[Episode], Episode], message: str
) -> None:
    sources = changed(demos, tmp_path / "changed", change)
    with pytest.raises(DataError, match=message):
        generated(tmp_path / "new", sources)
    assert not list(tmp_path.glob("new*"))


def test_actions_that_went_through_a_bag_are_the_episode(demos: Dataset, tmp_path: Path) -> None:
    """A robot's units and back: the imported actions are off by some 4e-7."""
    rng = np.random.default_rng(0)

    def through_units(episode: Episode) -> Episode:
        off = rng.uniform(-4e-7, 4e-7, episode.actions.shape)
        return replace(episode, actions=(episode.actions + off).astype(np.float32))

    sources = changed(demos, tmp_path / "imported", through_units)
    library = read_library(Dataset.open(sources.path), task_of(OSC, "stack"))
    assert len(library.demonstrations) == 3


def test_other_robots_and_missing_fields_are_refused(demos: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'robosuite-iiwa': robot panda instead of iiwa, gripper"):
        generated(tmp_path / "new", Sources(demos.path), "robosuite-iiwa")
    copy = tmp_path / "copy"
    shutil.copytree(demos.path, copy)
    text = json.loads((copy / "dataset.json").read_text())
    text["schema"]["observation"][0]["name"] = "elbow"
    (copy / "dataset.json").write_text(json.dumps(text))
    with pytest.raises(DataError, match=r"not the fields of .*joint_position is missing"):
        generated(tmp_path / "new", Sources(copy))
    text["schema"]["suite"] = "my_arm"
    (copy / "dataset.json").write_text(json.dumps(text))
    with pytest.raises(DataError, match=r"'my_arm', which is none of the simulated suites \(.*"):
        generated(tmp_path / "new", Sources(copy))
    assert not list(tmp_path.glob("new*"))


def test_tasks_without_subtasks_and_roll_ins_are_refused(demos: Dataset, tmp_path: Path) -> None:
    reach = tmp_path / "reach"
    metaworld = get_suite("metaworld")
    collection.collect(metaworld, ["reach-v3"], Recipe(1, 0, 0.0), reach, 1, run=serial)
    with pytest.raises(TaskError, match=r"task 'reach-v3' of suite 'metaworld' has no subtasks"):
        generated(tmp_path / "new", Sources(reach), "metaworld", ("reach-v3",))
    arguments = SUITE, ["lift"], Recipe(2, 100, 0.0, 0.5), tmp_path / "new", 1, tmp_path
    with pytest.raises(CommandError, match="a roll-in needs an expert"):
        collection.collect(*arguments, sources=Sources(demos.path))
    assert not list(tmp_path.glob("new*"))


def test_subtasks_that_never_end_are_named(demos: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(OSC, "stack")
    monkeypatch.setattr(task, "signal", lambda name: False)
    with pytest.raises(DataError, match=r"subtask 1 of 2, relative to object_1, .*'lifted'"):
        cut(task, demos.episode(3))
    lift = Demonstration(0, cut(task_of(OSC, "lift"), demos.episode(0)))
    library, rng = Library("demos", "lift", (lift,), 0), np.random.default_rng(0)
    with pytest.raises(TaskError, match=r"'lift' have 1 segments, task 'stack' has 2 subtasks"):
        SegmentReplay(task, library, True, rng)


def test_an_attempt_ends_when_a_subtask_has_failed(demos: Dataset) -> None:
    task = task_of(OSC, "stack")
    library = read_library(demos, task)
    observation = task.reset(100)
    replay = SegmentReplay(task, library, True, np.random.default_rng(0))
    ticks = 0
    while not replay.finished:
        action = replay.act(observation)
        observation = task.step([*action[:-1], -1.0]).observation  # it never closes its hand
        ticks += 1
    assert ticks < 200
    assert len(replay.used) == 1


def test_variants_of_a_task_serve_each_other() -> None:
    class Names:
        path = Path("demos")
        task_names = ("stack-d0", "stack-three-d0", "lift")

    assert source_task(Names, "stack-d1") == "stack-d0"
    assert source_task(Names, "lift") == "lift"
    with pytest.raises(DataError, match=r"'square-d1'; there are some of stack-d0, stack-three-d0"):
        source_task(Names, "square-d1")


def test_the_command_shows_the_rate(demos: Dataset, tmp_path: Path) -> None:
    arguments = [OSC, "--tasks", "lift", "--episodes", "1", "--seed", "100", "--workers", "1"]
    arguments += ["--from-demos", str(demos.path), "--out", str(tmp_path / "new")]
    result = CliRunner().invoke(collect_command.collect, arguments, catch_exceptions=False)
    assert "generation success" in result.output
    assert Dataset.open(tmp_path / "new").provenance["parameters"]["noise"] == 0.05
