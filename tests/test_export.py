"""``lram export``: what it writes, what it refuses, and a client without this package."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lram_core.bench.parity import Parity
from lram_core.bundle import load_contract
from lram_core.cli import cli
from lram_core.data.files import sha256
from lram_core.errors import BundleError, CommandError, ParityError, RuntimeUnavailable
from lram_core.onnx_export.export import export_bundle
from lram_core.onnx_export.names import check_origin
from lram_core.policy import Policy

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="no ONNX Runtime with these operators for Python 3.10"
)

MANUAL = Path(__file__).parents[1] / "docs" / "export.md"
# Nothing of this package, nor PyTorch, may be needed.
ALONE = "import sys; sys.modules.update(torch=None, lram_core=None, onnx=None); "


@pytest.mark.parametrize(
    ("precision", "file"), [("fp32", "model.onnx"), ("int8", "model-int8.onnx")]
)
def test_the_command_writes_into_the_bundle_and_tells_the_parity(
    tiny_bundle: Path, precision: str, file: str
) -> None:
    import onnxruntime

    done = CliRunner().invoke(cli, ["export", str(tiny_bundle), "--precision", precision])
    assert done.exit_code == 0, done.output
    assert "same bin as PyTorch" in done.output
    assert not list(tiny_bundle.glob(".*")), "no temporary file is left"
    session = onnxruntime.InferenceSession(tiny_bundle / file, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    assert told["lram.weights_sha256"] == sha256(tiny_bundle / "model.safetensors")
    assert told["lram.precision"] == precision
    # JSON has lists where the contract has tuples.
    contract = json.loads(json.dumps(load_contract(tiny_bundle).to_dict()))
    assert json.loads(told["lram.contract"]) == contract
    inputs = {each.name for each in session.get_inputs()}
    state = json.loads(told["lram.state"])
    assert inputs == {"observation", "return_to_go", "reward", "tokens", *state}
    assert state["state_0_C"] == "0.C"


def test_another_place_and_a_bundle_that_is_none(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy.onnx"
    path, parity = export_bundle(tiny_bundle, out=out, ticks=20)
    assert path == out
    assert out.is_file()
    assert not (tiny_bundle / "model.onnx").exists()
    assert parity.passed
    with pytest.raises(BundleError, match="no such bundle"):
        export_bundle(tmp_path / "nothing")


def test_nothing_else_is_overwritten(tiny_bundle: Path, tmp_path: Path) -> None:
    contract = (tiny_bundle / "policy.yaml").read_text()
    (tmp_path / "folder.onnx").mkdir()
    for out, said in (
        (tiny_bundle / "policy.yaml", r"policy\.yaml: expected a file whose name ends in \.onnx"),
        (tmp_path / "folder.onnx", r"folder\.onnx: expected a file"),
        (tmp_path / "deep" / "policy.onnx", "there is no folder .*deep"),
    ):
        with pytest.raises(CommandError, match=said):
            export_bundle(tiny_bundle, out=out)
    assert (tiny_bundle / "policy.yaml").read_text() == contract
    assert not (tmp_path / "deep").exists()


def test_a_file_that_is_too_far_from_pytorch_is_not_written(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted(tiny_bundle.iterdir())
    monkeypatch.setattr(
        "lram_core.onnx_export.export.compare", lambda *_: Parity(0.5, 0.25, passed=False)
    )
    with pytest.raises(
        ParityError, match=r"model\.onnx: not written, too far from PyTorch: 50\.0 % of the bins"
    ):
        export_bundle(tiny_bundle, ticks=1)
    assert sorted(tiny_bundle.iterdir()) == before


def test_unknown_choices_list_what_exists(tiny_bundle: Path) -> None:
    with pytest.raises(CommandError, match="unknown precision 'fp16'; available: fp32, int8"):
        export_bundle(tiny_bundle, "fp16")
    for option, value, available in (
        ("--precision", "fp16", ("fp32", "int8")),
        ("--format", "tensorrt", ("onnx",)),
    ):
        done = CliRunner().invoke(cli, ["export", str(tiny_bundle), option, value])
        assert done.exit_code == 2
        assert all(name in done.output for name in (value, *available))


def test_a_file_of_another_form_or_origin_is_told_apart() -> None:
    path = Path("b/model.onnx")
    told = {
        "lram.format": "1",
        "lram.version": "0.0.7",
        "lram.precision": "fp32",
        "lram.weights_sha256": "a" * 64,
    }
    check_origin(path, told, "fp32", "a" * 64)
    with pytest.raises(BundleError, match=r"exported by lram_ros 0\.0\.7 with precision fp32, exp"):
        check_origin(path, told, "int8", "a" * 64)
    with pytest.raises(BundleError, match="checksum aaaaaaaaaaaa, expected bbbbbbbbbbbb"):
        check_origin(path, told, "fp32", "b" * 64)
    with pytest.raises(BundleError, match="with format 2, expected 1"):
        check_origin(path, told | {"lram.format": "2"}, "fp32", "a" * 64)
    with pytest.raises(BundleError, match=r"by lram_ros unknown with format \(none\)"):
        check_origin(path, {}, "fp32", "a" * 64)
    del told["lram.version"]
    check_origin(path, told, "fp32", "a" * 64)


def test_a_file_that_is_not_onnx_is_not_used(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tiny_bundle / "model.onnx").write_bytes(b"not a model")
    policy = Policy.load(tiny_bundle, runtime="onnx")
    assert "exported in memory" in policy.runtime.describe()
    said = "model.onnx: ONNX Runtime cannot read it"
    assert said in caplog.text
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnx" else find(name)
    )
    with pytest.raises(RuntimeUnavailable, match=f"runtime onnx: .*{re.escape(said)}"):
        Policy.load(tiny_bundle, runtime="onnx")
    monkeypatch.setattr("lram_core.runtimes.native.library.problem", lambda: "it is not built")
    assert Policy.load(tiny_bundle).runtime.name == "torch"


def test_a_file_behind_a_link_is_not_used(
    tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere, _ = export_bundle(tiny_bundle, out=tmp_path / "other.onnx", ticks=2)
    (tiny_bundle / "model.onnx").symlink_to(elsewhere)
    policy = Policy.load(tiny_bundle, runtime="onnx")
    assert "exported in memory" in policy.runtime.describe()
    assert "model.onnx: is a link that leads out of the bundle" in caplog.text


def test_the_manuals_client_acts_like_the_policy(tiny_bundle: Path, tmp_path: Path) -> None:
    (client,) = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    assert len(client.splitlines()) <= 30
    path, _ = export_bundle(tiny_bundle, out=tmp_path / "policy.onnx", ticks=2)
    done = subprocess.run(
        [sys.executable, "-c", ALONE + "\n" + client, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    printed = [np.fromstring(line.strip("[]"), sep=" ") for line in done.stdout.splitlines()]
    policy = Policy.load(tiny_bundle, runtime="torch")
    for tick, action in enumerate(printed):
        observation = np.full(policy.contract.observation_size, 0.1 * tick, np.float32)
        expected = policy.act(observation, None if tick == 0 else 0.5).values
        np.testing.assert_allclose(action, expected, atol=1e-6)
    assert len(printed) == 10
