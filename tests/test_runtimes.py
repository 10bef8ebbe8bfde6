"""Every runtime computes what the reference computes, and behaves alike in all else."""

from __future__ import annotations

import dataclasses
import gc
import math
import sys

import numpy as np
import pytest
import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bench.inputs import Inputs, RandomWalk
from lram_core.errors import CommandError, ContractError, RuntimeUnavailable, StateError
from lram_core.policy import Policy
from lram_core.runtimes import AUTO_ORDER, RUNTIMES, _warn_once, make_runtime, runtime_class
from lram_core.runtimes.base import Runtime, RuntimeOptions
from lram_core.runtimes.cuda_graph import CudaGraphRuntime
from lram_core.runtimes.eager import TorchRuntime
from lram_core.testing import random_bundle, small_contract

FP32 = RuntimeOptions(precision="fp32")
OPTIONS = {
    "xlstm": {"d_model": 32, "num_layers": 2, "num_heads": 2},
    "xlstm with sLSTM": {"d_model": 32, "num_layers": 2, "num_heads": 2, "slstm_at": [1]},
    "mamba": {"d_model": 32, "num_layers": 2},
    "transformer": {"d_model": 32, "num_layers": 2, "context": 4},
}


def config(kind: str) -> ModelConfig:
    return ModelConfig(5, 2, backbone=kind.split()[0], backbone_options=OPTIONS[kind])


def model(kind: str) -> ActionModel:
    """Wide logits, so that the chosen bin does not hang on the last bit of a sum."""
    torch.manual_seed(0)
    made = ActionModel(config(kind)).eval()
    with torch.no_grad():
        made.head.weight.mul_(20)
    return made


def build(name: str, made: ActionModel) -> Runtime:
    """A runtime; where there is no GPU, what a CUDA graph would hold, launched one by one."""
    if name == "cuda-graph":
        return CudaGraphRuntime.uncaptured(made, FP32)
    return make_runtime(made, name, FP32)


def reason(name: str, kind: str) -> str | None:
    if name == "cuda-graph":
        return None
    return runtime_class(name).unavailable(config(kind), FP32)


PAIRS = [(name, kind) for name in RUNTIMES for kind in OPTIONS if reason(name, kind) is None]
over_all = pytest.mark.parametrize(("name", "kind"), PAIRS)


def tick(runtime: Runtime, walk: Inputs, at: int, first: bool, early: bool = False) -> np.ndarray:
    reward = None if first else float(walk.rewards[at - 1])
    if early and reward is not None:
        runtime.advance_reward(reward)
        reward = None
    runtime.tokenise(walk.observations[at], float(walk.returns_to_go[at]), reward)
    return runtime.step().copy()


@pytest.mark.parametrize("name", RUNTIMES)
def test_an_xlstm_is_run_by_every_runtime(name: str) -> None:
    assert reason(name, "xlstm") is None


@over_all
def test_same_bins_over_episodes_and_early_rewards(name: str, kind: str) -> None:
    made = model(kind)
    found, reference = build(name, made), TorchRuntime(made)
    walk = RandomWalk(made).take(80)
    for at in range(len(walk)):
        first = at in (0, 5, 6, 40)
        if first:
            found.reset()
            reference.reset()
        expected = tick(reference, walk, at, first)
        np.testing.assert_array_equal(tick(found, walk, at, first, early=at % 3 == 1), expected)
        np.testing.assert_allclose(found.logits, reference.logits, atol=2e-3)


@over_all
def test_goes_on_from_a_state_of_its_own_and_of_the_reference(name: str, kind: str) -> None:
    made = model(kind)
    walk = RandomWalk(made).take(30)
    found, reference = build(name, made), TorchRuntime(made)
    for at in range(15):
        tick(found, walk, at, at == 0)
        tick(reference, walk, at, at == 0)
    saved = found.state()
    expected = [tick(found, walk, at, False) for at in range(15, 30)]
    for state in (saved, reference.state()):
        found.load_state(state)
        again = [tick(found, walk, at, False) for at in range(15, 30)]
        np.testing.assert_array_equal(again, expected)
    reference.load_state(saved)
    again = [tick(reference, walk, at, False) for at in range(15, 30)]
    np.testing.assert_array_equal(again, expected)


@over_all
def test_reset_gives_the_state_of_an_episodes_start(name: str, kind: str) -> None:
    made = model(kind)
    walk = RandomWalk(made).take(4)
    runtime = build(name, made)
    for at in range(4):
        tick(runtime, walk, at, at == 0)
    runtime.advance_reward(1.0)
    runtime.reset()
    state = runtime.state()
    for key, value in made.init_state(1).items():
        assert state[key].dtype == value.numpy().dtype
        np.testing.assert_array_equal(state[key], value.numpy())


@over_all
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(name: str, kind: str) -> None:
    made = model(kind)
    runtime = build(name, made)
    walk = RandomWalk(made).take(2)
    tick(runtime, walk, 0, True)
    good = runtime.state()
    key, value = next(iter(good.items()))
    for bad, words in [
        ({**good, key: value[..., :-1]}, rf"{key} is float32 \(.*\), expected float32 \("),
        ({**good, key: value.astype(np.float64)}, rf"{key} is float64 \(.*, expected float32 \("),
        ({k: v for k, v in good.items() if k != key}, f"{key} is missing, expected float32"),
        ({**good, "9.C": value}, "9.C is unknown"),
        ({**good, key: np.full_like(value, np.nan)}, f"{key} is not finite"),
        ({**good, key: [[1], [1, 2]]}, rf"{key} is object .*, expected float32"),
        *(({**good, k: v - 9}, f"{k} is negative") for k, v in good.items() if v.dtype == int),
    ]:
        with pytest.raises(StateError, match=words):
            runtime.load_state(bad)
    for k, v in runtime.state().items():
        np.testing.assert_array_equal(v, good[k])


@over_all
def test_a_policy_goes_on_from_its_state(name: str, kind: str) -> None:
    """Not the runtime's part alone: what is still asked for, and where in the tick it was."""
    made = model(kind)
    walk = RandomWalk(made).take(12).observations
    policy, other = (Policy(build(name, made), small_contract()) for _ in range(2))
    saved = [policy.state()]
    for at in range(6):
        policy.act(walk[at], 0.5)
    saved.append(policy.state())
    policy.observe_reward(0.7)
    saved.append(policy.state())

    def go_on(policy: Policy, rewarded: bool) -> list[np.ndarray]:
        first = policy.act(walk[6], None if rewarded else 0.7)
        return [first.bins, *(policy.act(each, 0.2).bins for each in walk[7:])]

    expected = go_on(policy, rewarded=True)
    for state in saved[1:]:
        for each in (other, policy):
            each.load_state(state)
            np.testing.assert_array_equal(go_on(each, state.rewarded), expected)
            assert each.return_to_go == policy.return_to_go
    other.load_state(saved[0])
    other.act(walk[0])  # an episode's first tick has no reward
    for wrong in (math.inf, 1e300, "much"):
        with pytest.raises(ContractError, match="return to go"):
            other.load_state(dataclasses.replace(saved[1], return_to_go=wrong))


@over_all
@pytest.mark.filterwarnings("error")
def test_refused_inputs_leave_the_state(name: str, kind: str) -> None:
    policy = Policy(build(name, model(kind)), small_contract())
    observation = np.zeros(5, np.float32)
    policy.act(observation)
    before, to_go = policy.runtime.state(), policy.return_to_go
    huge = np.array([0, 0, 1e300, 0, 0])
    for arguments, words in [
        ((np.full(5, np.nan, np.float32), 0.0), "observation is not finite in float32; the state"),
        ((huge, 0.0), "observation is not finite in float32"),
        (("abc", 0.0), r"observation: expected numbers of shape \(5,\), found 'abc'"),
        (([[1, 2], [3]], 0.0), r"observation: expected numbers of shape \(5,\), found \["),
        ((np.zeros(4), 0.0), r"observation: expected numbers of shape \(5,\), found shape \(4,\)"),
        ((observation, math.inf), "reward is not finite in float32; the state was not advanced"),
        ((observation, 1e300), "reward is not finite in float32"),
        ((observation, "much"), "reward: expected a number, found 'much'"),
        ((observation, np.zeros(2)), r"reward: expected a number, found shape \(2,\)"),
    ]:
        with pytest.raises(ContractError, match=words):
            policy.act(*arguments)
    for target in (math.nan, 1e300, "all"):
        with pytest.raises(ContractError, match=r"target return.* (found|expected)"):
            policy.reset(target_return=target)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="reward is missing"):
        policy.act(observation)
    with pytest.raises(ContractError, match="reward is not finite"):
        policy.observe_reward(math.nan)
    assert policy.return_to_go == to_go
    for key, value in policy.runtime.state().items():
        np.testing.assert_array_equal(value, before[key])


def test_a_reward_that_has_no_effect_must_be_finite_all_the_same() -> None:
    policy = Policy(TorchRuntime(model("xlstm")), small_contract())
    with pytest.raises(ContractError, match="reward is not finite"):
        policy.act(np.zeros(5, np.float32), math.nan)


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_ticks_leave_nothing_behind(name: str) -> None:
    """Of what the native runtime, which allocates nothing, is held to in test_native.py."""
    made = model("xlstm")
    runtime, walk = build(name, made), RandomWalk(made).take(10)

    def ticks(count: int) -> None:
        for at in range(count):
            tick(runtime, walk, at % 10, first=False, early=at % 10 == 5)
        gc.collect()

    def growth(count: int) -> int:
        before = sys.getallocatedblocks()
        ticks(count)
        return sys.getallocatedblocks() - before

    growth(300)
    # One object left by a tenth of the ticks would be 200 blocks, in every round. What the
    # interpreter and other tests' libraries fill once (caches, free lists) is in one of them.
    assert any(growth(2000) < 200 for _ in range(3))


@over_all
def test_logits_that_are_not_finite_give_no_action(name: str, kind: str) -> None:
    made = model(kind)
    with torch.no_grad():
        made.head.bias[3] = math.nan
    policy = Policy(build(name, made), small_contract())
    assert np.isnan(policy.act(np.zeros(5, np.float32)).values).all()


@over_all
def test_says_what_it_is(name: str, kind: str) -> None:
    runtime = build(name, model(kind))
    assert runtime.precision == "fp32"
    assert "fp32" in runtime.describe()
    with pytest.raises(
        RuntimeUnavailable, match=f"{name} has no precision 'fp3'; available: .*fp32"
    ):
        runtime_class(name).choose_precision(RuntimeOptions(precision="fp3"))


def test_unknown_names_list_what_exists(tmp_path) -> None:
    names = "auto, native, torch, cuda-graph, onnx"
    assert sorted(names.split(", ")[1:]) == sorted(RUNTIMES)
    bundle = random_bundle(tmp_path / "bundle", small_contract())
    with pytest.raises(CommandError, match="unknown runtime 'warp'; available: auto, native, "):
        Policy.load(bundle, runtime="warp")
    with pytest.raises(CommandError, match="threads: expected at least 1, found 0"):
        Policy.load(bundle, threads=0)
    with pytest.raises(RuntimeUnavailable, match="no precision 'fp3'; available: fp32"):
        Policy.load(bundle, runtime="torch", precision="fp3")
    for threads in ("2", 1.5):
        with pytest.raises(CommandError, match="threads: expected a whole number, found"):
            Policy.load(bundle, threads=threads)  # type: ignore[arg-type]
    with pytest.raises(CommandError, match="unknown precision 'fp3'; available: fp32, int8, bf16"):
        Policy.load(bundle, precision="fp3")
    with pytest.raises(
        RuntimeUnavailable,
        match="no runtime with precision bf16 for the backbone xlstm on cpu: runtime native has ",
    ):
        Policy.load(bundle, precision="bf16")
    # Of two reasons the one that can be helped.
    with pytest.raises(RuntimeUnavailable, match="no precision 'fp3'; available: fp32, bf16"):
        Policy.load(bundle, runtime="cuda-graph", precision="fp3")


def test_auto_takes_the_first_that_can(monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    made = model("xlstm")
    first, second, third = AUTO_ORDER["cpu"]
    _warn_once.cache_clear()
    assert make_runtime(made, "auto", RuntimeOptions()).name == first
    assert caplog.text == ""
    monkeypatch.setattr(
        runtime_class(first), "unavailable", classmethod(lambda *_: "it is being repaired")
    )
    assert make_runtime(made, "auto", RuntimeOptions()).name == second
    assert f"runtime {first}: it is being repaired; runtime {second} is used" in caplog.text
    said = len(caplog.records)
    make_runtime(made, "auto", RuntimeOptions())
    assert len(caplog.records) == said, "once a process"
    with pytest.raises(RuntimeUnavailable, match=f"runtime {first}: it is being repaired"):
        make_runtime(made, first, RuntimeOptions())

    def broken(*_: object) -> None:
        raise RuntimeUnavailable(f"runtime {second}: it broke")

    monkeypatch.setattr(runtime_class(second), "__init__", broken)
    assert make_runtime(made, "auto", RuntimeOptions()).name == third
    assert f"runtime {second}: it broke; runtime {third} is used" in caplog.text
