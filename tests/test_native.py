"""The native runtime is the torch runtime: every block, instruction set, precision and pattern."""

from __future__ import annotations

import gc
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bundle import load_bundle
from lram_core.errors import StateError
from lram_core.native import library
from lram_core.quantise import dequantised_model
from lram_core.runtimes.base import Runtime, RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime
from lram_core.runtimes.native import NativeRuntime
from lram_core.testing import small_model

SHIPPED = Path(__file__).parents[1] / "models" / "metaworld-ml45"
PRECISIONS = NativeRuntime.precisions
ISAS = library.available_isas()
# Of logits of about 1 to 6. Integer activations have 16 bits.
TOLERANCE = {"fp32": 3e-5, "int8": 2e-3}


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    width = draw(st.sampled_from([16, 32, 48, 64, 96]))
    options = {"d_model": width, "num_layers": draw(st.integers(1, 4))}
    backbone = draw(st.sampled_from(["xlstm", "xlstm", "mamba"]))
    if backbone == "xlstm":
        options["num_heads"] = draw(st.sampled_from(heads_of(2 * width)))
        options["slstm_heads"] = draw(st.sampled_from(heads_of(width)))
        blocks = st.integers(0, options["num_layers"] - 1)
        options["slstm_at"] = sorted(draw(st.sets(blocks)))
    return ModelConfig(
        observation_size=draw(st.integers(1, 40)),
        action_size=draw(st.integers(1, 5)),
        bins=draw(st.integers(2, 70)),
        backbone=backbone,
        backbone_options=options,
    )


def heads_of(size: int) -> list[int]:
    return [heads for heads in range(1, 7) if size % heads == 0 and size // heads % 16 == 0]


def roughened(config: ModelConfig, seed: int = 0) -> ActionModel:
    """A random model with no parameter left at its initial value."""
    torch.manual_seed(seed)
    model = ActionModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        model.observation_norm.set(torch.randn(50, config.observation_size) + 1.0)
        model.return_norm.set(torch.randn(50, 1) * 3.0)
        model.reward_norm.set(torch.randn(50, 1) * 0.1)
    return model


def native(model: ActionModel, precision: str = "fp32", threads: int = 1) -> NativeRuntime:
    return NativeRuntime(model, RuntimeOptions(precision=precision, threads=threads))


def play(runtimes: list[Runtime], pattern: list[str], size: int, seed: int = 0) -> list[float]:
    """Give all runtimes the same ticks; returns the largest difference of logits to the first."""
    rng = np.random.default_rng(seed)
    worst = [0.0] * len(runtimes)
    for kind in pattern:
        observation = rng.normal(size=size).astype(np.float32) * 4
        goal, reward = rng.normal(size=2)
        for i, runtime in enumerate(runtimes):
            if kind == "reset":
                runtime.reset()
            elif kind == "early reward":
                runtime.advance_reward(float(reward))
            runtime.tokenise(observation, float(goal), float(reward) if kind == "reward" else None)
            bins = runtime.step()
            assert (bins == runtime.logits.argmax(-1)).all()
            worst[i] = max(worst[i], float(abs(runtime.logits - runtimes[0].logits).max()))
    return worst


TICKS = st.lists(st.sampled_from(["reward", "early reward", "none", "reset"]), max_size=12)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=20, deadline=None)
@given(config=configs(), pattern=TICKS, seed=st.integers(0, 100))
def test_it_computes_what_torch_computes(
    isa: str, precision: str, config: ModelConfig, pattern: list[str], seed: int
) -> None:
    model = roughened(config, seed)
    reference = TorchRuntime(model if precision == "fp32" else dequantised_model(model))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.ISA_VARIABLE, isa)
        runtime = native(model, precision)
    assert runtime.describe() == f"native ({precision}, {isa}, 1 thread)"
    pattern = ["reset", *pattern]
    worst = play([reference, runtime], pattern, config.observation_size, seed)[1]
    assert worst < TOLERANCE[precision]
    expected, found = reference.state(), runtime.state()
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(
            found[name], value, rtol=0, atol=TOLERANCE[precision] * max(1.0, abs(value).max())
        )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "options", [{"num_heads": 2, "slstm_at": [1]}, {"num_heads": 4}], ids=["mixed", "mlstm"]
)
def test_a_second_thread_changes_no_bit(precision: str, options: dict[str, object]) -> None:
    config = ModelConfig(9, 3, 40, "xlstm", {"d_model": 128, "num_layers": 3, **options})
    model = roughened(config)
    one, two = native(model, precision), native(model, precision, threads=2)
    assert "2 threads" in two.describe()
    pattern = ["reset"] + ["reward", "none", "early reward"] * 60
    assert play([one, two], pattern, 9) == [0.0, 0.0]
    for name, value in one.state().items():
        np.testing.assert_array_equal(two.state()[name], value)


def test_long_episodes_do_not_drift() -> None:
    model = small_model()
    reference, runtime = TorchRuntime(model), native(model)
    assert play([reference, runtime], ["reset"] + ["reward"] * 1000, 5)[1] < TOLERANCE["fp32"]


def test_the_shipped_bundle_chooses_the_same_bins() -> None:
    model, contract = load_bundle(SHIPPED)
    reference, runtime = TorchRuntime(model), native(model)
    rng = np.random.default_rng(0)
    mean, std = (x.numpy() for x in (model.observation_norm.mean, model.observation_norm.std))
    observation = mean.copy()
    same = []
    for tick in range(300):
        if tick % 100 == 0:
            reference.reset()
            runtime.reset()
        # A slow walk through the observations of training.
        observation += 0.3 * ((mean - observation) * 0.1 + 0.4 * std * rng.normal(size=mean.size))
        goal = contract.target_return(None) / contract.reward.scale * (1 - tick % 100 / 100)
        for each in (reference, runtime):
            each.tokenise(observation, goal, 0.01 if tick % 100 else None)
        same.append(reference.step() == runtime.step())
    assert np.mean(same) >= 0.999


def test_state_round_trip_and_between_runtimes() -> None:
    config = ModelConfig(3, 2, 20, "xlstm", {"d_model": 64, "num_layers": 2, "slstm_at": [0]})
    model = roughened(config)
    runtime, reference = native(model), TorchRuntime(model)
    play([runtime], ["reset"] + ["reward"] * 5, 3)
    state = runtime.state()
    reference.load_state(state)
    first = play([reference, runtime], ["reward"] * 3, 3)[1]
    assert first < TOLERANCE["fp32"]
    runtime.load_state(state)
    for name, value in state.items():
        np.testing.assert_array_equal(runtime.state()[name], value)
    reference.load_state(state)
    assert play([reference, runtime], ["reward"] * 3, 3)[1] == first


def test_a_wrong_state_is_refused_and_changes_nothing() -> None:
    runtime = native(small_model())
    play([runtime], ["reset", "reward"], 5)
    before = runtime.state()
    wrong = {**before, "0.m": np.zeros((1, 7), np.float32)}
    with pytest.raises(StateError, match=r"0\.m is float32 \(1, 7\), expected float32 \(1, 2\)"):
        runtime.load_state(wrong)
    with pytest.raises(StateError, match="more is unknown"):
        runtime.load_state({**before, "more": np.zeros(1, np.float32)})
    for name, value in before.items():
        np.testing.assert_array_equal(runtime.state()[name], value)


def test_the_copy_of_a_state_is_the_callers() -> None:
    runtime = native(small_model())
    play([runtime], ["reset", "reward"], 5)
    state = runtime.state()
    kept = {name: value.copy() for name, value in state.items()}
    play([runtime], ["reward"], 5)
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backbone", ["mlstm", "slstm", "mamba"])
def test_a_state_that_is_not_finite_shows_in_the_logits(
    backbone: str, precision: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library.ISA_VARIABLE, isa)
    monkeypatch.setattr("lram_core.runtimes.native.check_state", lambda state, _: state)
    options: dict[str, object] = {"d_model": 32, "num_layers": 4}
    if backbone != "mamba":
        heads = {"num_heads": 2, "slstm_heads": 2}
        options.update(heads, slstm_at=range(4) if backbone == "slstm" else ())
    kind = "mamba" if backbone == "mamba" else "xlstm"
    runtime = native(roughened(ModelConfig(3, 2, 20, kind, options)), precision)
    play([runtime], ["reset", "reward"], 3)
    state = runtime.state()
    for name in state:
        broken = {**state, name: state[name].copy()}
        broken[name].flat[-1] = np.nan
        runtime.load_state(broken)
        runtime.tokenise(np.zeros(3, np.float32), 0.0, None)
        runtime.step()
        assert np.isnan(runtime.logits).any(), name


@pytest.mark.parametrize("precision", PRECISIONS)
def test_ticks_allocate_nothing(precision: str) -> None:
    options = {"d_model": 16, "num_layers": 3, "num_heads": 1, "slstm_at": [2], "slstm_heads": 1}
    runtime = native(roughened(ModelConfig(3, 2, 20, "xlstm", options)), precision)
    observation = np.zeros(3, np.float32)

    def ticks(count: int) -> None:
        for _ in range(count):
            runtime.advance_reward(0.1)
            runtime.tokenise(observation, 0.5, None)
            runtime.step()

    runtime.reset()
    ticks(100)
    gc.collect()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ticks(100_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident <= 256  # KiB
    tracemalloc.start()
    ticks(10)
    first = tracemalloc.get_traced_memory()[0]
    ticks(1000)
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert grown < 256
    assert all(np.isfinite(value).all() for value in runtime.state().values())


def test_traffic_counts_weights_and_state() -> None:
    model = small_model(64)
    state = sum(value.nbytes for value in native(model).state().values())
    parameters = 4 * sum(parameter.numel() for parameter in model.parameters())
    weights, moved = native(model).traffic
    assert moved == state
    # Panels of outputs are padded, the norms' statistics come on top.
    assert parameters <= weights <= 1.5 * parameters
    deep = roughened(ModelConfig(5, 2, 9, "mamba", {"d_model": 64, "num_layers": 4}))
    assert native(deep, "int8").traffic[0] < native(deep).traffic[0]


def test_the_streaming_limit_reads_all_of_a_buffer() -> None:
    buffer = library.stream_buffer(4096 * 4)
    assert buffer.ctypes.data % 64 == 0
    assert library.stream_read(buffer) == 4096
    with pytest.raises(ValueError, match="64 bytes"):
        library.stream_read(buffer[1:])
