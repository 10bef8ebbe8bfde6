"""The sLSTM's kernels: the same numbers and gradients as the loop over tokens.

Without a GPU they run in Triton's interpreter, which is chosen in ``conftest.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gpu_launch import compiled_kernels

from lram_core.kernels.slstm import scan
from lram_core.slstm import ScalarState
from lram_core.slstm import scan as by_pytorch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def drawn(batch: int, steps: int, heads: int, size: int) -> tuple[torch.Tensor, ...]:
    """Inputs, kernel and a state after some tokens, all with gradients."""
    torch.manual_seed(batch * steps + size)
    inputs = torch.randn(batch, steps, 4, heads, size)
    kernel = 0.3 * torch.randn(heads, 4 * size, size)
    state = ScalarState(*torch.zeros(4, batch, heads * size))
    _, state = by_pytorch(torch.randn(batch, 3, 4, heads, size), kernel, state, None)
    return tuple(x.to(DEVICE).requires_grad_() for x in (inputs, kernel, *state))


# 20 and 80 are no powers of two; 80 is more than a tile, and 18 rows are more than a program's.
@pytest.mark.parametrize(
    ("batch", "steps", "heads", "size"), [(3, 7, 2, 20), (2, 4, 1, 80), (18, 3, 2, 16)]
)
@pytest.mark.parametrize("starts", [False, True])
def test_values_and_gradients_equal_the_loop(
    batch: int, steps: int, heads: int, size: int, starts: bool
) -> None:
    begins = None
    if starts:
        begins = torch.zeros(batch, steps, dtype=torch.bool, device=DEVICE)
        begins[0, 0] = begins[1, steps // 2] = begins[-1, -1] = True
    found = {}
    for name, run in (("loop", by_pytorch), ("kernel", scan)):
        inputs, kernel, *state = drawn(batch, steps, heads, size)
        read, *after = run(inputs, kernel, ScalarState(*state), begins)  # type: ignore[operator]
        h, c, n, m = after[0] if name == "loop" else after
        weights = torch.linspace(-1, 1, read.numel(), device=DEVICE).view_as(read)
        ((read * weights).sum() + h.square().sum() + c.sin().sum() + n.square().sum()).backward()
        leaves = (inputs, kernel, *state[:3])
        found[name] = [read, h, c, n, m, *(x.grad for x in leaves)]
    for got, want in zip(found["kernel"], found["loop"], strict=True):
        torch.testing.assert_close(got, want, atol=2e-5, rtol=2e-5)


def test_an_empty_memory_takes_the_scale_of_its_first_input() -> None:
    inputs, kernel, *_ = drawn(2, 5, 2, 16)
    inputs = inputs - 200.0 * (torch.arange(4, device=DEVICE) == 0)[:, None, None]  # exp(i) is 0
    empty = ScalarState(*torch.zeros(4, 2, 32, device=DEVICE))
    want, _ = by_pytorch(inputs, kernel, empty, None)
    got, *_ = scan(inputs, kernel, empty, None)
    assert want.abs().max() > 0.01
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


LAUNCH = """
from lram_core.kernels.slstm import scan

for size in (320, 16):
    inputs = torch.randn(20, 3, 4, 4, size, requires_grad=True)
    kernel = torch.randn(4, 4 * size, size, requires_grad=True)
    for starts in (None, torch.zeros(20, 3, dtype=torch.bool)):
        read, *_ = scan(inputs, kernel, torch.zeros(4, 20, 4 * size).unbind(), starts)
        read.sum().backward()
"""


def test_they_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    assert compiled_kernels(LAUNCH, tmp_path) == ["_forward", "_backward"] * 4
