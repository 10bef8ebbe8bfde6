"""The kernels between a window's products: the same numbers and gradients as the reference.

Without a GPU they run in Triton's interpreter, which is chosen in ``conftest.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gpu_launch import compiled_kernels

from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.kernels.mlstm_window import mlstm_window
from lram_core.mlstm import CellState, mlstm_chunk
from lram_core.testing import roughened

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, HEADS, SIZE = 2, 3, 20
CLOSE = {"atol": 1e-4, "rtol": 1e-4}  # of gradients up to 100; the reference is as far from float64


def drawn(length: int) -> tuple[list[torch.Tensor], CellState]:
    """q, k, v, both gates, and a state after some tokens, all with gradients."""
    torch.manual_seed(length)
    shape = (BATCH, HEADS, length)

    def some(*sizes: int) -> list[torch.Tensor]:
        q, k, v = torch.randn(3, *sizes, SIZE)
        return [q, k, v, torch.randn(sizes), 2 + 2 * torch.randn(sizes)]

    empty = CellState(
        torch.zeros(BATCH, HEADS, SIZE, SIZE),
        torch.zeros(BATCH, HEADS, SIZE),
        torch.zeros(BATCH, HEADS),
    )
    _, state = mlstm_chunk(*some(BATCH, HEADS, 5), empty)
    assert state is not None
    leaves = [x.to(DEVICE).requires_grad_() for x in some(*shape)]
    return leaves, CellState(*(x.to(DEVICE).requires_grad_() for x in state))


def episodes(length: int) -> torch.Tensor:
    """Starts at the first token, within the window and at the last token."""
    starts = torch.zeros(BATCH, length, dtype=torch.int64, device=DEVICE)
    starts[0, 0] = starts[0, length // 3] = starts[1, -1] = 1
    return starts.cumsum(-1)


@pytest.mark.parametrize("length", [5, 16, 37])
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_values_and_gradients_equal_the_reference(
    length: int, carried: bool, several: bool
) -> None:
    segment = episodes(length) if several else None
    found = {}
    for run in (mlstm_chunk, mlstm_window):
        leaves, state = drawn(length)
        old = state if carried else None
        reads, after = run(*leaves, old, segment)
        assert after is not None
        weights = torch.linspace(-1, 1, reads.numel(), device=DEVICE).view_as(reads)
        loss = (reads * weights).sum() + after.C.sin().sum() + after.n.square().sum()
        loss.backward()
        inputs = [*leaves, *(state[:2] if carried else ())]
        found[run] = [reads, *after, *(x.grad for x in inputs)]
    for got, want in zip(found[mlstm_window], found[mlstm_chunk], strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


def test_rows_after_the_last_token_change_nothing() -> None:
    found = []
    for more in (0, 3):
        leaves, state = drawn(13)
        q, k, v = (torch.nn.functional.pad(x, (0, 0, 0, more)) for x in leaves[:3])
        reads, after = mlstm_window(q, k, v, *leaves[3:], state, episodes(13))
        assert after is not None
        assert not reads[:, :, 13:].any()
        (reads.sin().sum() + after.C.sum()).backward()
        grads = [x.grad for x in (*leaves, *state[:2])]
        found.append([reads[:, :, :13], *after, *grads])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, **CLOSE)


def test_no_state_where_none_is_wanted() -> None:
    leaves, state = drawn(8)
    reads, after = mlstm_window(*leaves, state, None, want_state=False)
    assert after is None
    torch.testing.assert_close(reads, mlstm_chunk(*leaves, state)[0], **CLOSE)


def test_products_in_bfloat16() -> None:
    (q, k, v, *gates), state = drawn(24)
    want, _ = mlstm_chunk(q, k, v, *gates, state, episodes(24))
    rounded = [x.bfloat16() for x in (q, k, v)]
    got, after = mlstm_window(*rounded, *gates, state, episodes(24))
    assert got.dtype == torch.bfloat16
    assert after is not None
    assert after.C.dtype == torch.float32
    assert (got.float() - want).norm() < 0.01 * want.norm()


def test_a_stack_takes_a_long_window_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = roughened(XLSTM(XLSTMConfig(d_model=16, num_layers=2, num_heads=2))).to(DEVICE)
    tokens = torch.randn(2, 50, 16, device=DEVICE)
    mask = torch.rand(2, 50, device=DEVICE) < 0.1
    _, state = model(torch.randn(2, 30, 16, device=DEVICE))
    monkeypatch.setenv("LRAM_ACCELERATORS", "off")
    want = model(tokens, mask, state)
    monkeypatch.delenv("LRAM_ACCELERATORS")
    lengths = []

    def seen(q: torch.Tensor, *rest: object) -> object:
        lengths.append(q.shape[2])
        return mlstm_window(q, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("lram_core.kernels.mlstm_window.MAX_TOKENS", 24)
    monkeypatch.setattr("lram_core.kernels.mlstm_window.mlstm_window", seen)
    monkeypatch.setattr("lram_core.accelerators._on_gpu", lambda x: True)
    got = model(tokens, mask, state)
    assert lengths == [24, 24, 8] * 2  # in eights; six rows of the last are beyond the window
    torch.testing.assert_close(got, want, atol=1e-3 if DEVICE == "cuda" else 1e-4, rtol=1e-3)


LAUNCH = """
from lram_core.kernels.mlstm_window import mlstm_window
from lram_core.mlstm import CellState

q, k, v = torch.randn(3, 2, 4, 152, 640).bfloat16().requires_grad_().unbind()
gates = torch.randn(2, 2, 4, 150, requires_grad=True).unbind()
segment = torch.zeros(2, 150, dtype=torch.int64)
memory = CellState(torch.zeros(2, 4, 640, 640), torch.zeros(2, 4, 640), torch.zeros(2, 4))
for state, starts in ((None, segment), (memory, None)):
    reads, _ = mlstm_window(q, k, v, *gates, state, starts, want_state=False)
    reads.float().sum().backward()
"""


def test_they_compile_for_an_h200_without_one(tmp_path: Path) -> None:
    assert compiled_kernels(LAUNCH, tmp_path) == ["window_forward", "window_backward"] * 2
