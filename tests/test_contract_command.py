"""``lram contract show`` and ``check``: what they print, and their exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from adapter_rig import contract_data, policy, sink_data
from click.testing import CliRunner
from ros_graph import CONTRACT

from lram_core.bundle import load_contract
from lram_core.errors import ContractError
from lram_core.testing import random_bundle
from lram_ros.contract_check import check_contract
from lram_ros.contract_commands import contract
from lram_ros.robot_contract import RobotContract

CONFIG = Path(__file__).parents[1] / "config"


@pytest.fixture
def lram():
    return lambda *words: CliRunner().invoke(contract, [str(word) for word in words])


def write(path, data):
    path.write_text(yaml.safe_dump(data))
    return path


def test_check_of_what_fits(lram, tiny_bundle):
    result = lram("check", tiny_bundle, CONTRACT)
    assert result.exit_code == 0
    assert f"{tiny_bundle} fits {CONTRACT}" in result.stdout
    assert "cartesian_delta, 0.01 m" in result.stdout
    assert result.stderr == ""


def test_a_shipped_contract_goes_by_its_name(lram, tiny_bundle):
    result = lram("check", tiny_bundle, "metaworld")
    assert result.exit_code == 0
    assert f"{tiny_bundle} fits {CONTRACT}" in result.stdout


def test_check_of_a_robot_with_adapters(lram, tmp_path):
    bundle = random_bundle(tmp_path / "bundle", policy("joint_position", low=-2.0, high=2.0))
    result = lram(
        "check", bundle, write(tmp_path / "arm.yaml", contract_data(sink_data("joint_trajectory")))
    )
    assert result.exit_code == 0, result.stderr
    assert "joint_position[shoulder" not in result.stdout
    assert "position[shoulder, elbow, wrist]" in result.stdout


def test_each_disagreement_is_a_line_with_both_sides(lram, tmp_path, tiny_bundle):
    data = yaml.safe_load(CONTRACT.read_text())
    data["robot"] = "panda"
    data["control_rate"] = 50.0
    data["inputs"][0]["fields"]["ee_position"]["unit"] = "deg"
    data["command"]["fields"]["ee_dx"].update(low=2.0, high=3.0)
    path = write(tmp_path / "robot.yaml", data)
    result = lram("check", tiny_bundle, path)
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for line, words in zip(
        lines,
        (["'panda'", "'sawyer'"], ["50 Hz", "80 Hz"], ["'deg'", "'m'"], ["2 … 3", "-1 … 1"]),
        strict=True,
    ):
        assert line.startswith(f"error: {path}: ")
        for word in words:
            assert word in line
    with pytest.raises(ContractError, match=r"'panda'.*; 3 more, 'lram contract check' tells all"):
        check_contract(RobotContract.load(path), load_contract(tiny_bundle))


def test_show_needs_no_ros():
    code = """
import sys
class Nowhere:
    def find_spec(self, name, *_):
        if name.split(".")[0].endswith("_msgs") or name in ("rclpy", "lram_ros.msg"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nowhere())
sys.argv = ["lram", "contract", "show", sys.argv[1]]
from lram_core.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, CONFIG / "panda_joint_position.yaml"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "panda_joint4" in done.stdout


def test_show_needs_no_bundle(lram):
    result = lram("show", CONFIG / "panda_joint_position.yaml")
    assert result.exit_code == 0
    for text in (
        "panda with panda_hand, 20 Hz, tick from clock",
        "reward: 0; episode: an episode without end",
        "panda_joint4",
        "-3.0718 … -0.0698",
        "velocity 2.175, acceleration 12.5",
        "m: 0 … 0.04 ↔ -1 … 1",
        "joint_trajectory_controller/joint_trajectory",
        "best_effort, 1",
    ):
        assert text in result.stdout
    assert "in the bundle" not in result.stdout


def test_show_with_a_bundle_has_both_sides(lram, tiny_bundle):
    result = lram("show", CONFIG / "ur5e_joint_velocity.yaml", "--bundle", tiny_bundle)
    assert result.exit_code == 0
    assert "wrench.force, 5 newest" in result.stdout
    assert "not there" in result.stdout


def test_show_of_cartesian_moves(lram, tmp_path):
    move = {"ee_dx": {"axis": "x", "unit": "m", "low": -0.02, "high": 0.02}}
    section = {"model": "arm.xml", "frame": "tool", "fields": move}
    data = contract_data(sink_data("forward_position", cartesian=section))
    result = lram("show", write(tmp_path / "arm.yaml", data))
    assert "inverse kinematics" in result.stdout
    assert "tool x (base)" in result.stdout


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_contract_is_shown_whole(lram, path):
    result = lram("show", path)
    assert result.exit_code == 0
    names = {f for t in yaml.safe_load(path.read_text())["inputs"] for f in t["fields"]}
    for name in names:
        assert name in result.stdout
