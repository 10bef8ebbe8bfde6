"""int8 weights: what rounding does to a matrix, and which matrices are rounded."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import SIZES
from lram_core.quantise import (
    BLOCK,
    dequantise,
    dequantised_model,
    projection_names,
    quantise,
    quantised_names,
)


@given(st.integers(1, 9), st.integers(1, 100), st.integers(0, 100))
def test_error_is_at_most_half_a_step_of_the_block(rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * 10.0 ** (seed % 7 - 3)
    values, scales = quantise(weight)
    assert values.dtype == torch.int8
    assert scales.shape == (rows, -(-columns // BLOCK))
    step = scales.repeat_interleave(BLOCK, dim=1)[:, :columns]
    assert ((dequantise(values, scales) - weight).abs() <= 0.5001 * step).all()


def test_is_symmetric_and_reaches_the_ends() -> None:
    weight = torch.linspace(-1, 1, BLOCK).unsqueeze(0)
    values, _ = quantise(weight)
    assert values.min() == -127
    assert values.max() == 127
    torch.testing.assert_close(quantise(-weight)[0], -values)


def test_zeros_stay_zero() -> None:
    values, scales = quantise(torch.zeros(2, 40))
    assert not values.any()
    assert not dequantise(values, scales).any()


def test_rounding_twice_changes_nothing() -> None:
    once = dequantise(*quantise(torch.randn(8, 64, generator=torch.Generator().manual_seed(0))))
    torch.testing.assert_close(dequantise(*quantise(once)), once, rtol=1e-6, atol=0)


def xlstm(layers: int = 4) -> ActionModel:
    options = {"d_model": 32, "num_layers": layers, "num_heads": 2, "slstm_at": [1]}
    return ActionModel(ModelConfig(5, 2, backbone_options=options))


def test_projections_but_those_of_the_first_and_last_block_are_quantised() -> None:
    names = [
        f"backbone.blocks.{layer}.{part}.{name}.weight"
        for layer, part in enumerate(["xlstm", "ffn", "xlstm", "xlstm"])
        for name in ("proj_up", "proj_down")
    ]
    assert projection_names(xlstm()) == names
    assert quantised_names(xlstm()) == names[2:-2]
    assert quantised_names(xlstm(2)) == []


@pytest.mark.parametrize(("backbone", "matrices"), [("mamba", 2), ("transformer", 4)])
def test_every_backbone_has_its_projections(backbone: str, matrices: int) -> None:
    model = ActionModel(
        ModelConfig(5, 2, 9, backbone, {**SIZES[backbone]["d128"], "num_layers": 3})
    )
    assert len(projection_names(model)) == 3 * matrices
    names = quantised_names(model)
    assert len(names) == matrices
    assert all(".1." in name for name in names)
    large = {name for name, value in model.named_parameters() if value.numel() >= 2 * 128 * 128}
    assert {name for name in large if ".blocks." in name or ".layers." in name} <= set(
        projection_names(model)
    )


def test_a_dequantised_model_differs_in_those_alone() -> None:
    model = xlstm()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    after = dequantised_model(model).state_dict()
    changed = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert changed == quantised_names(model)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
