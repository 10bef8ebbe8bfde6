"""Token order, true reward, and control ≡ training over whole episodes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError
from lram_core.policy import Policy
from lram_core.runtimes.eager import TorchRuntime
from lram_core.testing import small_contract, small_model


def episode(length: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(length, 5, generator=generator), torch.rand(length, generator=generator)


def played(policy: Policy, observations: torch.Tensor, rewards: torch.Tensor) -> np.ndarray:
    """Bins chosen in control, the reward of each action fed with the next observation."""
    bins, last = [], 0.0
    for observation, reward in zip(observations, rewards, strict=True):
        bins.append(policy.act(observation.numpy(), last).bins)
        last = float(reward)
    return np.stack(bins)


@torch.no_grad()
def test_control_chooses_what_the_training_form_predicts() -> None:
    """One episode of 120 ticks: longer than a training window, with true rewards and returns."""
    contract, model = small_contract(), small_model()
    policy = Policy(TorchRuntime(model), contract)
    observations, rewards = episode(120)
    policy.reset(task="reach")
    found = played(policy, observations, rewards)
    scale = contract.reward.scale
    to_go = 30.0 - torch.cat([torch.zeros(1), rewards.double().cumsum(0)[:-1]])
    logits, _ = model(observations[None], (to_go / scale).float()[None], rewards[None] / scale)
    np.testing.assert_array_equal(found, logits[0].argmax(-1).numpy())


@torch.no_grad()
def test_tick_logits_equal_forward_logits() -> None:
    model = small_model()
    observations, rewards = episode(60, seed=1)
    to_go = torch.linspace(3, 0, 60)
    expected, _ = model(observations[None], to_go[None], rewards[None])
    state, last = model.init_state(1), None
    for t in range(60):
        tokens = model.tick_tokens(observations[t : t + 1], to_go[t : t + 1], last)
        logits, state = model.advance(tokens, state)
        torch.testing.assert_close(logits, expected[:, t], atol=1e-4, rtol=0)
        last = rewards[t : t + 1]


@torch.no_grad()
def test_token_order_is_state_return_reward() -> None:
    """A change of one token reaches exactly the actions that come after it."""
    model = small_model()
    observations, rewards = episode(8, seed=2)
    to_go = torch.linspace(2, 0, 8)
    base, _ = model(observations[None], to_go[None], rewards[None])

    def first_changed(**changed: torch.Tensor) -> int:
        inputs = {"observation": observations, "return_to_go": to_go, "reward": rewards, **changed}
        other, _ = model(**{name: value[None] for name, value in inputs.items()})
        differs = (other - base).abs().amax((0, 2, 3)) > 1e-6
        return int(differs.nonzero()[0])

    at = 4
    bump = torch.zeros(8)
    bump[at] = 1.0
    assert first_changed(observation=observations + bump[:, None]) == at
    assert first_changed(return_to_go=to_go + bump) == at
    # The reward of an action follows it: it can move only the next one.
    assert first_changed(reward=rewards + bump) == at + 1


@torch.no_grad()
def test_the_true_reward_is_fed_in_control() -> None:
    """Zeros in place of rewards change the choice; a reward before the first tick does not."""
    contract, model = small_contract(), small_model(seed=3)
    with torch.no_grad():
        model.head.weight.mul_(20)
    observations, rewards = episode(40, seed=3)
    policy = Policy(TorchRuntime(model), contract)
    policy.reset(target_return=25.0)
    true = played(policy, observations, 10 * rewards)
    policy.reset(target_return=25.0)
    zero = played(policy, observations, torch.zeros(40))
    assert (true[0] == zero[0]).all()
    assert (true[1:] != zero[1:]).any()

    policy.reset(target_return=25.0)
    a = policy.act(observations[0].numpy(), 0.0)
    assert policy.return_to_go == 25.0
    policy.reset(target_return=25.0)
    b = policy.act(observations[0].numpy(), 7.0)
    np.testing.assert_array_equal(a.bins, b.bins)
    assert policy.return_to_go == 25.0
    policy.act(observations[1].numpy(), 7.0)
    assert policy.return_to_go == pytest.approx(18.0)


def test_reset_forgets_the_episode_before() -> None:
    policy = Policy(TorchRuntime(small_model()), small_contract())
    first, second = episode(20, seed=4), episode(20, seed=5)
    fresh = played(policy, *second)
    policy.reset()
    played(policy, *first)
    policy.reset()
    np.testing.assert_array_equal(played(policy, *second), fresh)


def test_bad_observations_leave_the_state_alone() -> None:
    policy = Policy(TorchRuntime(small_model()), small_contract())
    observations, rewards = episode(10, seed=6)
    expected = played(policy, observations, rewards)
    policy.reset()
    played(policy, observations[:5], rewards[:5])
    with pytest.raises(ContractError, match="not finite"):
        policy.act(np.full(5, np.nan, dtype=np.float32), 0.0)
    with pytest.raises(ContractError, match=r"shape \(5,\), found shape \(4,\)"):
        policy.act(np.zeros(4, dtype=np.float32), 0.0)
    with pytest.raises(ContractError, match="not finite"):
        policy.act(observations[5].numpy(), float("inf"))
    last = float(rewards[4])
    np.testing.assert_array_equal(policy.act(observations[5].numpy(), last).bins, expected[5])


def test_actions_stay_within_the_contract() -> None:
    contract: PolicyContract = small_contract()
    policy = Policy(TorchRuntime(small_model()), contract)
    policy.warm_up()
    observations, _ = episode(50, seed=7)
    for observation in observations:
        action = policy.act(100 * observation.numpy(), 1.0)
        for value, field in zip(action.values, contract.action, strict=True):
            assert field.low <= value <= field.high
        assert set(action.timings) == {"tokenise", "step", "decode"}
