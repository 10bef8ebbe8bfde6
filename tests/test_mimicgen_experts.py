"""The MimicGen experts: what they claim was measured, and what was hard for them is done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.expert_rates import Attempt
from lram_sim.mimicgen_beside import Beside
from lram_sim.mimicgen_claims import CLAIMED
from lram_sim.mimicgen_drag import over_peg
from lram_sim.mimicgen_suite import MimicgenSuite, MimicgenTask
from lram_sim.robosuite_reach import Reach
from lram_sim.rollout import run_episode
from lram_sim.rotations import pointing_down
from lram_sim.suite import EVALUATION_SEED

SUITE = "mimicgen-panda-osc"
RATES = Path(__file__).parents[1] / "benchmarks" / "results" / "expert_rates.json"


def test_what_is_claimed_is_what_was_measured() -> None:
    """A task is claimed if, and only if, 95 % of 50 episodes were measured to succeed."""
    report = json.loads(RATES.read_text())
    for suite, rates in report.items():
        if suite.startswith("mimicgen"):
            good = {
                task
                for task, ticks in rates.items()
                if len(ticks) >= 50 and sum(t is not None for t in ticks) >= 0.95 * len(ticks)
            }
            assert set(CLAIMED[suite]) == good
    assert set(CLAIMED) <= set(report)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("square-d2", 5),  # the peg is where the palm would come down
        ("threading-d2", 0),  # taken the natural way round, the last joint ends at its limit
        ("stack-three-d0", 8),  # the palm would come down on the stack
    ],
)
def test_a_hard_start(name: str, seed: int) -> None:
    task = MimicgenSuite(SUITE).make(name)
    assert run_episode(task, Attempt(task), EVALUATION_SEED + seed).success
    task.close()


@pytest.fixture(scope="module")
def stack() -> Iterator[MimicgenTask]:
    task = MimicgenSuite(SUITE).make("stack-three-d1")
    yield task
    task.close()


def test_reach_does_not_depend_on_how_the_arm_starts(stack: MimicgenTask) -> None:
    needed = []
    for seed in (1, 2):
        stack.reset(seed)
        turn = pointing_down(np.array([0.0, 1.0, 0.0]))
        needed.append(Reach(stack.scene).needed(np.array([0.24, 0.0, 0.92]), turn))
    assert needed[0] == pytest.approx(needed[1], abs=1e-3)
    assert 0.99 < needed[0] < 1.01  # 0.8 m before a Panda's base, at this height, is all it has


def test_a_palm_minds_what_is_tall(stack: MimicgenTask) -> None:
    stack.reset(3)
    data, bodies = stack.data, stack.scene.world.bodies
    beside = Beside(stack.scene, "cube_a")
    along, across = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0])
    here = data.xpos[bodies["cube_a"]]
    data.xpos[bodies["cube_b"]] = here + 0.11 * along
    data.xpos[bodies["cube_c"]] = here + along
    assert beside.penalty(along, here[2]) == beside.penalty(across, here[2]) == 0
    data.xpos[bodies["cube_b"]][2] += 0.04
    assert beside.penalty(along, here[2]) > beside.penalty(across, here[2]) == 0


@pytest.mark.parametrize(
    ("x", "y", "margin", "over"),
    [
        (0.0, 0.11, 0.0, True),
        (0.0, -0.12, 0.0, True),
        (0.0, 0.14, 0.0, False),
        (0.07, 0.11, 0.0, False),
        (0.0, 0.14, 0.02, True),
    ],
)
def test_a_peg_under_the_palm(x: float, y: float, margin: float, over: bool) -> None:
    """It is at x, y from the handle; fingers close along y."""
    nut = np.array([0.1, 0.0, 0.81])
    peg = nut + np.array([0.058 + x, y, 0.0])
    assert over_peg(nut, np.eye(3), peg, margin) is over
