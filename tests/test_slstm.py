"""The sLSTM block: ours ≡ the official package, initial values, per-row empty memories."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from lram_core.backbones import make_config
from lram_core.backbones.slstm_block import ffn_size
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.errors import BundleError
from lram_core.slstm import ScalarState, slstm_scan
from lram_core.testing import roughened

TOKENS = 60


def official(slstm_at: list[int], layers: int, width: int = 64) -> Any:
    from xlstm import (
        FeedForwardConfig,
        mLSTMBlockConfig,
        mLSTMLayerConfig,
        sLSTMBlockConfig,
        sLSTMLayerConfig,
        xLSTMBlockStack,
        xLSTMBlockStackConfig,
    )

    torch.manual_seed(0)
    return xLSTMBlockStack(
        xLSTMBlockStackConfig(
            mlstm_block=mLSTMBlockConfig(mlstm=mLSTMLayerConfig(num_heads=4)),
            slstm_block=sLSTMBlockConfig(
                slstm=sLSTMLayerConfig(num_heads=4, backend="vanilla"),
                feedforward=FeedForwardConfig(proj_factor=1.3, act_fn="gelu"),
            ),
            context_length=TOKENS,
            num_blocks=layers,
            embedding_dim=width,
            slstm_at=slstm_at,
        )
    )


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return torch.randn(2, TOKENS, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("places", [[1], [0, 1, 2], [0, 2]], ids=["7:1", "all", "mixed"])
@torch.no_grad()
def test_official_weights_load_and_outputs_agree(tokens: torch.Tensor, places: list[int]) -> None:
    reference = roughened(official(places, 3))
    ours = XLSTM(XLSTMConfig(d_model=64, num_layers=3, slstm_at=places))
    ours.load_state_dict(reference.state_dict())
    expected = reference(tokens)
    found, state = ours(tokens)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)

    official_state: dict[str, Any] = {}
    stepped, ours_state = [], ours.init_state(2)
    for t in range(TOKENS):
        expected_t, official_state = reference.step(tokens[:, t : t + 1], official_state)
        found_t, ours_state = ours.step(tokens[:, t : t + 1], ours_state)
        stepped.append(found_t)
        torch.testing.assert_close(found_t, expected_t, atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat(stepped, 1), expected, atol=1e-4, rtol=0)
    place = places[-1]
    last = official_state[f"block_{place}"]["slstm_state"]
    for name, value in zip(ScalarState._fields, last, strict=True):
        torch.testing.assert_close(state[f"{place}.{name}"], value, atol=1e-4, rtol=1e-4)


def test_weights_of_the_cuda_backend_are_rearranged() -> None:
    """Its kernel is (NH, DH, 4, DH) by input then gate, its bias (NH, 4, DH)."""
    ours = roughened(XLSTM(XLSTMConfig(d_model=16, num_layers=1, slstm_at=[0])))
    weights = dict(ours.state_dict())
    kernel, bias = (
        f"blocks.0.xlstm.slstm_cell.{name}" for name in ("_recurrent_kernel_", "_bias_")
    )
    theirs = dict(weights)
    theirs[kernel] = weights[kernel].view(4, 4, 4, 4).permute(0, 3, 1, 2).reshape(4, 4, 16)
    theirs[bias] = weights[bias].view(4, 4, 4).transpose(0, 1).reshape(-1)
    loaded = XLSTM(ours.config)
    loaded.load_state_dict(theirs)
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, weights[name], atol=0, rtol=0)


def test_initial_values_are_the_packages() -> None:
    """Power-law forget biases by depth, no recurrence, spread of the random weights."""
    reference = official([0, 1, 3], 4, width=128).state_dict()
    torch.manual_seed(1)
    ours = XLSTM(XLSTMConfig(d_model=128, num_layers=4, slstm_at=[0, 1, 3])).state_dict()
    assert {n: tuple(v.shape) for n, v in ours.items()} == {
        n: tuple(v.shape) for n, v in reference.items()
    }
    for name, value in reference.items():
        if "slstm_cell" in name or "norm" in name:
            torch.testing.assert_close(ours[name], value, atol=1e-6, rtol=0)
        elif name.endswith(("gate.weight", "proj_up.weight", "proj_down.weight")):
            assert float(ours[name].std()) == pytest.approx(float(value.std()), rel=0.1, abs=1e-6)


def test_an_empty_memory_is_told_row_by_row() -> None:
    """A row that starts must not be given the scale that its stabiliser of zero would mean."""
    torch.manual_seed(3)
    inputs = torch.randn(2, 1, 4, 2, 4)
    inputs[:, :, 0] -= 50.0  # an input gate so small that exp(i - 0) would be lost
    kernel = torch.randn(2, 16, 4)
    empty = ScalarState(*torch.zeros(4, 2, 8))
    _, running = slstm_scan(inputs, kernel, empty)
    mixed = ScalarState(*(torch.stack([a[0], torch.zeros(8)]) for a in running))
    both, after = slstm_scan(inputs, kernel, mixed)
    alone, _ = slstm_scan(inputs[1:], kernel, ScalarState(*torch.zeros(4, 1, 8)))
    torch.testing.assert_close(both[1:], alone)
    assert torch.isfinite(both).all()
    assert (after.n >= 1).all()


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(4)
    inputs = torch.randn(2, 5, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(2, 8, 2, dtype=torch.float64, requires_grad=True)
    starts = torch.zeros(2, 5, dtype=torch.bool)
    starts[0, 2] = True
    state = [torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    n, m = torch.rand(2, 4, dtype=torch.float64) + 1, torch.randn(2, 4, dtype=torch.float64)

    def reads(inputs: torch.Tensor, kernel: torch.Tensor, *hc: torch.Tensor) -> torch.Tensor:
        return slstm_scan(inputs, kernel, ScalarState(*hc, n, m), starts)[0]

    assert torch.autograd.gradcheck(reads, (inputs, kernel, *state), eps=1e-6, atol=1e-5)


def test_feed_forward_widths_round_up_to_64() -> None:
    assert [ffn_size(d) for d in (512, 768, 1024, 1280)] == [704, 1024, 1344, 1664]


def test_placement_is_checked_and_kept_as_a_sorted_tuple() -> None:
    shape = {"d_model": 64, "num_layers": 4}
    assert make_config("xlstm", {**shape, "slstm_at": [3, 1]}).slstm_at == (1, 3)
    for places, message in (
        ([4], "slstm_at: expected block numbers from 0 to 3, found 4"),
        ([-1], "found -1"),
        ([1.0], r"found 1\.0"),
        ([1, 1], r"slstm_at: found a block twice in \[1, 1\]"),
        ("1", "slstm_at: expected a list of block numbers, found '1'"),
        (None, "expected a list of block numbers, found None"),
    ):
        with pytest.raises(BundleError, match=message):
            make_config("xlstm", {**shape, "slstm_at": places})
    with pytest.raises(BundleError, match="must be a multiple of slstm_heads = 3"):
        make_config("xlstm", {**shape, "slstm_at": [0], "slstm_heads": 3})


def test_every_placement_has_its_state_in_block_order() -> None:
    for places in itertools.chain.from_iterable(
        itertools.combinations(range(3), n) for n in range(4)
    ):
        model = XLSTM(XLSTMConfig(d_model=16, num_layers=3, slstm_at=places))
        kinds = {
            layer: [n.split(".")[1] for n in model.init_state(1) if n.startswith(f"{layer}.")]
            for layer in range(3)
        }
        for layer, names in kinds.items():
            assert names == (["conv", "h", "c", "n", "m"] if layer in places else
                             ["conv", "C", "n", "m"])  # fmt: skip
