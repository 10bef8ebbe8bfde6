"""Mamba-1: ours ≡ transformers' reference, weights by their official names, the scan's gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lram_core.backbones.mamba import Mamba, MambaConfig, from_official
from lram_core.selective_scan import selective_scan
from lram_core.testing import roughened

TOKENS = 60


@pytest.fixture(scope="module")
def reference() -> Any:
    from transformers import MambaConfig as ReferenceConfig
    from transformers import MambaModel

    torch.manual_seed(0)
    config = ReferenceConfig(
        hidden_size=64, num_hidden_layers=3, vocab_size=8, state_size=16, conv_kernel=4, expand=2
    )
    return roughened(MambaModel(config))


@torch.no_grad()
def test_official_weights_load_and_outputs_agree(reference: Any) -> None:
    ours = Mamba(MambaConfig(d_model=64, num_layers=3))
    ours.load_state_dict(from_official(reference.state_dict()))
    tokens = torch.randn(2, TOKENS, 64)
    expected = reference(inputs_embeds=tokens).last_hidden_state
    found, _ = ours(tokens)
    assert expected.abs().max() > 1
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)

    state, cache = ours.init_state(2), None
    for t in range(TOKENS):
        part = tokens[:, t : t + 1]
        found_t, state = ours.step(part, state)
        stepped = reference(inputs_embeds=part, cache_params=cache, use_cache=True)
        cache = stepped.cache_params
        torch.testing.assert_close(found_t, stepped.last_hidden_state, atol=1e-4, rtol=0)


def test_checkpoints_of_language_models_keep_only_the_stack(reference: Any) -> None:
    """mamba_ssm: backbone.embedding, lm_head; transformers: embeddings. The rest is one layout."""
    stack = from_official(reference.state_dict())
    ours = Mamba(MambaConfig(d_model=64, num_layers=3)).state_dict()
    assert {n: v.shape for n, v in stack.items()} == {n: v.shape for n, v in ours.items()}
    whole = {f"backbone.{name}": value for name, value in stack.items()}
    whole |= {"backbone.embedding.weight": torch.zeros(1), "lm_head.weight": torch.zeros(1)}
    assert from_official(whole).keys() == stack.keys()


def test_initial_steps_and_rates_are_the_papers() -> None:
    mixer = Mamba(MambaConfig(d_model=64, num_layers=3)).requires_grad_(False).layers[0].mixer
    dt = torch.nn.functional.softplus(mixer.dt_proj.bias)
    assert 1e-3 * 0.99 <= float(dt.min()) < float(dt.max()) <= 0.1 * 1.01
    torch.testing.assert_close(mixer.A_log.exp()[5], torch.arange(1.0, 17.0))
    assert float(mixer.dt_proj.weight.abs().max()) <= 0.5


@pytest.mark.parametrize("chunk_size", [2, 16], ids=["recomputed", "kept"])
def test_gradients_agree_with_finite_differences(chunk_size: int) -> None:
    torch.manual_seed(1)
    double = {"dtype": torch.float64, "requires_grad": True}
    x = torch.randn(2, 5, 3, **double)  # type: ignore[call-overload]
    raw = torch.randn(2, 5, 3, **double)  # type: ignore[call-overload]
    log = torch.randn(3, 2, **double)  # type: ignore[call-overload]
    write, read = (torch.randn(2, 5, 2, **double) for _ in range(2))  # type: ignore[call-overload]
    state = torch.randn(2, 3, 2, **double)  # type: ignore[call-overload]
    segment = torch.tensor([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])

    def scan(*v: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x, raw, log, write, read, state = v
        dt, rates = torch.nn.functional.softplus(raw), -log.exp()
        return selective_scan(x, dt, rates, write, read, state, segment, chunk_size)

    assert torch.autograd.gradcheck(scan, (x, raw, log, write, read, state), eps=1e-6, atol=1e-5)


@torch.no_grad()
def test_long_steps_forget_without_overflow() -> None:
    """A step of 1000 with a rate of 16 decays by exp(-16000): zero, not a NaN."""
    dt = torch.full((1, 40, 2), 1e3)
    x, ones = torch.ones(1, 40, 2), torch.ones(1, 40, 16)
    rates = -torch.arange(1.0, 17.0).expand(2, 16)
    y, state = selective_scan(x, dt, rates, ones, ones, torch.full((1, 2, 16), 1e30))
    torch.testing.assert_close(state, torch.full((1, 2, 16), 1e3))
    torch.testing.assert_close(y, torch.full((1, 40, 2), 16e3))
