"""What every backbone owes: step ≡ parallel, episode starts, static state, float32 that holds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.backbones import BACKBONES, SIZES, Backbone, State, make_config, size_options
from lram_core.errors import BundleError
from lram_core.testing import roughened

WIDTH, TOKENS = 32, 100
# Chunks and contexts shorter than the sequence, so that their borders are crossed.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "xlstm": ("xlstm", {"num_layers": 3, "num_heads": 2, "chunk_size": 24}),
    "xlstm-7:1": ("xlstm", {"num_layers": 3, "chunk_size": 24, "slstm_at": [1]}),
    "slstm": ("xlstm", {"num_layers": 2, "slstm_at": [0, 1], "slstm_heads": 2}),
    "mamba": ("mamba", {"num_layers": 3}),
    "transformer": ("transformer", {"num_layers": 2, "context": 8, "max_timesteps": 20}),
}


def build(variant: str, width: int = WIDTH, **options: Any) -> Backbone:
    name, own = VARIANTS[variant]
    torch.manual_seed(1)
    return BACKBONES[name][0](make_config(name, {"d_model": width, **own, **options}))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=list(VARIANTS))
def model(request: pytest.FixtureRequest) -> Backbone:
    return roughened(build(request.param))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(2))


def go_on(model: Backbone, state: State) -> torch.Tensor:
    """What comes out when the same tokens follow on a state: equal states behave alike."""
    batch = next(iter(state.values())).shape[0]
    later = torch.randn(1, 30, WIDTH, generator=torch.Generator().manual_seed(3))
    return model(later.expand(batch, -1, -1), None, state)[0]


def rows(state: State, row: int) -> State:
    return {name: value[row : row + 1] for name, value in state.items()}


@given(splits=st.lists(st.integers(1, 40), min_size=1, max_size=30))
@settings(max_examples=10, deadline=None)
@torch.no_grad()
def test_any_split_into_steps_equals_one_forward(
    model: Backbone, tokens: torch.Tensor, splits: list[int]
) -> None:
    expected, expected_state = model(tokens)
    state, start, outputs = model.init_state(2), 0, []
    for length in [*splits, TOKENS]:
        part = tokens[:, start : start + length]
        if part.shape[1] == 0:
            break
        hidden, state = model.step(part, state)
        outputs.append(hidden)
        start += length
    torch.testing.assert_close(torch.cat(outputs, 1), expected, atol=1e-4, rtol=0)
    found, expected = go_on(model, state), go_on(model, expected_state)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@given(
    starts=st.lists(st.sets(st.integers(0, TOKENS - 1), max_size=6), min_size=2, max_size=2),
    cuts=st.sets(st.integers(1, TOKENS - 1), max_size=3),
)
@settings(max_examples=12, deadline=None)
@torch.no_grad()
def test_no_state_leaks_across_an_episode_start(
    model: Backbone, tokens: torch.Tensor, starts: list[set[int]], cuts: set[int]
) -> None:
    """Episodes start anywhere, in each row at other places, and windows end anywhere."""
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    for row, places in enumerate(starts):
        mask[row, list(places)] = True
    state, outputs = model.init_state(2), []
    for begin, end in itertools.pairwise(sorted({0, *cuts, TOKENS})):
        hidden, state = model(tokens[:, begin:end], mask[:, begin:end], state)
        outputs.append(hidden)
    found = torch.cat(outputs, 1)
    for row, places in enumerate(starts):
        for begin, end in itertools.pairwise(sorted({0, *places, TOKENS})):
            alone, last = model(tokens[row : row + 1, begin:end])
            torch.testing.assert_close(found[row : row + 1, begin:end], alone, atol=1e-4, rtol=0)
        after, expected = go_on(model, rows(state, row)), go_on(model, last)
        torch.testing.assert_close(after, expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_reset_of_one_row_is_exact_however_large_the_old_state(
    model: Backbone, tokens: torch.Tensor
) -> None:
    poisoned = {name: torch.full_like(v, 10**6) for name, v in model.init_state(2).items()}
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[0, 0] = True
    found, state = model(tokens, mask, poisoned)
    expected, expected_state = model(tokens[:1])
    torch.testing.assert_close(found[:1], expected, atol=1e-5, rtol=0)
    after, expected = go_on(model, rows(state, 0)), go_on(model, expected_state)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=0)
    assert torch.isfinite(found).all()


@torch.no_grad()
def test_batch_rows_do_not_mix(model: Backbone, tokens: torch.Tensor) -> None:
    both, _ = model(tokens)
    for row in range(2):
        one, _ = model(tokens[row : row + 1])
        torch.testing.assert_close(both[row : row + 1], one, atol=1e-5, rtol=0)


@torch.no_grad()
def test_state_is_static_ordered_and_left_alone(model: Backbone, tokens: torch.Tensor) -> None:
    _, state = model(tokens[:, :40])
    kept = {name: value.clone() for name, value in state.items()}
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[:, 50] = True
    forms = [[(n, v.shape, v.dtype) for n, v in model.init_state(2).items()]]
    for _, after in (
        model(tokens),
        model(tokens, mask, state),
        model.step(tokens[:, :1], state),
        model.step(tokens[:, :3], state),
    ):
        forms.append([(n, v.shape, v.dtype) for n, v in after.items()])
    assert all(form == forms[0] for form in forms)
    for name, value in kept.items():
        torch.testing.assert_close(state[name], value, atol=0, rtol=0)


@torch.inference_mode()
def test_a_step_that_consumes_its_state_gives_the_same(
    model: Backbone, tokens: torch.Tensor
) -> None:
    a, b = model.init_state(2), model.init_state(2)
    for t in range(0, 60, 3):
        expected, a = model.step(tokens[:, t : t + 3], a)
        found, b = model.step_(tokens[:, t : t + 3], b)
        torch.testing.assert_close(found, expected, atol=0, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns_through_windows_and_starts(
    variant: str, tokens: torch.Tensor
) -> None:
    model = roughened(build(variant))
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[0, 30] = True
    hidden, state = model(tokens, mask)
    hidden, _ = model(tokens, None, {name: value.detach() for name, value in state.items()})
    hidden.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_recurrence_stays_in_float32_under_autocast(model: Backbone, tokens: torch.Tensor) -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        hidden, state = model(tokens)
    expected, _ = model(tokens)
    assert {v.dtype for n, v in state.items() if n != "position"} == {torch.float32}
    assert (hidden - expected).abs().max() < 0.3


@pytest.mark.parametrize("variant", ["xlstm", "xlstm-7:1", "mamba", "transformer"])
@torch.inference_mode()
def test_ten_thousand_steps_in_float32_follow_float64(variant: str) -> None:
    """Ticks of three tokens in float32, long windows in float64: the error does not grow."""
    single = roughened(build(variant, width=64, num_layers=2))
    double = build(variant, width=64, num_layers=2).double()
    double.load_state_dict(single.state_dict())
    tokens = torch.randn(1, 10_000, 64, generator=torch.Generator().manual_seed(4))
    a, b = single.init_state(1), double.init_state(1)  # type: ignore[operator]
    found, expected = [], []
    for part in tokens.split(3, dim=1):
        hidden, a = single.step_(part, a)  # type: ignore[operator]
        found.append(hidden)
    for part in tokens.double().split(100, dim=1):
        hidden, b = double(part, None, b)
        expected.append(hidden)
    error = (torch.cat(found, 1) - torch.cat(expected, 1)).abs().amax(-1)[0]
    assert float(error.max()) < 2e-5  # of outputs with a standard deviation of about one
    assert float(error[9000:].max()) < 2 * float(error[:1000].max())
    for name, value in a.items():
        assert torch.isfinite(value).all(), name
        scale = 1 + float(b[name].abs().max())
        assert float((value - b[name]).abs().max()) / scale < 1e-5, name


def test_unknown_names_list_what_exists() -> None:
    with pytest.raises(
        BundleError, match="unknown backbone 'gru'; available: xlstm, mamba, transformer"
    ):
        make_config("gru", {})
    with pytest.raises(BundleError, match="unknown backbone 'gru'; available: xlstm"):
        size_options("gru", "16M")
    with pytest.raises(
        BundleError, match="backbone mamba: unknown size '16M-7:1'; available: d64, d128, d256, 16M"
    ):
        size_options("mamba", "16M-7:1")
    with pytest.raises(BundleError, match=r"unknown size '1B'; .*16M-h128.*206M-7:1-h128"):
        size_options("xlstm", "1B")
    for name in BACKBONES:
        with pytest.raises(
            BundleError, match=f"backbone {name}: unknown option depth; available: d_model, num_l"
        ):
            make_config(name, {"d_model": 64, "num_layers": 2, "depth": 3})
        with pytest.raises(BundleError, match=f"backbone {name}: unknown option depth"):
            size_options(name, "16M", depth=3)
        with pytest.raises(BundleError, match=r"d_model: expected a positive integer, found 8\.0"):
            make_config(name, {"d_model": 8.0, "num_layers": 2})


def test_options_of_a_size_can_be_overridden_without_changing_the_size() -> None:
    options = size_options("xlstm", "16M-7:1", num_layers=4)
    assert options == {"d_model": 512, "num_layers": 4, "num_heads": 4, "slstm_at": [1]}
    options["slstm_at"].append(2)
    assert size_options("xlstm", "16M-7:1")["slstm_at"] == [1]
    assert size_options("transformer", "48M", context=400)["context"] == 400


@pytest.mark.parametrize(
    ("size", "xlstm", "transformer", "mamba"),
    [
        ("16M", 16.1, 16.6, 16.7),
        ("48M", 47.9, 48.4, 49.9),
        ("110M", 108.3, 108.6, 112.9),
        ("206M", 206.5, 206.5, 215.3),
    ],
)
def test_sizes_have_the_papers_parameters(
    size: str, xlstm: float, transformer: float, mamba: float
) -> None:
    """Millions, as the paper's models are built.

    That is the backbone; embeddings of 204 state dimensions, return and reward with their norm;
    the head of 8 × 274; and two parts that ours does without: an image encoder (97,600 weights
    of convolutions, then 2048 to d) and a table of 1600 timesteps, for a Transformer besides its
    own positions.
    """
    for name, expected in (("xlstm", xlstm), ("transformer", transformer), ("mamba", mamba)):
        config = make_config(name, size_options(name, size))
        with torch.device("meta"):
            model = BACKBONES[name][0](config)  # type: ignore[arg-type]
        d = config.d_model
        ours = (204 + 1) * d + 2 * 2 * d + 2 * d + (d + 1) * 8 * 274
        theirs = 97_600 + (2048 + 1) * d + 1600 * d
        count = sum(p.numel() for p in model.parameters()) + ours + theirs
        assert count / 1e6 == pytest.approx(expected, rel=4e-3)


def test_every_named_size_can_be_built_and_h128_cuts_the_state() -> None:
    def state_bytes(backbone: str, size: str) -> int:
        config = make_config(backbone, size_options(backbone, size))
        with torch.device("meta"):
            state = BACKBONES[backbone][0](config).init_state(1, "meta")  # type: ignore[arg-type]
        return sum(value.numel() * value.element_size() for value in state.values())

    for backbone, sizes in SIZES.items():
        for size in sizes:
            assert state_bytes(backbone, size) > 0
    for size, heads in (("16M", 8), ("48M", 12), ("110M", 16), ("206M", 20)):
        for ratio in ("", "-7:1"):
            config = make_config("xlstm", size_options("xlstm", f"{size}{ratio}-h128"))
            assert config.head_size == 128
            full, cut = (state_bytes("xlstm", f"{size}{ratio}{h}") for h in ("", "-h128"))
            assert cut / full == pytest.approx(4 / heads, rel=0.1)
    for size, megabytes in (("16M", 8), ("48M", 27), ("110M", 65), ("206M", 126)):
        assert state_bytes("xlstm", size) / 2**20 == pytest.approx(megabytes, abs=2.5)
