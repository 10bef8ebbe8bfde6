"""The shipped bundles of several embodiments do with each what they were trained for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lram_core.embodiments import of_suite
from lram_core.policy import Policy
from lram_sim.rollout import check_contract, run_episode
from lram_sim.suite import EVALUATION_SEED, reference_returns
from lram_sim.suite_registry import get_suite
from lram_sim.summaries import Outcome

MODELS = Path(__file__).parents[1] / "models"


def episodes(bundle: str, suite_name: str, task_name: str, count: int) -> list[Outcome]:
    suite = get_suite(suite_name)
    policy = Policy.load(str(MODELS / bundle), embodiment=of_suite(suite.name))
    check_contract(policy.contract, suite)
    task = suite.make(task_name)
    return [run_episode(task, policy, EVALUATION_SEED + n) for n in range(count)]


@pytest.mark.parametrize(
    ("bundle", "suite", "task"),
    [
        ("robosuite-arms", "robosuite-panda", "lift"),
        ("robosuite-arms", "robosuite-iiwa", "lift"),
        ("robosuite-arms", "robosuite-ur5e", "lift"),
        ("three-domains", "robosuite-panda", "lift"),
        ("three-domains", "metaworld", "drawer-open-v3"),
    ],
)
def test_each_arm_succeeds(bundle: str, suite: str, task: str) -> None:
    outcomes = episodes(bundle, suite, task, 3)
    assert sum(each.success for each in outcomes) >= 2  # measured: 59 of 60, 20 of 20 each


def test_the_same_weights_swing_a_pole_up() -> None:
    (outcome,) = episodes("three-domains", "dmcontrol", "cartpole-swingup", 1)
    full = reference_returns(get_suite("dmcontrol"))["cartpole-swingup"]
    assert outcome.total_reward > 0.5 * full  # measured: 0.99 of it
