"""Bundles of several embodiments: the choice of one, and that it is a plain model as any other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner

from lram_core.batch_policy import BatchPolicy
from lram_core.bench.bench import bench_bundle
from lram_core.bundle import (
    load_bundle,
    load_contract,
    load_contracts,
    load_joint_bundle,
    save_bundle,
    weights_checksum,
)
from lram_core.cli import cli
from lram_core.embodiments import of_suite
from lram_core.errors import BundleError, ContractError
from lram_core.onnx_export.names import check_origin, file_name
from lram_core.policy import Policy
from lram_core.runtimes import runtime_class
from lram_core.runtimes.base import RuntimeOptions
from lram_core.testing import OTHER_SCHEMA, SCHEMA, random_joint_bundle, small_contract, small_model
from lram_ros.embodiment import fitting
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.robot_contract import RobotContract
from lram_sim.metaworld import policy_contract
from lram_sim.policy_source import PolicySource

SHIPPED = Path(__file__).parents[1] / "models" / "metaworld-ml45"
ROBOT = Path(__file__).parents[1] / "config" / "metaworld.yaml"
ARM = SCHEMA.contract({"default": 20.0}, context=16)
LIFT = OTHER_SCHEMA.contract({"default": 1.0, "stack": 2.0}, context=16)
SAWYER = policy_contract({"default": 1500.0}, context=50)
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "xlstm": ("xlstm", {"d_model": 32, "num_layers": 2, "num_heads": 2}),
    "xlstm-7:1": ("xlstm", {"d_model": 32, "num_layers": 2, "num_heads": 2, "slstm_at": [1]}),
    "mamba": ("mamba", {"d_model": 32, "num_layers": 2}),
    "transformer": ("transformer", {"d_model": 32, "num_layers": 1, "num_heads": 2, "context": 9}),
}


@pytest.fixture
def joint(tmp_path: Path) -> Path:
    """A bundle of three embodiments: Meta-World's and two made-up ones."""
    return random_joint_bundle(tmp_path / "joint", [SAWYER, ARM, LIFT])


def batch(size: int, rows: int, ticks: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(rows, ticks, generator=generator) < 0.1
    return {
        "observations": torch.randn(rows, ticks, size, generator=generator),
        "returns_to_go": torch.rand(rows, ticks, generator=generator),
        "rewards": torch.rand(rows, ticks, generator=generator),
        "start": start,
    }


@pytest.mark.parametrize("variant", BACKBONES)
@torch.no_grad()
def test_a_selected_model_computes_what_the_joint_model_does(tmp_path: Path, variant: str) -> None:
    """Number for number over rows of one embodiment; in a mixed batch, up to the order of sums."""
    path = random_joint_bundle(tmp_path / "joint", [SAWYER, ARM, LIFT], *BACKBONES[variant])
    model, contracts = load_joint_bundle(path)
    mixed = {
        name: batch(contract.observation_size, rows, 12, rows)
        for rows, (name, contract) in enumerate(contracts.items(), start=2)
    }
    together, _ = model(mixed, model.init_state(9))
    for name, x in mixed.items():
        plain, contract = load_bundle(path, embodiment=name)
        assert contract == contracts[name]
        inputs = (x["observations"], x["returns_to_go"], x["rewards"], x["start"])
        empty = model.init_state(len(x["start"]))  # None may be computed in another order
        expected, state = plain(*inputs, empty)
        alone, joint_state = model({name: x}, empty)
        torch.testing.assert_close(alone[name], expected, atol=0, rtol=0)
        for part, value in joint_state.items():
            torch.testing.assert_close(value, state[part], atol=0, rtol=0)
        scale = float(expected.abs().max())
        torch.testing.assert_close(together[name], expected, atol=1e-5 * scale, rtol=0)
        assert together[name].shape == (*x["start"].shape, contract.action_size, 64)


@pytest.mark.parametrize("runtime", ["native", "torch", "onnx"])
def test_every_runtime_runs_a_selected_embodiment(
    joint: Path, tmp_path: Path, runtime: str
) -> None:
    """It acts as the bundle of that one embodiment alone does."""
    reason = runtime_class(runtime).unavailable(
        load_bundle(joint, embodiment=ARM.suite)[0].config, RuntimeOptions()
    )
    if reason and "onnxruntime" in reason:
        pytest.skip(reason)  # there is none for Python 3.10
    for contract in (ARM, LIFT):
        model, _ = load_bundle(joint, embodiment=contract.suite)
        alone = tmp_path / contract.suite
        save_bundle(alone, model, contract, "# alone\n")
        policies = [
            Policy.load(joint, runtime=runtime, embodiment=contract.suite),
            Policy.load(alone, runtime="torch"),
        ]
        rng = np.random.default_rng(3)
        reward = 0.0
        for policy in policies:
            policy.reset()
        for _ in range(20):
            observation = rng.normal(size=contract.observation_size).astype(np.float32)
            first, second = (policy.act(observation, reward).bins for policy in policies)
            np.testing.assert_array_equal(first, second)
            reward = 0.1


def test_one_embodiment_keeps_the_old_form(tmp_path: Path) -> None:
    bundle = tmp_path / "one"
    save_bundle(bundle, small_model(), small_contract(), "# card\n")
    contract = yaml.safe_load((bundle / "policy.yaml").read_text())
    assert contract["format_version"] == 1
    assert contract["suite"] == "testing"
    assert "embodiments" not in json.loads((bundle / "config.json").read_text())["model"]
    assert load_joint_bundle(bundle)[0].weights().keys() == small_model().state_dict().keys()
    model, shipped = load_bundle(SHIPPED)  # written before there were any others
    assert list(load_contracts(SHIPPED)) == [shipped.suite] == ["metaworld"]
    assert model.config.observation_size == 39
    assert load_bundle(SHIPPED, embodiment="metaworld")[1] == shipped


def test_the_contracts_come_back_and_weights_that_are_shared_are_there_once(joint: Path) -> None:
    assert load_contracts(joint) == {c.suite: c for c in (SAWYER, ARM, LIFT)}
    assert load_contract(joint, "testing-gripper") == LIFT
    model, _ = load_joint_bundle(joint)
    names = list(model.weights())
    assert "testing-gripper/head.weight" in names
    assert len([n for n in names if n.endswith("post_blocks_norm.weight")]) == 1
    counted = sum(p.numel() for p in model.parameters())
    assert counted < sum(sum(p.numel() for p in m.parameters()) for m in model.members)


def test_an_unknown_or_ambiguous_embodiment_lists_those_there_are(joint: Path) -> None:
    there = "available: metaworld, testing, testing-gripper"
    with pytest.raises(ContractError, match=f"several embodiments, and none was chosen; {there}"):
        Policy.load(joint)
    for load in (load_bundle, load_contract, Policy.load):
        with pytest.raises(ContractError, match=f"no embodiment 'panda'; {there}"):
            load(joint, embodiment="panda")
    with pytest.raises(ContractError, match=f"no embodiment 'panda'; {there}"):
        BatchPolicy.load(joint, 2, embodiment="panda")
    for words in (["export", str(joint)], ["bench", str(joint)]):
        error = CliRunner().invoke(cli, words).exception
        assert isinstance(error, ContractError)
        assert there in str(error)
    with pytest.raises(ContractError, match=r"no embodiment 'other'; available: metaworld$"):
        Policy.load(SHIPPED, embodiment="other")
    assert BatchPolicy.load(joint, 2, embodiment="testing").contract == ARM
    report = bench_bundle(joint, ["torch"], ticks=2, parity_ticks=2, embodiment="testing")
    assert report.control_rate == ARM.control_rate


def test_a_suite_takes_its_embodiment(joint: Path) -> None:
    assert PolicySource(str(joint), suite="metaworld").load().contract == SAWYER
    assert load_contract(joint, of_suite("testing-gripper")) == LIFT
    # The only one is taken whatever the suite: what does not fit is told in full elsewhere.
    assert load_contract(SHIPPED, of_suite("other")).suite == "metaworld"
    with pytest.raises(ContractError, match="no embodiment 'other'"):
        load_contract(joint, of_suite("other"))


def test_a_robot_takes_the_embodiment_that_fits(tmp_path: Path) -> None:
    robot = RobotContract.load(ROBOT)
    second = replace(SAWYER, suite="sawyer-fast", control_rate=160.0)
    path = random_joint_bundle(tmp_path / "two", [LIFT, second, SAWYER])
    assert load_contract(path, fitting(robot)).suite == "metaworld"
    twins = [replace(SAWYER, suite=name) for name in ("left", "right")]
    path = random_joint_bundle(tmp_path / "twins", [*twins, LIFT])
    told = r"left \(sawyer with metaworld_parallel\), right .*, testing-gripper .*'embodiment'"
    with pytest.raises(ContractError, match=f"several embodiments .*available: {told}"):
        load_contract(path, fitting(robot))
    path = random_joint_bundle(tmp_path / "none", [ARM, LIFT])
    with pytest.raises(ContractError, match="no embodiments of the bundle are for sawyer with"):
        load_contract(path, fitting(robot))
    assert load_contract(SHIPPED, fitting(robot)).suite == "metaworld"


def test_a_node_loads_the_embodiment_of_its_robot(joint: Path) -> None:
    robot = RobotContract.load(ROBOT)
    loaded = LoadedPolicy.load(robot, str(joint), Policy.load, runtime="torch")
    assert loaded.policy.contract == SAWYER
    with pytest.raises(ContractError, match="robot is 'sawyer', the bundle was trained on 'two_j"):
        LoadedPolicy.load(robot, str(joint), Policy.load, embodiment="testing", runtime="torch")


def test_an_evaluation_takes_the_embodiment_of_its_suite(joint: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    words = ["eval", "--bundle", str(joint), "--tasks", "reach-v3", "--episodes", "1"]
    done = CliRunner().invoke(cli, [*words, "--workers", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = json.loads((out / "results.json").read_text())
    assert found["parameters"]["suite"] == "metaworld"
    assert [row["name"] for row in found["tasks"]] == ["reach-v3"]


def test_the_contract_command_takes_it_too(joint: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(cli, ["contract", "check", str(joint), str(ROBOT)])
    assert done.exit_code == 0, done.output
    words = ["contract", "check", str(joint), str(ROBOT), "--embodiment", "testing"]
    done = runner.invoke(cli, words)
    assert done.exit_code == 2
    assert "robot is 'sawyer', the bundle was trained on 'two_joint_arm'" in done.output


def test_each_embodiment_has_an_exported_file_of_its_own(joint: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert file_name("fp32") == "model.onnx"
    words = ["export", str(joint), "--ticks", "5", "--embodiment"]
    for name in ("testing", "testing-gripper"):
        done = CliRunner().invoke(cli, [*words, name])
        assert done.exit_code == 0, done.output
        assert (joint / f"model.{name}.onnx").is_file()
        policy = Policy.load(joint, runtime="onnx", embodiment=name)
        assert f"model.{name}.onnx" in policy.runtime.describe()
    unexported = Policy.load(joint, runtime="onnx", embodiment="metaworld")
    assert "exported in memory" in unexported.runtime.describe()
    told = {
        "lram.format": "1", "lram.precision": "fp32",
        "lram.weights_sha256": weights_checksum(joint),
        "lram.contract": json.dumps({"suite": "testing"}),
    }  # fmt: skip
    with pytest.raises(BundleError, match="for the embodiment testing, expected metaworld"):
        check_origin(Path("x"), told, "fp32", weights_checksum(joint), "metaworld")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"embodiments": []}, "embodiments: expected a non-empty list of contracts"),
        ({"format_version": 3}, "format_version 3 found, this release reads 1 and 2"),
        ({"surprise": 1}, "found the keys .*surprise; expected format_version, embodiments"),
        ({"embodiments": [{"format_version": 1}]}, r"embodiments\[0\]: missing suite"),
        ({"embodiments": [ARM.to_dict()] * 2}, "embodiment testing is given more than once"),
    ],
)
def test_contracts_that_are_wrong(joint: Path, changed: dict[str, Any], message: str) -> None:
    data = yaml.safe_load((joint / "policy.yaml").read_text())
    text = json.dumps({**data, **changed})  # JSON is YAML, and takes tuples
    (joint / "policy.yaml").write_text(text)
    with pytest.raises(ContractError, match=message):
        load_contracts(joint)


def test_a_network_of_other_embodiments_than_the_contracts(joint: Path) -> None:
    config = json.loads((joint / "config.json").read_text())
    del config["model"]["embodiments"]["testing"]
    (joint / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        BundleError, match="network is of metaworld, testing-gripper, the contracts"
    ):
        load_bundle(joint, embodiment="metaworld")
    config["model"]["embodiments"] = [1]
    (joint / "config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match="embodiments: "):
        load_bundle(joint, embodiment="metaworld")
