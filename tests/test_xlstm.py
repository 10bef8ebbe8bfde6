"""Step ≡ parallel, ours ≡ the official package, no leak across an episode start."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.backbones import make_config, size_options
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.errors import BundleError
from lram_core.testing import roughened

TOKENS = 150


def memory(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state without its stabiliser: two states with equal memory behave alike."""
    true = {}
    for name, value in state.items():
        layer, kind = name.split(".")
        weight = state[f"{layer}.m"].exp()
        if kind == "C":
            true[name] = value * weight[..., None, None]
        elif kind == "n":
            true[name] = value * weight[..., None]
        elif kind == "conv":
            true[name] = value
    return true


@pytest.fixture(scope="module")
def stack() -> XLSTM:
    torch.manual_seed(1)
    return roughened(XLSTM(XLSTMConfig(d_model=64, num_layers=3, num_heads=4, chunk_size=64)))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randn(2, TOKENS, 64, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_official_weights_load_and_outputs_agree(tokens: torch.Tensor) -> None:
    from xlstm import (
        mLSTMBlockConfig,
        mLSTMLayerConfig,
        xLSTMBlockStack,
        xLSTMBlockStackConfig,
    )

    config = xLSTMBlockStackConfig(
        mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=4)),
        context_length=TOKENS,
        num_blocks=3,
        embedding_dim=64,
    )
    reference = roughened(xLSTMBlockStack(config))
    ours = XLSTM(XLSTMConfig(d_model=64, num_layers=3, num_heads=4))
    ours.load_state_dict(reference.state_dict())
    expected = reference(tokens)
    found, state = ours(tokens)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)

    official_state: dict[str, object] = {}
    for t in range(TOKENS):
        stepped, official_state = reference.step(tokens[:, t : t + 1], official_state)
    torch.testing.assert_close(found[:, -1:], stepped, atol=1e-4, rtol=0)
    official_c = official_state["block_2"]["mlstm_state"][0]  # type: ignore[index]
    official_m = official_state["block_2"]["mlstm_state"][2]  # type: ignore[index]
    torch.testing.assert_close(
        memory(state)["2.C"], official_c * official_m.exp(), atol=1e-4, rtol=1e-3
    )


@given(splits=st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_any_split_into_steps_equals_one_forward(
    stack: XLSTM, tokens: torch.Tensor, splits: list[int]
) -> None:
    expected, expected_state = stack(tokens)
    state, start, outputs = stack.init_state(2), 0, []
    for length in [*splits, TOKENS]:
        part = tokens[:, start : start + length]
        if part.shape[1] == 0:
            break
        hidden, state = stack.step(part, state)
        outputs.append(hidden)
        start += length
    torch.testing.assert_close(torch.cat(outputs, 1), expected, atol=1e-4, rtol=0)
    for name, value in expected_state.items():
        torch.testing.assert_close(state[name], value, atol=1e-4, rtol=1e-4)


@given(starts=st.sets(st.integers(0, TOKENS - 1), max_size=6))
@settings(max_examples=15, deadline=None)
@torch.no_grad()
def test_no_state_leaks_across_an_episode_start(
    stack: XLSTM, tokens: torch.Tensor, starts: set[int]
) -> None:
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[0, list(starts)] = True
    hidden, state = stack(tokens, mask)
    bounds = sorted({0, *starts, TOKENS})
    for begin, end in itertools.pairwise(bounds):
        alone, last = stack(tokens[:1, begin:end])
        torch.testing.assert_close(hidden[:1, begin:end], alone, atol=1e-4, rtol=0)
    for name, value in memory(last).items():
        torch.testing.assert_close(memory(state)[name][:1], value, atol=1e-4, rtol=1e-3)
    untouched, _ = stack(tokens[1:])
    torch.testing.assert_close(hidden[1:], untouched, atol=1e-4, rtol=0)


@torch.no_grad()
def test_reset_is_exact_however_large_the_old_state(stack: XLSTM, tokens: torch.Tensor) -> None:
    poisoned = {name: torch.full_like(v, 1e6) for name, v in stack.init_state(2).items()}
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[:, 0] = True
    found, _ = stack(tokens, mask, poisoned)
    expected, _ = stack(tokens)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_batch_rows_do_not_mix(stack: XLSTM, tokens: torch.Tensor) -> None:
    both, _ = stack(tokens)
    for row in range(2):
        one, _ = stack(tokens[row : row + 1])
        torch.testing.assert_close(both[row : row + 1], one, atol=1e-5, rtol=0)


@torch.no_grad()
def test_ten_thousand_steps_in_float32_follow_float64() -> None:
    torch.manual_seed(3)
    single = roughened(XLSTM(XLSTMConfig(d_model=16, num_layers=2, num_heads=2)))
    double = XLSTM(XLSTMConfig(d_model=16, num_layers=2, num_heads=2))
    double.load_state_dict(single.state_dict())
    double.double()
    generator = torch.Generator().manual_seed(4)
    a, b = single.init_state(1), double.init_state(1)  # type: ignore[operator]
    for _ in range(100):
        part = torch.randn(1, 100, 16, generator=generator)
        ya, a = single.step(part, a)  # type: ignore[operator]
        yb, b = double.step(part.double(), b)
    torch.testing.assert_close(ya.double(), yb, atol=1e-4, rtol=0)
    torch.testing.assert_close(a["1.n"].double(), b["1.n"], atol=1e-4, rtol=1e-4)


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(5)
    model = roughened(XLSTM(XLSTMConfig(d_model=4, num_layers=1, num_heads=1, chunk_size=3)))
    model = model.double()
    mask = torch.tensor([[False, False, True, False, False]])

    def loss(x: torch.Tensor) -> torch.Tensor:
        return model(x, mask)[0].sum(-1)  # type: ignore[no-any-return]

    x = torch.randn(1, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (x,), eps=1e-5, atol=1e-4)


def test_bad_options_are_named() -> None:
    with pytest.raises(BundleError, match="unknown option depth; available: d_model"):
        make_config("xlstm", {"d_model": 64, "num_layers": 2, "depth": 3})
    with pytest.raises(BundleError, match="unknown backbone 'gru'; available: xlstm"):
        make_config("gru", {})
    with pytest.raises(BundleError, match="must be a multiple of num_heads"):
        make_config("xlstm", {"d_model": 64, "num_layers": 2, "num_heads": 3})


def test_named_sizes_have_the_papers_state() -> None:
    """Paper table 6: 16M to 206M, mLSTM state of 8 to 126 MB in float32."""
    for name, megabytes in (("16M", 8), ("48M", 27), ("110M", 65), ("206M", 126)):
        config = make_config("xlstm", size_options("xlstm", name))
        floats = config.num_layers * config.num_heads * config.head_size**2
        assert floats * 4 / 2**20 == pytest.approx(megabytes, abs=2.5)
