"""The Decision Transformer: attention window, positions, ring cache, in-place steps."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from lram_core.backbones import make_config
from lram_core.backbones.ring_cache import held_tokens
from lram_core.backbones.transformer import Transformer, TransformerConfig
from lram_core.errors import BundleError
from lram_core.testing import roughened

CONFIG = TransformerConfig(d_model=32, num_layers=2, num_heads=4, context=5, max_timesteps=12)
TOKENS = 60


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    return roughened(Transformer(CONFIG))  # type: ignore[return-value]


def written_out(model: Transformer, tokens: torch.Tensor) -> torch.Tensor:
    """One sequence (S, D) by the textbook: no cache, one query and head at a time."""
    x = tokens.clone()
    for t in range(len(x)):
        x[t] += model.position.weight[min(t // 3, CONFIG.max_timesteps - 1)]
    for block in model.blocks:
        q, k, v = block.qkv(block.attention_norm(x)).chunk(3, -1)
        read = torch.zeros_like(x)
        for t in range(len(x)):
            seen = slice(max(0, t - CONFIG.window + 1), t + 1)
            for head in range(CONFIG.num_heads):
                part = slice(head * CONFIG.head_size, (head + 1) * CONFIG.head_size)
                weight = (k[seen, part] @ q[t, part] / math.sqrt(CONFIG.head_size)).softmax(0)
                read[t, part] = weight @ v[seen, part]
        x = x + block.out_proj(read)
        x = x + block.proj_down(F.gelu(block.proj_up(block.mlp_norm(x))))
    return model.norm(x)


@torch.no_grad()
def test_outputs_are_those_of_the_textbook(model: Transformer) -> None:
    tokens = torch.randn(2, TOKENS, 32)
    expected = torch.stack([written_out(model, row) for row in tokens])
    torch.testing.assert_close(model(tokens)[0], expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_empty_cache_is_as_none(model: Transformer) -> None:
    tokens, starts = torch.randn(2, TOKENS, 32), torch.rand(2, TOKENS) < 0.1
    empty = model(tokens, starts, model.init_state(2))
    none = model(tokens, starts)
    torch.testing.assert_close(none[0], empty[0], atol=1e-5, rtol=0)
    for name, value in empty[1].items():
        torch.testing.assert_close(none[1][name], value, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_token_sees_its_window_and_nothing_older(model: Transformer) -> None:
    """Within one block; through two blocks the view widens."""
    shallow = roughened(Transformer(TransformerConfig(32, 1, 4, context=5, max_timesteps=12)))
    tokens = torch.randn(1, TOKENS, 32)
    changed = tokens.clone()
    changed[:, 20] = torch.randn(32)
    differs = (shallow(tokens)[0] != shallow(changed)[0]).any(-1)[0]
    assert differs.nonzero().flatten().tolist() == list(range(20, 20 + CONFIG.window))


@torch.inference_mode()
def test_steps_in_place_equal_functional_ones_and_reuse_the_cache(model: Transformer) -> None:
    tokens = torch.randn(2, TOKENS, 32)
    kept, given = model.init_state(2), model.init_state(2)
    caches = {name: given[name].data_ptr() for name in given if name != "position"}
    for t in range(0, TOKENS, 3):
        before = {name: value.clone() for name, value in kept.items()}
        expected, after = model.step(tokens[:, t : t + 3], kept)
        for name, value in kept.items():
            torch.testing.assert_close(value, before[name], atol=0, rtol=0)
        found, given = model.step_(tokens[:, t : t + 3], given)
        torch.testing.assert_close(found, expected, atol=0, rtol=0)
        kept = after
    for name, value in kept.items():
        torch.testing.assert_close(given[name], value, atol=0, rtol=0)
    assert {name: given[name].data_ptr() for name in caches} == caches


@torch.inference_mode()
def test_rows_at_different_places_of_their_episodes(model: Transformer) -> None:
    """The ring's slots are those of each row: one has just started, one has wrapped around."""
    tokens = torch.randn(2, TOKENS, 32)
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[1, 50] = True
    _, state = model(tokens[:, :52], mask[:, :52])
    assert state["position"].tolist() == [52, 2]
    found, _ = model.step(tokens[:, 52:], state)
    whole, _ = model(tokens[:1])
    alone, _ = model(tokens[1:, 50:])
    torch.testing.assert_close(found[:1], whole[:, 52:], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1:], alone[:, 2:], atol=1e-5, rtol=0)


def test_slots_hold_the_last_tokens() -> None:
    held = held_tokens(torch.tensor([0, 2, 5, 11]), 4)
    assert (held[0] < 0).all()
    assert held[1, :2].tolist() == [0, 1]
    assert (held[1, 2:] < 0).all()
    assert held[2].tolist() == [4, 1, 2, 3]
    assert held[3].tolist() == [8, 9, 10, 7]


def test_bad_shapes_are_named() -> None:
    with pytest.raises(BundleError, match="d_model = 64 must be a multiple of num_heads = 5"):
        make_config("transformer", {"d_model": 64, "num_layers": 1, "num_heads": 5})
    with pytest.raises(BundleError, match="context: expected a positive integer, found 0"):
        make_config("transformer", {"d_model": 64, "num_layers": 1, "context": 0})
