"""The shipped bundle of three arms does on each what it was trained for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lram_core.embodiments import of_suite
from lram_core.policy import Policy
from lram_sim.rollout import check_contract, run_episode
from lram_sim.suite import EVALUATION_SEED, get_suite

BUNDLE = Path(__file__).parents[1] / "models" / "robosuite-arms"


@pytest.mark.parametrize("arm", ["panda", "iiwa", "ur5e"])
def test_each_arm_lifts_the_cube(arm: str) -> None:
    suite = get_suite(f"robosuite-{arm}")
    policy = Policy.load(str(BUNDLE), embodiment=of_suite(suite.name))
    check_contract(policy.contract, suite)
    task = suite.make("lift")
    wins = [run_episode(task, policy, EVALUATION_SEED + n).success for n in range(3)]
    assert sum(wins) >= 2  # measured: 59 of 60
