"""The robot contracts that are shipped are those of the suites' declared topics and commands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lram_core.contract import ObservationField
from lram_core.errors import ContractError
from lram_ros.adapters.kinds import make_mappers
from lram_ros.contract_check import check_contract, disagreements
from lram_ros.robot_contract import RobotContract
from lram_sim.contract_text import contract_text
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite, suite_names
from lram_sim.topics import check_topics, pose_topic

CONFIG = Path(__file__).parents[1] / "config"
POSITION = "robosuite_panda_position"  # written by hand: another way to command the same arm
SHIPPED = sorted(
    path.stem
    for kind in ("robosuite", "composuite", "mimicgen")
    for path in CONFIG.glob(f"{kind}_*.yaml")
    if path.stem != POSITION
)
OTHERS = [name for name in suite_names() if name.replace("-", "_") not in {*SHIPPED, "metaworld"}]


@pytest.mark.parametrize("stem", SHIPPED)
def test_shipped_contract_is_the_suites(stem: str) -> None:
    name = stem.replace("_", "-")
    suite = get_suite(name)
    path = CONFIG / f"{stem}.yaml"
    assert path.read_text() == contract_text(suite), f"python -m lram_sim.contract_text {name}"
    policy = dataset_schema(suite).contract({"default": 1.0}, context=50)
    check_contract(RobotContract.load(path), policy)


def test_positions_of_controllers_carry_the_suites_deltas() -> None:
    policy = dataset_schema(get_suite("robosuite-panda")).contract({"default": 1.0}, context=50)
    robot = RobotContract.load(CONFIG / f"{POSITION}.yaml")
    check_contract(robot, policy)
    arm, hand = make_mappers(robot, policy)
    joints = np.array([0.0, 0.2, 0.0, -2.6, 0.0, 2.9, 0.8])
    action = np.array([1.0, -1.0, 0.0, 0.5, 0.0, 0.0, -0.5, 1.0])
    moved = arm.target(action, joints).values - joints
    np.testing.assert_allclose(moved, 0.05 * action[:7], atol=1e-12)
    assert hand.target(action, np.array([0.04])).values == pytest.approx([0.0])


def test_metaworlds_contract_says_the_same_as_its_topics(tmp_path: Path) -> None:
    path = tmp_path / "metaworld.yaml"
    path.write_text(contract_text(get_suite("metaworld")))
    written, shipped = (RobotContract.load(p) for p in (path, CONFIG / "metaworld.yaml"))
    assert replace(written, source="") == replace(shipped, source="")


@pytest.mark.parametrize("name", OTHERS)
def test_a_contract_is_written_for_any_suite(name: str, tmp_path: Path) -> None:
    suite = get_suite(name)
    path = tmp_path / "contract.yaml"
    path.write_text(contract_text(suite))
    policy = dataset_schema(suite).contract({"default": 1.0}, context=50)
    check_contract(RobotContract.load(path), policy)


@pytest.mark.parametrize("what", ["robot", "gripper", "controller"])
def test_another_embodiment_is_refused(what: str) -> None:
    policy = dataset_schema(get_suite("robosuite-iiwa")).contract({"default": 1.0}, context=50)
    robot = RobotContract.load(CONFIG / "robosuite_iiwa.yaml")
    other = replace(robot, **{what: "robotiq140"})
    (problem,) = disagreements(other, policy)
    assert f"{what} is 'robotiq140', the bundle was trained on '{getattr(policy, what)}'" in problem


def test_topics_that_do_not_carry_the_sensors_are_refused() -> None:
    fields = (ObservationField("a", 3, "m"), ObservationField("b", 3, "m"))
    a, b = (pose_topic(f"{name}/pose", name) for name in "ab")
    check_topics("x", (a, b), fields)
    with pytest.raises(ContractError, match="suite 'x': no topic for sensors b"):
        check_topics("x", (a,), fields)
    with pytest.raises(ContractError, match="several topics for sensors a"):
        check_topics("x", (a, a, b), fields)
    with pytest.raises(ContractError, match="topics for, but no sensors c"):
        check_topics("x", (a, b, pose_topic("c/pose", "c")), fields)
