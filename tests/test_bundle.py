"""Bundle: round trip; a corrupt, truncated or mismatched one gives one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lram_core.bundle import FILES, load_bundle, save_bundle
from lram_core.errors import BundleError, ContractError
from lram_core.policy import Policy
from lram_core.testing import small_contract, small_model
from lram_core.version import version


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    save_bundle(path, small_model(), small_contract(), "# card\n", {"steps": 3})
    return path


def test_round_trip(bundle: Path) -> None:
    model, contract = load_bundle(bundle)
    assert contract == small_contract()
    for name, value in small_model().state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), value.numpy())
    assert sorted(p.name for p in bundle.iterdir()) == sorted(FILES)


def test_saving_replaces_the_old_bundle_and_leaves_nothing_else(bundle: Path) -> None:
    save_bundle(bundle, small_model(seed=1), small_contract(), "# new\n")
    assert (bundle / "README.md").read_text() == "# new\n"
    assert [p.name for p in bundle.parent.iterdir()] == ["bundle"]


def test_another_form_names_the_release_that_wrote_it(bundle: Path) -> None:
    contract = yaml.safe_load((bundle / "policy.yaml").read_text())
    (bundle / "policy.yaml").write_text(yaml.safe_dump({**contract, "format_version": 99}))
    config = json.loads((bundle / "config.json").read_text())
    assert config["lram_version"] == version()
    for release, said in (("9.9", r" \(written by lram_ros 9\.9\)"), (None, "")):
        config["lram_version"] = release
        if release is None:
            del config["lram_version"]  # written before it was noted
        (bundle / "config.json").write_text(json.dumps(config))
        with pytest.raises(ContractError, match=rf"policy\.yaml{said}: format_version 99 found"):
            load_bundle(bundle)
    (bundle / "policy.yaml").write_text(yaml.safe_dump(contract))
    assert load_bundle(bundle)[1] == small_contract()


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"incomplete bundle: {name} missing"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", FILES)
def test_no_link_leads_out_of_a_bundle(bundle: Path, tmp_path: Path, name: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes((bundle / name).read_bytes())
    (bundle / name).unlink()
    (bundle / name).symlink_to(secret)
    with pytest.raises(BundleError, match=f"{name}: is a link that leads out .*, to .*/secret"):
        load_bundle(bundle)


def test_a_bundle_installed_as_links_loads(bundle: Path, tmp_path: Path) -> None:
    installed = tmp_path / "share" / "bundle"
    installed.mkdir(parents=True)
    for name in FILES:
        (installed / name).symlink_to(bundle / name)
    assert load_bundle(installed)[1] == small_contract()
    (tmp_path / "current").symlink_to(installed)
    assert load_bundle(tmp_path / "current")[1] == small_contract()


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle"):
        Policy.load(tmp_path / "absent")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_weights(bundle: Path, keep: int) -> None:
    weights = bundle / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(BundleError, match=r"model\.safetensors: corrupt or truncated"):
        load_bundle(bundle)


def test_one_flipped_bit_is_noticed(bundle: Path) -> None:
    weights = bundle / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(BundleError, match="corrupt or truncated"):
        load_bundle(bundle)


def test_corrupt_config_and_contract(bundle: Path) -> None:
    config = (bundle / "config.json").read_text()
    (bundle / "config.json").write_text(config[: len(config) // 2])
    with pytest.raises(BundleError, match=r"config\.json: corrupt"):
        load_bundle(bundle)
    (bundle / "config.json").write_text(config)
    (bundle / "policy.yaml").write_text("a: [1,")
    with pytest.raises(BundleError, match=r"policy\.yaml: not valid YAML"):
        load_bundle(bundle)
    (bundle / "policy.yaml").write_text("[]")
    with pytest.raises(ContractError, match="expected a mapping, found list"):
        load_bundle(bundle)


def test_weights_of_another_shape(bundle: Path) -> None:
    config = json.loads((bundle / "config.json").read_text())
    config["model"]["backbone_options"]["num_layers"] = 3
    (bundle / "config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match=r"does not fit config\.json: .*blocks\.2\..* is missing"):
        load_bundle(bundle)


def test_contract_of_another_size(bundle: Path) -> None:
    contract = yaml.safe_load((bundle / "policy.yaml").read_text())
    contract["observation"].append({"name": "force", "size": 3, "unit": "N"})
    (bundle / "policy.yaml").write_text(yaml.safe_dump(contract))
    with pytest.raises(BundleError, match="observation_size 5, the contract's fields add up to 8"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("control_rate", -5, "control_rate: expected a positive finite number, found -5"),
        ("format_version", 99, "format_version 99 found, this release reads 1 and 2"),
        ("observation", [], "observation: expected a non-empty list"),
        ("target_returns", {}, "expected a mapping with a 'default'"),
        ("surprise", 1, "unknown surprise"),
    ],
)
def test_contract_errors_name_the_key(bundle: Path, key: str, value: object, message: str) -> None:
    contract = yaml.safe_load((bundle / "policy.yaml").read_text())
    contract[key] = value
    (bundle / "policy.yaml").write_text(yaml.safe_dump(contract))
    with pytest.raises(ContractError, match=message):
        load_bundle(bundle)
