"""The exported graph computes what PyTorch computes, and its state is written in place."""

from __future__ import annotations

import importlib.util
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import compare
from lram_core.bundle import load_bundle
from lram_core.errors import BundleError, RuntimeUnavailable, StateError
from lram_core.onnx_export.export import export_bundle
from lram_core.onnx_export.names import TICK, output_name, state_name
from lram_core.onnx_export.tick import build
from lram_core.policy import Policy
from lram_core.quantise import dequantised_model
from lram_core.runtimes import make_runtime
from lram_core.runtimes.base import Runtime, RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime
from lram_core.runtimes.onnx import OnnxRuntime
from lram_core.testing import random_bundle

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="no ONNX Runtime with these operators for Python 3.10"
)

SHIPPED = Path(__file__).parents[1] / "models" / "metaworld-ml45"
BACKBONES = {
    "mlstm": ("xlstm", {"d_model": 32, "num_layers": 3, "num_heads": 2}),
    "mlstm, odd sizes": ("xlstm", {"d_model": 20, "num_layers": 1, "num_heads": 5}),
    "slstm": (
        "xlstm",
        {"d_model": 32, "num_layers": 3, "num_heads": 2, "slstm_at": [1], "slstm_heads": 2},
    ),
    "mamba": ("mamba", {"d_model": 32, "num_layers": 3}),
    "transformer": (
        "transformer",
        {"d_model": 32, "num_layers": 3, "num_heads": 4, "context": 5, "max_timesteps": 40},
    ),
}


def model_of(kind: str) -> ActionModel:
    """A model whose every parameter and input statistic is away from its initial value."""
    name, options = BACKBONES[kind]
    torch.manual_seed(3)
    model = ActionModel(ModelConfig(7, 3, 16, name, dict(options))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for norm in (model.observation_norm, model.return_norm, model.reward_norm):
            norm.set(torch.randn(20, norm.mean.numel()))
    return model


@pytest.fixture(params=BACKBONES)
def model(request: pytest.FixtureRequest) -> ActionModel:
    return model_of(request.param)


def episodes(model: ActionModel, runtimes: list[Runtime], ticks: int) -> list[np.ndarray]:
    """Run the same episodes through runtimes; return the logits (ticks, …) of each.

    Rewards come with the tick, or before it, or (the episode's first tick) not at all.
    """
    inputs = RandomWalk(model).take(ticks)
    rng = np.random.default_rng(5)
    found: list[list[np.ndarray]] = [[] for _ in runtimes]
    first = True
    for tick in range(ticks):
        if rng.random() < 0.02 or tick == 0:
            first = True
        early = rng.random() < 0.5
        for runtime, logits in zip(runtimes, found, strict=True):
            reward = None if first else float(inputs.rewards[tick - 1])
            if first:
                runtime.reset()
            elif early:
                runtime.advance_reward(float(inputs.rewards[tick - 1]))
                reward = None
            runtime.tokenise(inputs.observations[tick], float(inputs.returns_to_go[tick]), reward)
            bins = runtime.step()
            assert (bins == runtime.logits.argmax(-1)).all()
            logits.append(runtime.logits.copy())
        first = False
    return [np.stack(each) for each in found]


def test_three_hundred_ticks_are_those_of_torch(model: ActionModel) -> None:
    torch_runtime, onnx_runtime = TorchRuntime(model), OnnxRuntime(model)
    expected, found = episodes(model, [torch_runtime, onnx_runtime], 320)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=2e-4)
    state = onnx_runtime.state()
    for name, value in torch_runtime.state().items():
        np.testing.assert_allclose(state[name], value, atol=1e-4, rtol=1e-3, err_msg=name)


def test_the_state_goes_over_to_another_runtime_and_back(model: ActionModel) -> None:
    torch_runtime, onnx_runtime = TorchRuntime(model), OnnxRuntime(model)
    inputs = RandomWalk(model).take(30)
    now: Runtime = onnx_runtime
    alone = TorchRuntime(model)
    for tick in range(30):
        reward = float(inputs.rewards[tick]) if tick else None
        for runtime in (now, alone):
            runtime.tokenise(inputs.observations[tick], 0.3, reward)
            runtime.step()
        np.testing.assert_allclose(now.logits, alone.logits, atol=2e-4)
        other: Runtime = torch_runtime if now is onnx_runtime else onnx_runtime
        other.load_state(now.state())
        now = other


def test_writing_the_state_in_place_changes_nothing(model: ActionModel) -> None:
    """The same session with outputs of its own, and with every output bound over its input."""
    in_place = OnnxRuntime(model)
    session = in_place._session
    initial = in_place.state()
    feeds = {state_name(name): value for name, value in initial.items()}
    names = ["logits", *(output_name(name) for name in initial)]
    inputs = RandomWalk(model).take(60)
    for tick in range(60):
        in_place.tokenise(inputs.observations[tick], 0.3, float(inputs.rewards[tick]))
        in_place.step()
        feeds |= {
            "observation": inputs.observations[tick : tick + 1],
            "return_to_go": np.array([0.3], np.float32),
            "reward": inputs.rewards[tick : tick + 1],
            "tokens": np.array(TICK),
        }
        logits, *state = session.run(names, feeds)
        feeds |= {state_name(name): value for name, value in zip(initial, state, strict=True)}
        np.testing.assert_array_equal(in_place.logits, logits)
    for name, value in in_place.state().items():
        np.testing.assert_array_equal(value, feeds[state_name(name)], err_msg=name)


def test_a_wrong_state_is_refused_and_nothing_changes(model: ActionModel) -> None:
    runtime = OnnxRuntime(model)
    good = runtime.state()
    name = next(iter(good))
    for wrong in (
        {**good, name: good[name][..., :-1]},
        {**good, name: good[name].astype(np.float64)},
        {key: value for key, value in good.items() if key != name},
        {**good, "9.x": good[name]},
    ):
        with pytest.raises(StateError, match="does not fit the model"):
            runtime.load_state(wrong)
    for key, value in runtime.state().items():
        np.testing.assert_array_equal(value, good[key])


def test_int8_follows_the_model_of_rounded_weights(model: ActionModel) -> None:
    """Inputs of the integer products go in as a coarse and a fine part, so little is lost; a
    Transformer, whose errors do not add up over time, does without the fine one."""
    rounded = TorchRuntime(dequantised_model(model))
    found = OnnxRuntime(model, RuntimeOptions(precision="int8"))
    expected, logits = episodes(model, [rounded, found], 60)
    error = np.sqrt(np.square(expected - logits).mean() / np.square(expected).mean())
    assert error < (0.05 if model.config.backbone == "transformer" else 1e-3)


def test_int8_chooses_the_actions_of_the_rounded_shipped_policy() -> None:
    """What the rounding itself costs that policy is pinned in test_quantise.py."""
    model, _ = load_bundle(SHIPPED)
    runtime = OnnxRuntime(model, RuntimeOptions(precision="int8"))
    reference = TorchRuntime(dequantised_model(model))
    parity = compare(reference, runtime, RandomWalk(model, seed=1).take(300))
    assert parity.agreement >= 0.998


def test_the_provider_asked_for_is_the_one_that_runs() -> None:
    """ONNX Runtime falls back to the CPU in silence where CUDA's libraries are missing."""
    options = RuntimeOptions(device=torch.device("cuda"))
    model = model_of("mlstm")
    with pytest.raises(RuntimeUnavailable, match="runs on CPUExecutionProvider, expected CUDA"):
        OnnxRuntime(model, options)
    with pytest.raises(RuntimeUnavailable, match="CUDAExecutionProvider is not in this"):
        make_runtime(model, "onnx", options)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tiny_bundle: Path) -> None:
    """Neither module is needed by anything else; an exported file makes do with onnxruntime."""

    def reason(bundle: Path | None = None) -> str | None:
        return OnnxRuntime.unavailable(config, RuntimeOptions(bundle=bundle))

    config = model_of("mlstm").config
    export_bundle(tiny_bundle, ticks=1)
    absent = {"onnx"}
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in absent else find(name)
    )
    assert "no exported model.onnx in the bundle" in (reason() or "")
    assert reason(tiny_bundle) is None
    absent.add("onnxruntime")
    assert "'onnxruntime' is not installed" in (reason(tiny_bundle) or "")
    absent.clear()
    monkeypatch.setattr("onnxruntime.__version__", "1.23.2")
    assert "onnxruntime 1.23.2 has not the operators; expected 1.31" in (reason() or "")


def test_cuda_is_not_given_heads_it_cannot_take(monkeypatch: pytest.MonkeyPatch) -> None:
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: providers)
    options = RuntimeOptions(device=torch.device("cuda"))
    for heads, reason in ((2, None), (1, "heads of up to 128, this model's have 256")):
        shape = {"d_model": 128, "num_layers": 1, "num_heads": heads}
        found = OnnxRuntime.unavailable(ModelConfig(3, 2, backbone_options=shape), options)
        assert (found is None) if reason is None else (reason in (found or ""))


def test_an_unknown_precision_lists_what_exists() -> None:
    with pytest.raises(RuntimeUnavailable, match="no precision 'fp16'; available: fp32, int8"):
        OnnxRuntime(model_of("mlstm"), RuntimeOptions(precision="fp16"))


def test_the_exported_file_is_used_where_it_fits(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def described() -> str:
        return Policy.load(tiny_bundle, runtime="onnx").runtime.describe()

    assert "exported in memory" in described()
    export_bundle(tiny_bundle, ticks=2)
    assert "model.onnx" in described()
    assert not caplog.records

    monkeypatch.setattr("lram_core.onnx_export.names.version", lambda: "9.9.9")
    assert "model.onnx" in described()
    assert "this is lram_ros 9.9.9" in caplog.text
    monkeypatch.setattr("lram_core.onnx_export.names.FORMAT", "77")
    assert "exported in memory" in described()
    assert "with format 1, expected 77 (lram_ros 9.9.9)" in caplog.text


def test_a_file_of_other_weights_is_not_used(
    tiny_bundle: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import onnx

    path, _ = export_bundle(tiny_bundle, ticks=2)
    file = onnx.load(path)
    for each in file.metadata_props:
        if each.key == "lram.weights_sha256":
            each.value = "0123456789abcdef"
    onnx.save(file, path)
    with caplog.at_level(logging.WARNING):
        description = Policy.load(tiny_bundle, runtime="onnx").runtime.describe()
    assert "exported in memory" in description
    assert "exported by lram_ros" in caplog.text
    assert "checksum 0123456789ab, expected" in caplog.text


def test_a_file_with_another_state_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    path, _ = export_bundle(tiny_bundle, ticks=1)
    contract = load_bundle(tiny_bundle)[1]
    wider, _ = load_bundle(random_bundle(tmp_path / "wider", contract, d_model=64))
    with pytest.raises(
        BundleError, match=r"state_0_conv is tensor\(float\) \[1, 3, 64\], expected"
    ):
        OnnxRuntime(wider, file=path)


def test_all_inputs_and_outputs_are_checked(tiny_bundle: Path, tmp_path: Path) -> None:
    import onnx

    path, _ = export_bundle(tiny_bundle, ticks=1)
    model, _ = load_bundle(tiny_bundle)
    file = onnx.load(path)
    (reward,) = (each for each in file.graph.input if each.name == "reward")
    reward.type.tensor_type.shape.dim[0].dim_param = "N"
    del file.graph.output[0]  # the logits
    onnx.save(file, tmp_path / "other.onnx")
    said = r"reward is tensor\(float\) \['N'\], expected .* \[1\], logits is missing, expected"
    with pytest.raises(BundleError, match=said):
        OnnxRuntime(model, file=tmp_path / "other.onnx")


def test_the_graph_passes_the_checker(model: ActionModel) -> None:
    import onnx

    made = build(model, "fp32", {})
    onnx.checker.check_model(made, full_check=True)
    names = [value.name for value in (*made.graph.input, *made.graph.output)]
    assert all(name.isidentifier() for name in names), names
