"""Meta-World as a suite: repeatable, and its sensors are its observation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from metaworld.env_dict import ALL_V3_ENVIRONMENTS

from lram_core.contract import PolicyContract
from lram_core.errors import TaskError
from lram_core.observation import ObservationAssembler
from lram_sim.metaworld import MetaworldSuite, policy_contract
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks

SUITE = MetaworldSuite()
TICKS = 25
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (TICKS, 4))


@pytest.mark.parametrize("name", SUITE.tasks())
def test_an_episode_depends_on_task_and_seed_alone(name: str) -> None:
    """Also: no history in the observation but the previous frame, sensors equal observation."""
    fresh, used = SUITE.make(name), SUITE.make(name)
    for seed in (3, 4):
        used.reset(seed)
        np.random.seed(seed)  # the generator Meta-World draws from by default
        for action in ACTIONS[::-1]:
            used.step(action)
    first, again = fresh.reset(7), used.reset(7)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[18:36], first[:18])
    assembler = ObservationAssembler(fresh.observation_fields)
    previous = first
    np.testing.assert_array_equal(assembler.assemble(fresh.sensors()), first.astype(np.float32))
    expert = fresh.expert()
    for noise in ACTIONS:
        action = 0.7 * expert.act(previous) + 0.3 * noise
        result, other = fresh.step(action), used.step(action)
        np.testing.assert_array_equal(result.observation, other.observation)
        assert (result.reward, result.success) == (other.reward, other.success)
        np.testing.assert_array_equal(result.observation[18:36], previous[:18])
        np.testing.assert_array_equal(result.observation[36:], previous[36:])
        np.testing.assert_array_equal(
            np.concatenate(list(fresh.sensors().values())),
            result.observation[[*range(18), 36, 37, 38]],
        )
        np.testing.assert_array_equal(
            assembler.assemble(fresh.sensors()), result.observation.astype(np.float32)
        )
        previous = result.observation
    assert not np.array_equal(fresh.reset(8), first)
    fresh.close()
    used.close()


@pytest.mark.parametrize(
    "name", ["assembly-v3", "basketball-v3", "box-close-v3", "door-open-v3", "pick-place-v3"]
)
def test_numbers_equal_those_of_a_new_metaworld_environment(name: str) -> None:
    task = SUITE.make(name)
    observation = task.reset(21)
    env = ALL_V3_ENVIRONMENTS[name]()
    env._partially_observable = False
    del env.sawyer_observation_space
    env._set_task_called = True
    env._freeze_rand_vec = True
    env._last_rand_vec = task._env._last_rand_vec.copy()
    reference, _ = env.reset()
    np.testing.assert_array_equal(observation, reference)
    expert = task.expert()
    for _ in range(80):
        action = expert.act(observation)
        result = task.step(action)
        reference, reward, _, _, info = env.step(action)
        np.testing.assert_array_equal(result.observation, reference)
        assert result.reward == reward
        assert result.success == bool(info["success"])
        observation = result.observation


def test_goals_are_visible_and_come_from_the_whole_reset_space() -> None:
    task = SUITE.make("reach-v3")
    goals = np.array([task.reset(seed)[36:] for seed in range(60)])
    space = task._env.goal_space
    assert len(np.unique(goals, axis=0)) == 60
    assert (goals >= space.low).all()
    assert (goals <= space.high).all()
    assert (np.ptp(goals, axis=0) > 0.85 * (space.high - space.low)).all()


def test_an_episode_is_cut_at_the_step_limit() -> None:
    task = SUITE.make("drawer-open-v3")
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(4))
    task.reset(0)
    results = [task.step(np.zeros(4)) for _ in range(task.max_episode_steps)]
    assert [r.truncated for r in results] == [False] * 499 + [True]
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(4))


def test_actions_are_clipped_and_checked() -> None:
    task = SUITE.make("reach-v3")
    task.reset(1)
    far = task.step([5.0, -7.0, 3.0, 2.0]).observation
    task.reset(1)
    np.testing.assert_array_equal(far, task.step([1.0, -1.0, 1.0, 1.0]).observation)
    for wrong in ([0.0, 0.0, 0.0], [0.0, np.nan, 0.0, 0.0]):
        with pytest.raises(TaskError, match="4 finite action values"):
            task.step(wrong)


def test_an_unstable_simulation_ends_the_episode_with_its_reason() -> None:
    task = SUITE.make("reach-v3")
    task.reset(1)
    sound = task.step(np.zeros(4)).observation
    task.data.qvel[0] = 1e12
    result = task.step(np.zeros(4))
    assert (result.reward, result.success, result.truncated) == (0.0, False, True)
    assert result.failure == "the simulation became unstable (BADQVEL)"
    np.testing.assert_array_equal(result.observation, sound)
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(4))
    task.reset(1)
    assert task.step(np.zeros(4)).failure == ""


def test_expert_leaves_the_observation_alone_and_stays_within_limits() -> None:
    """The door policies of Meta-World shift the handle in the array they are given."""
    for name in ("door-open-v3", "door-close-v3"):
        task = SUITE.make(name)
        observation = task.reset(0)
        kept = observation.copy()
        action = task.expert().act(observation)
        np.testing.assert_array_equal(observation, kept)
        assert np.abs(action).max() <= 1
        np.testing.assert_array_equal(action, action.astype(np.float32))


def test_experts_are_silent() -> None:
    task = SUITE.make("reach-v3")
    observation = task.reset(0)
    with warnings.catch_warnings(record=True) as caught:
        task.expert().act(observation)
    assert not caught


def test_joint_state_is_that_of_the_arm() -> None:
    task = SUITE.make("stick-push-v3")
    task.reset(0)
    names, position, velocity = task.joint_state()
    assert names == tuple(f"right_j{i}" for i in range(7))
    before = position.copy()
    for _ in range(10):
        task.step([1.0, 0.0, 0.0, 0.0])
    assert velocity.shape == (7,)
    assert not np.array_equal(task.joint_state()[1], before)
    np.testing.assert_array_equal(position, before)


def test_splits_of_the_benchmark() -> None:
    assert len(SUITE.tasks()) == len(SUITE.splits["mt50"]) == 50
    assert len(SUITE.splits["ml45-train"]) == 45
    assert sorted(SUITE.splits["ml45-test"]) == [
        "bin-picking-v3",
        "box-close-v3",
        "door-lock-v3",
        "door-unlock-v3",
        "hand-insert-v3",
    ]
    assert resolve_tasks(SUITE, "reach-v3, ml45-test,reach-v3")[:2] == [
        "reach-v3",
        "bin-picking-v3",
    ]
    assert len(resolve_tasks(SUITE, "ml45-train,ml45-test")) == 50


def test_unknown_names_list_what_there_is() -> None:
    with pytest.raises(TaskError, match=r"unknown suite 'atari'; available: .*metaworld"):
        get_suite("atari")
    with pytest.raises(
        TaskError, match=r"unknown task 'reach'.*nearest: reach-v3.*tasks: assembly"
    ):
        SUITE.make("reach")
    with pytest.raises(TaskError, match=r"unknown task 'reach'.*splits: .*ml45-train"):
        resolve_tasks(SUITE, "reach")
    with pytest.raises(TaskError, match="no task given"):
        resolve_tasks(SUITE, " ,")
    with pytest.raises(TaskError, match="seed -1"):
        SUITE.make("reach-v3").reset(-1)


def test_policy_contract() -> None:
    contract = policy_contract({"default": 1500.0, "reach-v3": 1800.0}, context=50)
    assert contract.observation_size == 39
    assert contract.action_names == ["ee_dx", "ee_dy", "ee_dz", "gripper"]
    assert contract.target_return("reach-v3") == 1800
    assert contract.reward.scale == 200
    assert list(contract.sensors) == list(_sensors_of_a_task())
    assert PolicyContract.from_dict(contract.to_dict()) == contract
    with pytest.raises(TaskError, match="unknown reach"):
        policy_contract({"default": 1.0, "reach": 2.0}, context=50)


def _sensors_of_a_task() -> dict[str, np.ndarray]:
    task = SUITE.make("reach-v3")
    task.reset(0)
    return task.sensors()
