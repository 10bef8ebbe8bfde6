"""Scripted experts solve what they claim, in both action spaces, and pick up after a push."""

from __future__ import annotations

import numpy as np
import pytest

from lram_sim.demonstrate import Recipe, demonstrate
from lram_sim.robosuite_kinematics import InverseKinematics
from lram_sim.robosuite_target import CLOSE, Target
from lram_sim.rollout import ExpertPolicy, run_episode
from lram_sim.rotations import rotation_vector
from lram_sim.suite import EVALUATION_SEED
from lram_sim.suite_registry import get_suite


@pytest.mark.parametrize(
    ("suite", "task"),
    [
        ("robosuite-panda", "lift"),
        ("robosuite-panda", "stack"),
        ("robosuite-panda-osc", "pick-place-can"),
        ("robosuite-panda-osc", "nut-assembly-square"),
        ("robosuite-panda-osc", "door"),
        ("robosuite-iiwa", "lift"),
        ("robosuite-jaco", "lift"),
    ],
)
def test_expert_succeeds(suite: str, task: str) -> None:
    found = get_suite(suite).make(task)
    record = run_episode(found, ExpertPolicy(found), EVALUATION_SEED + 1)
    assert record.success
    assert record.total_reward == 1.0
    assert np.abs(record.actions).max() <= 1
    np.testing.assert_array_equal(record.actions, record.actions.astype(np.float32))
    found.close()


def test_expert_takes_what_it_has_lost_again() -> None:
    task = get_suite("robosuite-panda-osc").make("lift")
    observation = task.reset(3)
    expert = task.expert()
    lost = False
    for _ in range(200):
        action = expert.act(observation)
        result = task.step(action)
        observation = result.observation
        if not lost and expert._plan.grip.held:
            for _ in range(12):  # the hand opens and is dragged aside
                result = task.step([0.0, 1.0, 0.3, 0.0, 0.0, 0.0, -1.0])
            observation, lost = result.observation, True
            assert not result.success
        if result.success:
            break
    assert lost
    assert result.success


def test_demonstrations_are_repeatable_and_labelled_by_the_expert() -> None:
    task = get_suite("robosuite-panda-osc").make("lift")
    recipe = Recipe(episodes=3, seed=11, noise=0.2)
    first, tally = demonstrate(task, range(3), recipe)
    again, _ = demonstrate(task, range(2, 3), recipe)
    assert tally.collected == 3
    np.testing.assert_array_equal(first[2].observations, again[0].observations)
    np.testing.assert_array_equal(first[2].actions, again[0].actions)
    assert first[0].observations.shape[1] == 39
    assert {episode.rewards.sum() for episode in first} == {1.0}


@pytest.mark.parametrize("robot", ["panda", "ur5e", "kinova3"])
def test_inverse_kinematics_reaches_a_pose_nearby(robot: str) -> None:
    task = get_suite(f"robosuite-{robot}").make("lift")
    task.reset(0)
    scene = task.scene
    start = scene.arm_positions()
    solver = InverseKinematics(scene, start)
    turn = scene.data.site_xmat[scene.grip_site].reshape(3, 3).copy()
    place = scene.data.site_xpos[scene.grip_site] + [0.06, 0.08, -0.05]
    q = solver.solve(start, Target(place, turn, CLOSE))
    assert solver.miss(q, Target(place, turn, CLOSE)) < 2e-3
    far = solver.solve(start, Target(place + np.array([9.0, 0, 0]), turn, CLOSE))
    low, high = scene.arm_range.T
    assert ((far >= low) & (far <= high)).all()


def test_rotation_vector_is_the_inverse_of_the_exponential() -> None:
    angle = 0.7
    turn = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    np.testing.assert_allclose(rotation_vector(turn), [angle, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rotation_vector(np.eye(3)), 0, atol=1e-12)
