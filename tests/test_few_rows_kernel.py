"""Products of a few rows, and what stands around the backbone in a tick, equal PyTorch's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gpu_launch import compiled_kernels
from torch.nn import functional as F

from lram_core.backbones.layers import ResidualNorm
from lram_core.kernels.action_model import FusedHead, FusedNorm, FusedTokens
from lram_core.kernels.few_rows import MAX_ROWS, few_rows, product
from lram_core.runtimes.weights import BFloat16Linear
from lram_core.testing import small_model

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLOSE = 1e-5 if DEVICE == "cpu" else 1e-4


# Neither 40 nor 21 is a power of two.
@pytest.mark.parametrize("rows", range(1, MAX_ROWS + 1))
@pytest.mark.parametrize(("inner", "outputs"), [(40, 21), (64, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products_equal_pytorchs(rows: int, inner: int, outputs: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(DEVICE)

    x, weight, bias = drawn(1, rows, inner), drawn(outputs, inner).to(dtype), drawn(outputs)
    residual, norm = drawn(1, rows, outputs), 0.1 * drawn(inner)
    assert few_rows(x, weight)
    want = F.linear(x, weight.float())
    got = product(x, weight)
    torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)
    got = product(x.to(dtype), weight, bias=bias, residual=residual)
    want = F.linear(x.to(dtype).float(), weight.float(), bias) + residual
    torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)

    got = product(x, weight, norm=norm, dtype=dtype)
    normed = (F.layer_norm(x, (inner,)) * (1 + norm)).to(dtype).float()
    close = CLOSE if dtype == torch.float32 else 0.2  # a norm may round to the next bfloat16
    assert got.dtype == dtype
    torch.testing.assert_close(
        got.float(), F.linear(normed, weight.float()), atol=close, rtol=close
    )


def test_more_rows_are_for_pytorch() -> None:
    weight = torch.zeros(8, 16)
    assert few_rows(torch.zeros(2, 2, 16), weight)
    assert not few_rows(torch.zeros(2, 3, 16), weight)


@torch.inference_mode()
def test_tokens_norm_and_head_equal_the_models() -> None:
    model = small_model(d_model=24).to(DEVICE)
    for parameter in (*model.parameters(), *model.buffers()):
        parameter.add_(0.1 * torch.rand_like(parameter))
    size = model.config.observation_size
    rows = 3 * torch.randn(2, size + 2, device=DEVICE)
    rows[0, 0] = 1e3  # cut
    observation, to_go, reward = rows[:, :size], rows[:, size], rows[:, size + 1]
    assert FusedTokens.takes(model, 2)
    assert not FusedTokens.takes(model, MAX_ROWS + 1)
    for last in (None, reward):
        want = model.tick_tokens(observation, to_go, last)
        got = FusedTokens(model)(observation, to_go, last)
        torch.testing.assert_close(got, want, atol=CLOSE, rtol=CLOSE)

    norm = ResidualNorm(24).to(DEVICE)
    norm.weight.copy_(torch.randn(24))
    x = torch.randn(2, 3, 24, device=DEVICE)
    torch.testing.assert_close(FusedNorm(norm)(x), norm(x), atol=CLOSE, rtol=CLOSE)
    for head, close in ((model.head, CLOSE), (BFloat16Linear(model.head), 0.05)):
        for some in (x[:, -1], x):  # few rows, and more
            torch.testing.assert_close(FusedHead(head)(some), head(some), atol=close, rtol=close)


LAUNCH = """
from lram_core.kernels import early
from lram_core.kernels.action_model import FusedHead, FusedTokens
from lram_core.testing import small_model

early.options = lambda device: {"early": True, "launch_pdl": True}  # as there

model = small_model(d_model=256)
rows = torch.zeros(1, model.config.observation_size + 4)
size = model.config.observation_size
with torch.inference_mode():
    for last in (None, rows[:, size + 1]):
        FusedTokens(model)(rows[:, :size], rows[:, size], last)
    FusedHead(model.head)(torch.zeros(1, 256))
"""


def test_they_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    assert compiled_kernels(LAUNCH, tmp_path) == ["_embed", "_embed", "_product"]
