"""The suite of docs/howto/simulator_task.md, as another package: collected, trained, contracted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lram_core.data.store import Dataset
from lram_ros.robot_contract import RobotContract

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "two_link_suite"
BROKEN = """\
class Suite:
    name = "other-name"
class Fails:
    def __init__(self):
        raise ValueError("no model")
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, and a package with faults, installed where only these tests look."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for path in EXAMPLE.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    words = ["--no-deps", "--no-build-isolation", "--quiet", "--target", str(folder), str(source)]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
    (folder / "broken_suites.py").write_text(BROKEN)
    (folder / "broken-1.dist-info").mkdir()
    (folder / "broken-1.dist-info" / "METADATA").write_text("Name: broken\nVersion: 1\n")
    points = ["named=broken_suites:Suite", "fails=broken_suites:Fails", "lacks=no_such_module:S"]
    (folder / "broken-1.dist-info" / "entry_points.txt").write_text(
        "[lram_sim.suites]\n" + "\n".join(points)
    )
    return folder


def run(site: Path, module: str, *words: object) -> subprocess.CompletedProcess[str]:
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def lram(site: Path, *words: object) -> str:
    done = run(site, "lram_core.cli", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_from_the_package_to_a_policy(site, tmp_path):
    data, bundle, out = tmp_path / "data", tmp_path / "bundle", tmp_path / "eval"
    lram(site, "collect", "two-link", "--tasks", "all", "--episodes", 4, "--out", data)
    found = Dataset.open(data)
    assert (found.schema.suite, len(found.episodes)) == ("two-link", 4)
    words = ["--size", "d128", "--steps", 1, "--batch", 2, "--run", tmp_path / "run"]
    lram(site, "train", "--data", data, "--out", bundle, *words)
    words = ["--suite", "two-link", "--tasks", "reach", "--episodes", 1, "--workers", 1]
    lram(site, "eval", "--bundle", bundle, *words, "--out", out)
    assert (out / "results.csv").is_file()
    contract = tmp_path / "two_link.yaml"
    contract.write_text(run(site, "lram_sim.contract_text", "two-link").stdout)
    robot = RobotContract.load(contract)
    assert [topic.topic for topic in robot.inputs] == ["joint_states", "goal"]
    lram(site, "contract", "check", bundle, contract)
    lram(site, "contract", "check", bundle, ROOT / "examples" / "two_link_arm.yaml")


def test_an_episode_of_the_example_depends_on_its_seed_alone(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    from lram_sim.suite_registry import get_suite, suite_names

    assert "two-link" in suite_names()
    suite = get_suite("two-link")
    fresh, used = suite.make("reach"), suite.make("reach")
    used.reset(1)
    for _ in range(7):
        used.step((1.0, -1.0))
    np.testing.assert_array_equal(fresh.reset(2), used.reset(2))
    wins = 0
    for seed in range(20):
        observation, expert, over = fresh.reset(seed), fresh.expert(), False
        while not over:
            result = fresh.step(expert.act(observation))
            observation, over = result.observation, result.success or result.truncated
        wins += result.success
    assert wins == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("named", "offers the suite 'other-name' under the name 'named'"),
        ("fails", "(broken_suites:Fails) cannot be built: ValueError: no model"),
        ("lacks", "needs the Python module 'no_such_module'"),
    ],
)
def test_a_package_with_a_fault_is_named(site, monkeypatch, name, message):
    monkeypatch.syspath_prepend(str(site))
    from lram_core.errors import TaskError
    from lram_sim.suite_registry import get_suite

    with pytest.raises(TaskError) as caught:
        get_suite(name)
    assert message in str(caught.value)
