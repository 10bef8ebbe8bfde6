"""The sLSTM's kernels: the same numbers and gradients as the loop over tokens.

Without a GPU they run in Triton's interpreter, which is chosen in ``conftest.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lram_core.kernels.slstm import scan
from lram_core.slstm import ScalarState, _scan

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def drawn(batch: int, steps: int, heads: int, size: int) -> tuple[torch.Tensor, ...]:
    """Inputs, kernel and a state after some tokens, all with gradients."""
    torch.manual_seed(batch * steps + size)
    inputs = torch.randn(batch, steps, 4, heads, size)
    kernel = 0.3 * torch.randn(heads, 4 * size, size)
    state = ScalarState(*torch.zeros(4, batch, heads * size))
    _, state = _scan(torch.randn(batch, 3, 4, heads, size), kernel, state, None)
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
    for name, run in (("loop", _scan), ("kernel", scan)):
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
    want, _ = _scan(inputs, kernel, empty, None)
    got, *_ = scan(inputs, kernel, empty, None)
    assert want.abs().max() > 0.01
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from lram_core.kernels.slstm import _backward, _forward

for size, tile in ((320, 64), (16, 16)):
    fixed = {"heads": 4, "size": size, "rows": 16, "tile": tile, "precision": "tf32"}
    for kernel in (_forward, _backward):
        signature = {
            name: "constexpr" if name in fixed else "*fp32" if name.endswith("_at") else "i32"
            for name in kernel.arg_names
        } | {"starts_at": "*i1"}
        source = ASTSource(kernel, signature, fixed)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_stages": 2})
        assert made.metadata.shared < 227 * 1024, made.metadata.shared
        assert made.asm["cubin"]
print("compiled")
"""


def test_they_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "compiled\n"
