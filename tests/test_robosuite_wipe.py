"""Wiping: robosuite's rule of what is wiped, an embodiment of its own, an expert."""

from __future__ import annotations

import numpy as np
import pytest

from lram_core.errors import ContractError, TaskError
from lram_core.observation import ObservationAssembler
from lram_sim.drive import Targets
from lram_sim.robosuite_names import suite_names, wiper_names
from lram_sim.robosuite_wipe import WipeTask
from lram_sim.rollout import ExpertPolicy, run_episode
from lram_sim.suite import EVALUATION_SEED, dataset_schema
from lram_sim.suite_registry import get_suite
from lram_sim.topics import check_topics

SUITE = "robosuite-panda-wiper-osc"


@pytest.fixture(scope="module")
def task() -> WipeTask:
    return get_suite(SUITE).make("wipe")


def test_what_is_wiped_is_what_robosuite_counts(task: WipeTask) -> None:
    env = task._env
    observation, expert = task.reset(3), task.attempt()
    marks = env.model.mujoco_arena.markers
    counts = set()
    for _ in range(60):
        observation = task.step(expert.act(observation)).observation
        env.reward()  # counts the marks that are wiped now
        wiped = {mark.root_body for mark in env.wiped_markers}
        ours = {
            mark.root_body for mark, left in zip(marks, task.scene.left, strict=True) if not left
        }
        assert ours == wiped
        radius, centroid, _ = env._get_wipe_information()
        sensors = task.sensors()
        np.testing.assert_allclose(sensors["marks_centroid"], centroid, atol=1e-12)
        assert sensors["marks_radius"][0] == pytest.approx(radius)
        assert sensors["marks_left"][0] == pytest.approx(1 - len(wiped) / 100)
        assert not task.scene.stopped
        assert not env._check_terminated()
        counts.add(len(wiped))
    assert len(counts) > 5


def test_an_episode_depends_on_the_seed_alone(task: WipeTask) -> None:
    """Also: the sensors are the observation; the marks are there again."""
    assembler = ObservationAssembler(task.observation_fields)
    found = []
    for seed in (7, 8, 7):
        first, expert = task.reset(seed), task.attempt()
        assert task.scene.left.all()
        assert (task.model.geom_rgba[task.scene._dirt, 3] == 1.0).all()
        observation = first
        for _ in range(30):
            observation = task.step(expert.act(observation)).observation
        np.testing.assert_array_equal(
            assembler.assemble(task.sensors()), observation.astype(np.float32)
        )
        found.append(np.concatenate((first, observation)))
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_a_joint_at_its_limit_ends_the_episode(task: WipeTask) -> None:
    task.reset(1)
    assert not task.step(np.zeros(6)).truncated
    task.data.qpos[task.scene.arm_qpos[3]] = task.scene.arm_range[3, 1] - 0.02
    result = task.step(np.zeros(6))
    assert task._env._check_terminated()
    assert (result.truncated, result.success, result.failure) == (True, False, "")
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(6))
    task.reset(1)
    assert not task.step(np.zeros(6)).truncated


def test_expert_wipes_all_marks() -> None:
    found = get_suite("robosuite-panda-wiper").make("wipe")
    record = run_episode(found, ExpertPolicy(found), EVALUATION_SEED + 1)
    assert record.success
    assert record.total_reward == 1.0
    assert found.sensors()["marks_left"] == [0.0]
    found.close()


@pytest.mark.parametrize("name", wiper_names())
def test_every_suite_declares_an_arm_without_a_gripper(name: str) -> None:
    suite = get_suite(name)
    check_topics(name, suite.topics, suite.observation_fields)
    assert suite.gripper == "wiping"
    arm = len(suite.arm.joints) if suite.mode == "joint" else 6
    assert len(suite.action_fields) == arm
    assert "gripper" not in {field.name for field in suite.action_fields}
    dataset_schema(suite).contract({"default": 1.0}, context=50)
    assert len(suite.drive.steps) == arm
    targets = Targets(suite.drive, suite.action_fields)
    with pytest.raises(ContractError, match="the tool of this suite does not move"):
        targets.gripper(0.0)
    if suite.mode == "joint":
        targets.positions(np.full(arm, 0.6))
        action = targets.action(dict.fromkeys(suite.drive.joints, 0.575))
        np.testing.assert_allclose(action, np.full(arm, 0.5))


def test_wiping_and_gripping_are_found_in_their_own_suites() -> None:
    for name in suite_names():
        wiper = name.replace("-osc", "") + "-wiper" + ("-osc" if "osc" in name else "")
        with pytest.raises(TaskError, match=f"gripper of its own.* suite '{wiper}'"):
            get_suite(name).make("wipe")
        with pytest.raises(TaskError, match=f"unknown task 'lift'.*available: wipe.*'{name}'"):
            get_suite(wiper).make("lift")
