"""xLSTM [1:0]: ours ≡ the official package, gradients, options. See test_backbones for the rest."""

from __future__ import annotations

import pytest
import torch

from lram_core.backbones import make_config
from lram_core.backbones.layers import many_tokens
from lram_core.backbones.mlstm_block import MLSTMLayer
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.errors import BundleError
from lram_core.testing import roughened

TOKENS = 150


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
        state["2.C"] * state["2.m"].exp()[..., None, None],
        official_c * official_m.exp(),
        atol=1e-4,
        rtol=1e-3,
    )


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(5)
    model = roughened(XLSTM(XLSTMConfig(d_model=4, num_layers=1, num_heads=1, chunk_size=3)))
    model = model.double()
    mask = torch.tensor([[False, False, True, False, False]])

    def loss(x: torch.Tensor) -> torch.Tensor:
        return model(x, mask)[0].sum(-1)  # type: ignore[no-any-return]

    x = torch.randn(1, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(loss, (x,), eps=1e-5, atol=1e-4)


@pytest.mark.parametrize("inner", [64, 24])  # 24: heads of no whole number of joined blocks
def test_many_tokens_have_the_inputs_that_few_have(
    monkeypatch: pytest.MonkeyPatch, inner: int
) -> None:
    """Gates of what queries, keys and values are made of, in one product fewer; and gradients."""
    torch.manual_seed(0)
    layer = MLSTMLayer(XLSTMConfig(d_model=inner // 2, num_layers=1, num_heads=2)).double()
    layer = roughened(layer)
    conv, x = torch.randn(2, 3, 40, inner, dtype=torch.float64, requires_grad=True)
    weights = [layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight]
    weights += layer.mlstm_cell.igate.parameters()
    assert many_tokens(x)
    found = {}
    for name in ("many", "few"):
        made = layer._inputs(conv, x)
        loss = torch.stack([part.sin().sum() for part in made]).sum()
        found[name] = [*made, *torch.autograd.grad(loss, weights)]
        for module in ("mlstm_block", "layers"):
            monkeypatch.setattr(f"lram_core.backbones.{module}.many_tokens", lambda _: False)
    for a, b in zip(found["many"], found["few"], strict=True):
        torch.testing.assert_close(a, b)


def test_bad_heads_are_named() -> None:
    with pytest.raises(BundleError, match="must be a multiple of num_heads"):
        make_config("xlstm", {"d_model": 64, "num_layers": 2, "num_heads": 3})
