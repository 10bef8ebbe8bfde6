"""Many robots in one pass: every slot does what a policy of its own would."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.action_model import ActionModel
from lram_core.batch_policy import BatchPolicy
from lram_core.bench.timing import tick_seconds
from lram_core.errors import CommandError, ContractError, RuntimeUnavailable
from lram_core.policy import Policy
from lram_core.runtimes.eager import TorchRuntime
from lram_core.testing import random_bundle, small_contract, small_model

N = 3
CONTRACT = small_contract()


def wide_model(**backbone: object) -> ActionModel:
    """Wide logits, so that the chosen bin does not hang on the last bit of a sum."""
    torch.manual_seed(0)
    config = small_model().config
    if backbone:
        options = {name: value for name, value in backbone.items() if name != "name"}
        config = dataclasses.replace(config, backbone=backbone["name"], backbone_options=options)
    model = ActionModel(config).eval()
    with torch.no_grad():
        model.head.weight.mul_(20)
    return model


MODELS = {
    "xlstm": wide_model(),
    "slstm": wide_model(name="xlstm", d_model=32, num_layers=2, num_heads=2, slstm_at=[1]),
    "mamba": wide_model(name="mamba", d_model=32, num_layers=2),
    "transformer": wide_model(name="transformer", d_model=32, num_layers=2, context=4),
}


class Pair:
    """A batch, and a policy of its own for each slot."""

    def __init__(self, model: ActionModel, device: str = "cpu") -> None:
        self.on_cpu = device == "cpu"
        self.batch = BatchPolicy(model, CONTRACT, N, torch.device(device))
        self.single = [Policy(TorchRuntime(model), CONTRACT) for _ in range(N)]
        self.rng = np.random.default_rng(0)

    def reset(self, slot: int, target: float | None = None) -> None:
        self.batch.reset(slot, "reach", target)
        self.single[slot].reset("reach", target)

    def tick(self, active: list[bool], early: list[bool]) -> None:
        observations = self.rng.standard_normal((N, 5)).astype(np.float32)
        rewards = self.rng.uniform(0, 10, N)
        taking = np.array(active)
        # What is given for the slots that do not take part is not looked at.
        observations[~taking], rewards[~taking] = math.nan, math.inf
        going_on = taking & ~self.batch._first
        ahead = going_on & early
        if ahead.any():
            self.batch.observe_rewards(rewards, ahead)
        left = None if (ahead == taking).all() else np.where(ahead, math.nan, rewards)
        found = self.batch.act(observations, left, taking)
        for slot in range(N):
            if not active[slot]:
                assert (found.bins[slot] == -1).all()
                assert np.isnan(found.values[slot]).all()
                continue
            expected = self.single[slot].act(observations[slot], rewards[slot])
            logits, ours = self.single[slot].runtime.logits, self.batch._tick.logits[slot]
            np.testing.assert_allclose(ours, logits, atol=2e-3)
            np.testing.assert_array_equal(found.bins[slot], ours.argmax(-1))
            if self.on_cpu:  # on a GPU two bins that are all but equal may change places
                np.testing.assert_array_equal(found.bins[slot], expected.bins)
                np.testing.assert_array_equal(found.values[slot], expected.values)
        assert self.batch.return_to_go.tolist() == [p.return_to_go for p in self.single]


ticks = st.lists(
    st.tuples(
        st.sets(st.integers(0, N - 1)),  # slots that start an episode
        st.lists(st.booleans(), min_size=N, max_size=N),  # slots that take part
        st.lists(st.booleans(), min_size=N, max_size=N),  # whose rewards go ahead of the tick
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("name", MODELS)
@given(ticks=ticks)
@settings(max_examples=40, deadline=None)
def test_a_batched_tick_equals_single_ticks(name, ticks) -> None:
    pair = Pair(MODELS[name])
    for number, (resets, active, early) in enumerate(ticks):
        for slot in resets:
            pair.reset(slot, 20.0 + number)
        pair.tick(active, early)


def test_long_episodes_that_start_at_different_times() -> None:
    pair = Pair(MODELS["xlstm"])
    for number in range(60):
        if number % 17 == 5:
            pair.reset(number % N)
        pair.tick([True, True, number % 3 > 0], early=[number % 2 == 0] * 2 + [number % 5 > 1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="captures on a GPU")
@pytest.mark.parametrize("name", MODELS)
def test_a_captured_batch_equals_single_ticks(name: str) -> None:
    pair = Pair(MODELS[name], "cuda")
    assert pair.batch.describe().startswith("cuda-graph")
    for number in range(40):
        if number % 7 == 5:
            pair.reset(number % N)
        pair.tick([True, True, number % 3 > 0], early=[number % 2 == 0] * 2 + [number % 5 > 1])


def states(policy: BatchPolicy) -> list[torch.Tensor]:
    return [value.clone() for value in policy._tick.state.values()]


@pytest.mark.filterwarnings("error")
def test_refused_inputs_name_the_slot_and_advance_nobody() -> None:
    policy = BatchPolicy(MODELS["xlstm"], CONTRACT, N)
    good, rewards = np.zeros((N, 5)), np.zeros(N)
    policy.act(good, rewards)
    policy.act(good, rewards)
    before, to_go = states(policy), policy.return_to_go.tolist()
    bad = good.copy()
    bad[1, 2] = math.nan
    huge = good.copy()
    huge[2, 0] = 1e300
    for arguments, words in [
        ((bad, rewards), r"slot 1: observations are not finite in float32; no slot was adv"),
        ((huge, rewards), r"slot 2: observations are not finite"),
        ((good, [0, 0, math.inf]), r"slot 2: rewards are not finite"),
        ((good, [0, 1e300, 0]), r"slot 1: rewards are not finite in float32"),
        ((good, [0, math.nan, 0]), r"slot 1: rewards are not finite"),
        ((good, "abc"), r"rewards: expected numbers of shape \(3,\), found 'abc'"),
        ((good, 0.5), r"rewards: expected numbers of shape \(3,\), found shape \(\)"),
        (([[1, 2], [3]], rewards), r"observations: expected numbers of shape \(3, 5\), found \[\["),
        ((good, None), r"slot 0, 1, 2: the last action's reward is missing"),
        (
            (good[:2], rewards),
            r"observations: expected numbers of .*, found shape \(2, 5\)",
        ),
        ((good, rewards[:2]), r"rewards: expected numbers of shape \(3,\), found shape \(2,\)"),
        ((good, rewards, [1, 1, 1]), r"active: expected bool \(3,\), found \[1, 1, 1\]"),
    ]:
        with pytest.raises(ContractError, match=words):
            policy.act(*arguments)
    with pytest.raises(ContractError, match="slot 0: rewards are not finite"):
        policy.observe_rewards([math.nan, 0, 0])
    assert policy.return_to_go.tolist() == to_go
    assert all(torch.equal(a, b) for a, b in zip(states(policy), before, strict=True))

    policy.observe_rewards([1.0, 0, 0], np.array([True, False, False]))
    with pytest.raises(ContractError, match="slot 0: the last action's reward was given already"):
        policy.observe_rewards(rewards)
    with pytest.raises(ContractError, match="slot 0: the last action's reward was given twice"):
        policy.act(good, rewards)
    with pytest.raises(ContractError, match="slot 1, 2: the last action's reward is missing"):
        policy.act(good)
    policy.reset(0)
    with pytest.raises(ContractError, match="slot 0: no action waits for a reward"):
        policy.observe_rewards(rewards)
    with pytest.raises(ContractError, match="slot 0: target return must be finite in float32"):
        policy.reset(0, target_return=1e300)
    with pytest.raises(ContractError, match="slot 0: target return: expected a number, found 'a"):
        policy.reset(0, target_return="all")  # type: ignore[arg-type]
    # What is given for a slot that does not take part is not looked at.
    policy.act(huge, [0, 0, 1e300], np.array([True, False, False]))
    for slot in (-1, N, 0.5):
        with pytest.raises(ContractError, match=f"slot {slot}: expected 0 to 2"):
            policy.reset(slot)
    with pytest.raises(ContractError, match=r"slot 0: target return must be .*, found nan"):
        policy.reset(0, target_return=math.nan)


def test_unknown_choices_list_what_exists(tmp_path) -> None:
    path = random_bundle(tmp_path / "bundle", CONTRACT)
    assert BatchPolicy.load(path, 2).describe() == "torch (2 slots, fp32, cpu)"
    assert "bf16" in BatchPolicy.load(path, 2, precision="bf16").describe()
    with pytest.raises(CommandError, match="unknown runtime 'warp' for a batch; available: auto"):
        BatchPolicy.load(path, 2, runtime="warp")
    with pytest.raises(RuntimeUnavailable, match="no precision 'int4'; available: fp32, bf16"):
        BatchPolicy.load(path, 2, precision="int4")
    with pytest.raises(CommandError, match="slots: expected at least 1, found 0"):
        BatchPolicy.load(path, 0)
    with pytest.raises(CommandError, match=r"slots: expected a whole number, found 1\.5"):
        BatchPolicy.load(path, 1.5)  # type: ignore[arg-type]
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeUnavailable, match="cuda-graph: needs a CUDA device; none found"):
            BatchPolicy.load(path, 2, runtime="cuda-graph")


def test_ticks_are_timed() -> None:
    policy = BatchPolicy(MODELS["xlstm"], CONTRACT, 2)
    seconds = tick_seconds(policy, 4)
    assert seconds.shape == (4,)
    assert (seconds > 0).all()
    assert policy.return_to_go.tolist() == [20.0, 20.0]
