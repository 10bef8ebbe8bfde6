"""The MimicGen tasks: starts in their ranges, solved and unsolved states told apart, one layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.errors import TaskError
from lram_core.observation import ObservationAssembler
from lram_sim.mimicgen_claims import CLAIMED
from lram_sim.mimicgen_names import VARIANTS, split_name, split_task, suite_names, task_names
from lram_sim.mimicgen_rules import TABLE
from lram_sim.mimicgen_shapes import (
    DRAWER_FLOOR,
    FOOT_TOP,
    NEEDLE_TIP,
    RING_HEIGHT,
    SOCKET_FLOOR,
)
from lram_sim.mimicgen_starts import draw
from lram_sim.mimicgen_suite import MimicgenSuite, MimicgenTask, finger_names
from lram_sim.mimicgen_tasks import SPECS
from lram_sim.robosuite_env import ARMS, build_env
from lram_sim.robosuite_scene import finger_name
from lram_sim.rollout import run_episode
from lram_sim.subtasks import SUCCESS, Decomposed
from lram_sim.suite import EVALUATION_SEED, Task
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks
from lram_sim.topics import check_topics

SUITE = "mimicgen-panda-osc"
WIDEST = {kind: f"{kind}-{variants[-1]}" for kind, variants in VARIANTS.items()}


@pytest.fixture(scope="module")
def tasks() -> Iterator[Callable[[str], MimicgenTask]]:
    """Return kind → task in its widest variant; each is built once."""
    suite, made = MimicgenSuite(SUITE), {}

    def find(kind: str) -> MimicgenTask:
        if kind not in made:
            made[kind] = suite.make(WIDEST[kind])
        return made[kind]

    yield find
    for task in made.values():
        task.close()


@pytest.mark.parametrize(
    "name", [name for name in task_names() if SPECS[split_task(name)[0]].bodies]
)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**63 - 1))
def test_starts_are_in_range_and_apart(name: str, seed: int) -> None:
    kind, variant = split_task(name)
    bodies, ranges = SPECS[kind].bodies, SPECS[kind].variants[variant]
    assert set(ranges) == {body.name for body in bodies}
    places = draw(np.random.default_rng(seed), bodies, ranges)
    for body, place in zip(bodies, places, strict=True):
        spread = ranges[body.name]
        for value, (low, high) in zip(place, (spread.x, spread.y, spread.turn), strict=True):
            assert low <= value <= high
    for i, (x, y, _) in enumerate(places):
        for j in range(i):
            room = bodies[i].radius + bodies[j].radius
            assert np.hypot(x - places[j][0], y - places[j][1]) > room


@pytest.mark.parametrize("kind", VARIANTS)
def test_a_task(tasks: Callable[[str], MimicgenTask], kind: str) -> None:
    """It resets by its seed into its ranges, stays at rest, and its sensors are its observation."""
    task, suite = tasks(kind), get_suite(SUITE)
    rest = [0.0] * 6 + [-1.0]
    first = task.reset(7)
    spec = SPECS[kind]
    for body in spec.bodies:
        spread = spec.variants[split_task(task.name)[1]][body.name]
        x, y, _ = task.data.body(body.name).xpos
        assert spread.x[0] <= x <= spread.x[1]
        assert spread.y[0] <= y <= spread.y[1]
    assert not task.succeeded()
    assert not any(task.signal(subtask.ends) for subtask in task.subtasks)
    starts = {body.name: task.data.body(body.name).xpos.copy() for body in spec.bodies}
    for _ in range(8):
        result = task.step(rest)
    assert (result.reward, result.success, result.failure) == (0.0, False, "")
    for name, start in starts.items():  # nothing falls over or is pushed out of something else
        assert np.linalg.norm(task.data.body(name).xpos - start) < 0.004
    assembled = ObservationAssembler(suite.observation_fields).assemble(task.sensors())
    np.testing.assert_array_equal(assembled, result.observation.astype(np.float32))
    assert not np.array_equal(task.reset(8), first)
    np.testing.assert_array_equal(task.reset(7), first)
    for _ in range(8):
        again = task.step(rest)
    np.testing.assert_array_equal(again.observation, result.observation)
    assert task.max_episode_steps == spec.horizon <= suite.max_episode_steps


def put(task: Task, name: str, position: object, turn: object = (1.0, 0.0, 0.0, 0.0)) -> None:
    """Place a free body: position (3,) and quaternion, w first."""
    body = task.model.body(name).id
    address = task.model.jnt_qposadr[task.model.body_jntadr[body]]
    task.data.qpos[address : address + 7] = [*np.asarray(position), *np.asarray(turn)]


def solve(task: MimicgenTask) -> None:
    """Place everything as in a solved task."""
    kind = split_task(task.name)[0]
    world, data = task.scene.world, task.data
    up = np.array([0.0, 0.0, 1.0])

    def inside(other: str, height: float) -> tuple[np.ndarray, np.ndarray]:
        return world.position(other) + height * up, world.quaternion(other)

    if kind.startswith("stack"):
        put(task, "cube_a", world.position("cube_b") + 0.0448 * up)
        if kind == "stack-three":
            put(task, "cube_c", world.position("cube_b") + 0.0846 * up)
    elif kind == "square":
        put(task, "nut", *inside("peg", 0.02))
    elif kind == "threading":
        ring = world.position("tripod") + RING_HEIGHT * up
        along = world.axes("tripod")[:, 0]
        put(task, "needle", ring - (NEEDLE_TIP - 0.03) * along, world.quaternion("tripod"))
    elif kind == "three-piece-assembly":
        put(task, "piece_1", *inside("base", SOCKET_FLOOR))
        put(task, "piece_2", *inside("base", SOCKET_FLOOR + FOOT_TOP))
    elif kind == "coffee":
        put(task, "pod", *inside("holder", 0.0))
        data.joint("lid_joint").qpos[:] = 0.1
    elif kind == "mug-cleanup":
        put(task, "mug", *inside("drawer", DRAWER_FLOOR))
    elif kind == "nut-assembly":
        for shape in ("square", "round"):
            place = world.position(f"{shape}_peg")
            put(task, f"{shape.title()}Nut_main", [*place[:2], 0.84])
    else:
        for index, name in enumerate(("Milk", "Bread", "Cereal", "Can")):
            put(task, f"{name}_main", task.bin_placement(index) + 0.05 * up)
    mujoco.mj_forward(task.model, data)


@pytest.mark.parametrize("kind", VARIANTS)
def test_a_solved_state_is_success_and_part_of_it_is_not(
    tasks: Callable[[str], MimicgenTask], kind: str
) -> None:
    task = tasks(kind)
    task.reset(1)
    assert not task.signal(SUCCESS)
    solve(task)
    assert task.succeeded() is True  # and no numpy.bool_, which counts become int64 by
    assert task.signal(SUCCESS)
    undo = {
        "stack": "cube_a",
        "stack-three": "cube_a",
        "square": "nut",
        "threading": "needle",
        "three-piece-assembly": "piece_2",
        "coffee": "pod",
        "mug-cleanup": "mug",
        "nut-assembly": "RoundNut_main",
        "pick-place": "Bread_main",
    }[kind]
    put(task, undo, task.data.body(undo).xpos + np.array([0.0, 0.05, 0.12]))
    mujoco.mj_forward(task.model, task.data)
    assert not task.succeeded()


def test_what_moves_must_be_closed(tasks: Callable[[str], MimicgenTask]) -> None:
    for kind, joint, open_by in (
        ("coffee", "lid_joint", 0.3),
        ("mug-cleanup", "drawer_joint", 0.02),
    ):
        task = tasks(kind)
        task.reset(1)
        solve(task)
        assert task.succeeded()
        task.data.joint(joint).qpos[:] = open_by
        mujoco.mj_forward(task.model, task.data)
        assert not task.succeeded()


def test_a_needle_beside_the_ring_is_not_threaded(tasks: Callable[[str], MimicgenTask]) -> None:
    task = tasks("threading")
    task.reset(1)
    solve(task)
    place = task.data.body("needle").xpos.copy()
    along = task.scene.world.axes("tripod")[:, 0]
    for way, success in ((0.03 * along, True), (-0.02 * along, False), ([0, 0, 0.02], False)):
        put(task, "needle", place + way, task.scene.world.quaternion("tripod"))
        mujoco.mj_forward(task.model, task.data)
        assert task.succeeded() is success


@pytest.mark.parametrize("kind", VARIANTS)
def test_subtasks_are_declared(tasks: Callable[[str], MimicgenTask], kind: str) -> None:
    task = tasks(kind)
    task.reset(2)
    assert isinstance(task, Decomposed)
    poses = task.object_poses()
    assert {subtask.object for subtask in task.subtasks} <= set(poses)
    for pose in poses.values():
        assert np.linalg.norm(pose.orientation) == pytest.approx(1.0)
    ends = [subtask.ends for subtask in task.subtasks]
    assert ends[-1] == SUCCESS
    assert set(ends[:-1]) <= set(task.spec.signals)
    with pytest.raises(TaskError, match=rf"no signal 'lifted'; available: .*{SUCCESS}"):
        task.signal("lifted")


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_says_how_it_is_driven(name: str) -> None:
    suite = get_suite(name)
    check_topics(name, suite.topics, suite.observation_fields)
    sizes = {field.name: field.size for field in suite.observation_fields}
    objects = sum(size for field, size in sizes.items() if field.startswith("object_"))
    assert objects == 57  # MimicGen's largest: four poses in the world and in the hand, a joint
    assert len(suite.action_fields) == (7 if name.endswith("-osc") else len(suite.arm.joints) + 1)
    assert resolve_tasks(suite, "all") == suite.tasks()
    assert len(suite.tasks()) == 20
    assert set(suite.splits["expert"]) <= set(suite.tasks())
    assert set(CLAIMED) <= set(suite_names())


@pytest.mark.parametrize("robot", ["panda", "sawyer", "ur5e"])
def test_fingers_are_robosuites(robot: str) -> None:
    arm = ARMS[robot]
    joints = build_env("lift", arm, "osc").robots[0].gripper["right"].joints
    assert finger_names(arm) == tuple(finger_name(arm, name) for name in joints)


def test_the_table_is_where_the_rules_think(tasks: Callable[[str], MimicgenTask]) -> None:
    task = tasks("stack")
    task.reset(0)
    assert task.data.site("table_top").xpos[2] == pytest.approx(TABLE)


def test_names() -> None:
    assert split_name("mimicgen-ur5e-osc") == ("ur5e", "osc")
    assert split_name("mimicgen-panda") == ("panda", "joint")
    suite = get_suite("mimicgen-panda")
    assert suite.splits["heldout"] == ["threading-d2", "three-piece-assembly-d2"]
    assert "heldout" not in get_suite("mimicgen-iiwa").splits
    with pytest.raises(TaskError, match=r"unknown task 'stack'.*tasks: .*stack-d0"):
        suite.make("stack")


class Attempt:
    """A task's expert as a policy, claimed or not."""

    def __init__(self, task: MimicgenTask) -> None:
        self._task = task

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        self._expert = self._task.attempt()

    def act(self, observation: np.ndarray, reward: float) -> object:
        class Values:
            values = self._expert.act(observation)

        return Values


@pytest.mark.parametrize("name", ["stack-d0", "coffee-d0"])
def test_expert_succeeds_and_raises_the_signals_in_order(name: str) -> None:
    task, order = MimicgenSuite(SUITE).make(name), []

    class Watched(Attempt):
        def act(self, observation: np.ndarray, reward: float) -> object:
            for subtask in task.subtasks:
                if subtask.ends not in order and task.signal(subtask.ends):
                    order.append(subtask.ends)
            return super().act(observation, reward)

    record = run_episode(task, Watched(task), EVALUATION_SEED + 1)
    assert record.success
    assert record.total_reward == 1.0
    assert [*order, SUCCESS] == [subtask.ends for subtask in task.subtasks]
    assert np.abs(record.actions).max() <= 1
    np.testing.assert_array_equal(record.actions, record.actions.astype(np.float32))
    task.close()


def test_a_task_without_a_reliable_expert_is_refused(
    tasks: Callable[[str], MimicgenTask],
) -> None:
    claimed = CLAIMED[SUITE]
    kind = next(kind for kind, name in WIDEST.items() if name not in claimed)
    with pytest.raises(TaskError, match=rf"'{WIDEST[kind]}'.* has no expert.*: {claimed[0]}"):
        tasks(kind).expert()
