"""The expert of Composuite: compiled kinematics, paths that touch nothing, grasps from the side."""

from __future__ import annotations

from itertools import pairwise

import mujoco
import numpy as np
import pytest

from lram_sim.composuite_drag import Drag
from lram_sim.composuite_grasps import WIDTHS, grasps, lowest
from lram_sim.composuite_planner import Planner, length
from lram_sim.composuite_planning_scene import Grip, Pose
from lram_sim.composuite_shapes import THINGS
from lram_sim.composuite_suite import ComposuiteSuite, ComposuiteTask
from lram_sim.rotations import rotation
from lram_sim.suite import EVALUATION_SEED

TASKS = {"panda": "box-objectwall-trashcan", "jaco": "dumbbell-none-push"}


@pytest.fixture(scope="module")
def tasks() -> dict[str, ComposuiteTask]:
    return {
        robot: ComposuiteSuite(f"composuite-{robot}").make(name) for robot, name in TASKS.items()
    }


@pytest.fixture(params=sorted(TASKS))
def planner(request: pytest.FixtureRequest, tasks: dict[str, ComposuiteTask]) -> Planner:
    task = tasks[request.param]
    task.reset(3)
    return Planner(task.scene)


def test_kinematics_are_mujocos(planner: Planner) -> None:
    scene, simulation = planner.scene, planner.scene._scene
    data = mujoco.MjData(simulation.model)
    draws = np.random.default_rng(0).uniform(-0.6, 0.6, (10, 7))
    for q in np.clip(scene.home + draws, *simulation.arm_range.T):
        data.qpos[simulation.qpos] = q
        mujoco.mj_kinematics(simulation.model, data)
        hand = scene.hand(q)
        np.testing.assert_allclose(hand.position, data.site_xpos[simulation.grip_site], atol=1e-12)
        np.testing.assert_allclose(
            hand.turn.reshape(-1), data.site_xmat[simulation.grip_site], atol=1e-12
        )


def test_inverse_kinematics_end_at_the_pose(planner: Planner) -> None:
    scene = planner.scene
    start = scene.hand(scene.home)
    turn = rotation(np.array([0.3, 0.0, 0.4])) @ start.turn
    goal = Pose(start.position + np.array([0.1, -0.1, -0.05]), turn)
    q = scene.reach(scene.home, goal)
    assert q is not None
    found = scene.hand(q)
    np.testing.assert_allclose(found.position, goal.position, atol=1e-3)
    np.testing.assert_allclose(found.turn, goal.turn, atol=1e-2)
    assert scene.reach(scene.home, goal.moved(np.array([5.0, 0, 0]))) is None


def test_a_path_leads_around_a_wall(tasks: dict[str, ComposuiteTask]) -> None:
    """From the robot's side of the wall to the object's, both below its top."""
    task = tasks["panda"]
    task.reset(3)
    planner = Planner(task.scene)
    scene = planner.scene
    down = scene.hand(scene.home).turn
    ends = [scene.reach(scene.home, Pose(np.array([x, -0.26, 1.0]), down)) for x in (-0.1, 0.12)]
    a, b = ends
    assert a is not None
    assert b is not None
    assert scene.clear(a)
    assert scene.clear(b)
    assert not planner.straight(a, b)
    path = planner.path(a, b)
    assert path is not None
    assert len(path) > 1
    for first, last in zip([a, *path], path, strict=False):
        for share in np.linspace(0, 1, 50):
            assert scene.clear(first + share * (last - first))


def test_where_the_time_runs_out_a_path_gets_shorter(tasks: dict[str, ComposuiteTask]) -> None:
    """From behind the wall to above the trashcan, by random trees, and still touching nothing."""
    task = tasks["panda"]
    task.reset(3)
    planner = Planner(task.scene)
    scene = planner.scene
    down = scene.hand(scene.home).turn
    places = ((0.12, -0.26, 0.95), (0.1, 0.18, 1.1))
    a, b = (scene.reach(scene.home, Pose(np.array(place), down)) for place in places)
    assert a is not None
    assert b is not None
    path = planner._tree(a, b, None)
    assert path is not None
    short = planner.shortest(a, path)
    np.testing.assert_array_equal(short[-1], b)
    assert np.abs(b - a).max() <= length(a, short) < length(a, path)
    for first, last in pairwise([a, *short]):
        assert planner.straight(first, last)


def test_odd_grasps_reach_what_the_usual_ones_do_not(tasks: dict[str, ComposuiteTask]) -> None:
    """In the corner behind the wall the arm's links are in the way of the usual ones."""
    task = tasks["panda"]
    task.reset(EVALUATION_SEED + 14)
    expert = task.attempt()
    plans, scene = expert._plans, expert._plans._scene
    plans.begin(0)
    scene.watch(WIDTHS["box"])
    place, turn = expert._place()
    found = {odd: plans._approaches(scene.now(), place, turn, odd) for odd in (False, True)}
    assert not found[False]
    assert found[True]
    usual, odd = (grasps("box", place, turn, odd) for odd in (False, True))
    assert len(odd) > 2 * len(usual)


def test_what_lies_too_high_is_not_dragged(tasks: dict[str, ComposuiteTask]) -> None:
    task = tasks["jaco"]
    task.reset(3)
    expert = task.attempt()
    plans, scene = expert._plans, expert._plans._scene
    plans.begin(0)
    grip = Grip(np.zeros(3), scene.hand(scene.home).turn.T)
    assert scene.clear(scene.home, grip)
    plans.taken_from = np.array([0.1, -0.26, 0.892])
    assert plans._dragged(scene.home, grip, 60) is None


def test_a_dragged_object_stays_low(tasks: dict[str, ComposuiteTask]) -> None:
    """Across the bin behind a wall; the arm comes over the wall."""
    task = tasks["panda"]
    task.reset(3)
    scene = Planner(task.scene).scene
    scene.watch(WIDTHS["box"])
    down = scene.hand(scene.home).turn
    grip = Grip(np.zeros(3), down.T)
    ways = scene.postures(scene.home, Pose(np.array([0.2, -0.32, 0.87]), down))
    start = next(q for q in ways if scene.clear(q, grip))
    heights = 0.857, 0.893
    goal = np.array([0.12, -0.14])
    path = Drag(scene, grip, heights, np.random.default_rng(0)).path(start, goal, 600)
    assert path is not None
    for first, last in zip([start, *path], path, strict=False):
        for share in np.linspace(0, 1, 5):
            q = first + share * (last - first)
            assert scene.clear(q, grip)
            # Between two postures the height sags by less than a millimetre.
            assert heights[0] - 1e-3 < scene.hand(q).position[2] < heights[1] + 1e-3
    np.testing.assert_allclose(scene.hand(path[-1]).position[:2], goal, atol=1e-3)


@pytest.mark.parametrize(
    ("thing", "bottom", "top"),
    [
        ("box", -0.03, 0.03),
        ("dumbbell", -0.0485, 0.0485),
        ("plate", -0.02, 0.027),
        ("hollowbox", -0.008, 0.06),
    ],
)
def test_lowest_point_of_a_turned_object(thing: str, bottom: float, top: float) -> None:
    """The benchmark's own figures leave up to 8 mm of air around some shapes."""
    shape = THINGS[thing]
    assert lowest(thing, np.eye(3)) == pytest.approx(bottom)
    assert -lowest(thing, rotation(np.array([np.pi, 0, 0]))) == pytest.approx(top)
    assert shape.bottom <= bottom < top <= shape.top


@pytest.mark.parametrize(
    ("robot", "name", "seed"),
    [("panda", "box-none-pickplace", 0), ("panda", "dumbbell-none-shelf", 1)],
)
def test_the_expert_succeeds_the_same_way_each_time(robot: str, name: str, seed: int) -> None:
    task = ComposuiteSuite(f"composuite-{robot}").make(name)
    runs = []
    for _ in range(2):
        observation, actions = task.reset(seed), []
        expert = task.attempt()
        for _ in range(task.max_episode_steps):
            actions.append(expert.act(observation))
            result = task.step(actions[-1])
            observation = result.observation
            if result.success:
                break
        assert result.success
        runs.append(np.array(actions))
    np.testing.assert_array_equal(*runs)
    assert np.abs(runs[0]).max() <= 1.0
    np.testing.assert_array_equal(runs[0], runs[0].astype(np.float32))


def test_the_expert_begins_again_when_the_object_is_elsewhere() -> None:
    task = ComposuiteSuite("composuite-panda").make("box-none-push")
    observation = task.reset(2)
    expert = task.attempt()
    for tick in range(task.max_episode_steps):
        if tick == 40:
            joint = task._env.thing.joints[0]
            place = np.array([0.12, -0.2, 0.85, 1.0, 0.0, 0.0, 0.0])
            task._env.sim.data.set_joint_qpos(joint, place)
        result = task.step(expert.act(observation))
        observation = result.observation
        if result.success:
            break
    assert result.success
