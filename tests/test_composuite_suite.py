"""Composuite's tasks: all there, of the benchmark's dimensions, split and success rules."""

from __future__ import annotations

import sys
import zlib
from itertools import product

import numpy as np
import pytest

from lram_core.errors import TaskError
from lram_core.observation import ObservationAssembler
from lram_sim.composuite_names import OBSTACLES, ROBOTS, split_task, suite_names, task_names
from lram_sim.composuite_shapes import GOALS, THINGS, placement
from lram_sim.composuite_suite import ComposuiteSuite, ComposuiteTask
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks
from lram_sim.topics import check_topics


def sample(count: int) -> list[tuple[str, str]]:
    """The combinations whose names have the lowest checksums: any, but always the same."""
    every = product(suite_names(), task_names())
    return sorted(every, key=lambda pair: zlib.crc32("/".join(pair).encode()))[:count]


@pytest.fixture(scope="module")
def tasks() -> dict[str, ComposuiteTask]:
    """One task an objective, with an object each."""
    suite = ComposuiteSuite("composuite-panda")
    names = (
        "box-none-pickplace",
        "plate-none-push",
        "hollowbox-goalwall-shelf",
        "dumbbell-objectdoor-trashcan",
    )
    return {split_task(name)[2]: suite.make(name) for name in names}


def check(suite: str, name: str) -> None:
    """Build a task; check dimensions, repeatability, and that its sensors are its observation."""
    found = get_suite(suite)
    task = found.make(name)
    rest = [0.0] * 7 + [-1.0]
    first = task.reset(7)
    assert first.shape == (93,)
    assert np.isfinite(first).all()
    sizes = {sensor: len(value) for sensor, value in task.sensors().items()}
    assert sizes == {field.name: field.size for field in found.observation_fields}
    for _ in range(5):
        result = task.step(rest)
    assert (result.failure, result.success, result.truncated) == ("", False, False)
    assembled = ObservationAssembler(found.observation_fields).assemble(task.sensors())
    np.testing.assert_array_equal(assembled, result.observation.astype(np.float32))
    assert not np.array_equal(task.reset(8), first)
    place = task.scene.data.xpos[task.scene.thing]
    shape, obstacle = split_task(name)[:2]
    for value, (low, high) in zip(place, placement(THINGS[shape], obstacle), strict=False):
        assert low <= value <= high
    np.testing.assert_array_equal(task.reset(7), first)
    for _ in range(5):
        again = task.step(rest)
    np.testing.assert_array_equal(again.observation, result.observation)
    joints, positions, velocities = task.joint_state()
    assert len(set(joints)) == len(positions) == len(velocities) == 9
    assert set(task.arm.joints) < set(joints)
    task.close()


@pytest.mark.parametrize(("suite", "name"), sample(4))
def test_a_combination(suite: str, name: str) -> None:
    """A sample of the 256; python tests/test_composuite_suite.py goes through all of them."""
    check(suite, name)


def test_the_split_is_the_papers() -> None:
    train, held_out = [], []
    for robot in ROBOTS:
        suite = get_suite(f"composuite-{robot}")
        train += [(robot, task) for task in suite.splits["train"]]
        held_out += [(robot, task) for task in suite.splits.get("heldout", [])]
        assert resolve_tasks(suite, "all") == suite.tasks()
    assert (len(train), len(held_out)) == (240, 16)
    assert len({*train, *held_out}) == 256
    assert {(robot, split_task(task)[1]) for robot, task in held_out} == {("panda", "objectwall")}


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_says_how_it_is_driven(name: str) -> None:
    suite = ComposuiteSuite(name)
    check_topics(name, suite.topics, suite.observation_fields)
    assert sum(field.size for field in suite.observation_fields) == 93
    assert (len(suite.action_fields), suite.control_rate, suite.max_episode_steps) == (8, 20, 500)
    assert suite.gripper == "rethink"
    assert suite.make("box-none-push")._env.robots[0].part_controllers["right"].kp[0] == 50.0


def place(task: ComposuiteTask, position: tuple[float, float, float]) -> None:
    """Put the object somewhere, at rest."""
    task.reset(1)
    joint = task._env.thing.joints[0]
    task._env.sim.data.set_joint_qpos(joint, np.array([*position, 1.0, 0.0, 0.0, 0.0]))
    task._env.sim.forward()


@pytest.mark.parametrize(
    ("objective", "position", "success"),
    [
        ("push", (0.1, 0.13 + 0.029, 0.84), True),
        ("push", (0.1, 0.13 + 0.031, 0.84), False),
        ("push", (0.1, 0.13, 0.901), False),
        ("shelf", (0.1, 0.135, 0.96), True),
        ("shelf", (0.1, 0.125, 0.96), False),
        ("shelf", (0.1, 0.2, 0.94), False),
        ("trashcan", (0.1, 0.18, 0.89), True),
        ("trashcan", (0.1, 0.18, 0.94), False),
        ("trashcan", (0.1, 0.27, 0.89), False),
        ("pickplace", (0.1, 0.18, 0.85), False),  # the hand is far away
    ],
)
def test_success_rules(
    tasks: dict[str, ComposuiteTask],
    objective: str,
    position: tuple[float, float, float],
    success: bool,
) -> None:
    place(tasks[objective], position)
    assert tasks[objective]._env._check_success() is success


def test_a_placed_object_counts_while_the_hand_is_near(tasks: dict[str, ComposuiteTask]) -> None:
    task = tasks["pickplace"]
    place(task, (0.1, 0.18, 0.85))
    site = task.scene.data.site_xpos[task.scene.grip_site]
    for away, success in ((0.077, True), (0.078, False)):
        site[:] = (0.1, 0.18, 0.85 + away)
        assert task._env._check_success() is success


def test_a_pushed_object_that_is_lifted_ends_the_episode(tasks: dict[str, ComposuiteTask]) -> None:
    task = tasks["push"]
    place(task, (0.1, -0.2, 1.2))
    result = task.step([0.0] * 8)
    assert (result.success, result.truncated, result.failure) == (False, True, "")
    with pytest.raises(TaskError, match="reset it first"):
        task.step([0.0] * 8)


@pytest.mark.parametrize("thing", THINGS)
def test_every_object_has_room_behind_every_obstacle(thing: str) -> None:
    for kind in OBSTACLES:
        for low, high in placement(THINGS[thing], kind):
            assert low <= high


def test_the_goal_is_where_the_object_counts(tasks: dict[str, ComposuiteTask]) -> None:
    for objective, task in tasks.items():
        x, y, z = task.scene.goal
        assert z == pytest.approx(GOALS[objective][2] - task._env.shape.bottom)
        if objective in ("push", "shelf", "trashcan"):
            place(task, (x, y, z + 0.005))
            assert task._env._check_success()


def test_unknown_names_say_what_a_task_is() -> None:
    with pytest.raises(TaskError, match=r"unknown suite 'composuite'; .*composuite-\{.*panda"):
        get_suite("composuite")
    with pytest.raises(TaskError, match=r"object \(box, dumbbell.*objective \(pickplace"):
        get_suite("composuite-jaco").make("box-none-stack")


def test_tasks_without_a_reliable_expert_are_refused() -> None:
    suite = ComposuiteSuite("composuite-panda")
    claimed = suite.splits["expert"]
    assert claimed
    assert set(claimed) < set(suite.tasks())
    hard = next(task for task in suite.tasks() if task not in claimed)
    with pytest.raises(TaskError, match=rf"'{hard}'.* has no expert.*: {claimed[0]}"):
        suite.make(hard).expert()


if __name__ == "__main__":
    chosen = sys.argv[1:] or suite_names()
    for suite_name, task_name in product(chosen, task_names()):
        print(suite_name, task_name, flush=True)
        check(suite_name, task_name)
    print(f"{len(chosen) * 64} combinations: all as declared")
