"""Optional CUDA kernels: none is needed, and what they are given means what our own code means.

The kernels do not run without a GPU. In their place stand, for the mLSTM, the plain PyTorch form
that ``mlstm_kernels`` has under the same interface, and for Mamba's scan a function with its
documented arguments.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
import torch

from lram_core import accelerators
from lram_core.backbones.mamba import Mamba, MambaConfig
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.testing import roughened

SCAN_MODULE = "mamba_ssm.ops.selective_scan_interface"


class OnCuda:
    """What the choice looks at in a tensor on a GPU."""

    is_cuda, dtype, shape = True, torch.float32, (1, 2, 64, 64)


def fake_selective_scan(
    u: Any, delta: Any, A: Any, B: Any, C: Any, *, return_last_state: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """``mamba_ssm.selective_scan_fn``: u, delta (B, D, L), A (D, N), B, C (B, N, L)."""
    assert return_last_state
    assert all(x.is_contiguous() for x in (u, delta, B, C))
    assert u.shape == delta.shape
    assert B.shape == C.shape == (u.shape[0], A.shape[1], u.shape[2])
    state, reads = torch.zeros(u.shape[0], *A.shape), []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = (step * A).exp() * state + step * u[:, :, t, None] * B[:, None, :, t]
        reads.append((state * C[:, None, :, t]).sum(-1))
    return torch.stack(reads, -1), state.detach()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """mamba_ssm, as far as it is looked at; mlstm_kernels comes with the xlstm package."""
    for name in ("mamba_ssm", "mamba_ssm.ops", SCAN_MODULE):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules[SCAN_MODULE].selective_scan_fn = fake_selective_scan  # type: ignore[attr-defined]
    accelerators._found.cache_clear()
    yield monkeypatch
    accelerators._found.cache_clear()


def test_no_kernel_without_its_package_and_none_imported_on_the_cpu() -> None:
    accelerators._found.cache_clear()
    assert accelerators.mamba_kernel(OnCuda()) is None  # type: ignore[arg-type]
    code = """
import sys, torch
from lram_core import accelerators
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
XLSTM(XLSTMConfig(128, 1, 4))(torch.zeros(1, 70, 128))
assert accelerators.mamba_kernel(torch.zeros(1, 2, 64, 64)) is None
assert not {"mamba_ssm", "mlstm_kernels", "xlstm"} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kernels_are_found_on_cuda_unless_switched_off(installed: pytest.MonkeyPatch) -> None:
    like: Any = OnCuda()
    assert accelerators.mamba_kernel(like) is fake_selective_scan
    installed.setattr("torch.get_float32_matmul_precision", lambda: "highest")
    assert accelerators.mlstm_kernel(like) is None  # float32 products are to be exact
    installed.setattr("torch.get_float32_matmul_precision", lambda: "high")
    kernel = accelerators.mlstm_kernel(like)
    assert kernel is not None
    assert kernel.__name__ == "mlstm_chunkwise__xl_chunk"
    assert accelerators.mlstm_kernel(torch.zeros(1, 2, 64, 64)) is None
    for like.shape in ((1, 2, 63, 64), (1, 2, 64, 48)):
        assert accelerators.mlstm_kernel(like) is None
    like.shape = OnCuda.shape
    installed.setenv("LRAM_ACCELERATORS", "off")
    assert accelerators.mamba_kernel(like) is None
    assert accelerators.mlstm_kernel(like) is None


def test_an_installation_that_does_not_import_counts_as_none(
    installed: pytest.MonkeyPatch,
) -> None:
    del sys.modules[SCAN_MODULE].selective_scan_fn  # type: ignore[attr-defined]
    assert accelerators.mamba_kernel(OnCuda()) is None  # type: ignore[arg-type]


def test_mamba_gives_its_kernel_states_and_episode_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = roughened(Mamba(MambaConfig(d_model=32, num_layers=2)))
    tokens = torch.randn(2, 50, 32)
    mask = torch.zeros(2, 50, dtype=torch.bool)
    mask[0, [0, 20]] = True
    mask[1, 33] = True
    _, state = model(torch.randn(2, 30, 32))
    state = {name: value.detach() for name, value in state.items()}

    def run() -> list[torch.Tensor]:
        model.zero_grad()
        hidden, after = model(tokens, mask, state)
        hidden.square().sum().backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        return [hidden.detach(), *(v.detach() for v in after.values()), *gradients]

    expected = run()
    monkeypatch.setattr("lram_core.selective_scan.mamba_kernel", lambda like: fake_selective_scan)
    for found, ours in zip(run(), expected, strict=True):
        torch.testing.assert_close(found, ours, atol=2e-4, rtol=2e-4)


@torch.no_grad()
def test_xlstm_gives_its_kernel_whole_chunks_and_converts_the_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlstm_kernels.torch import get_mlstm_kernel

    torch.manual_seed(0)
    model = roughened(XLSTM(XLSTMConfig(d_model=64, num_layers=2, num_heads=2)))
    tokens = torch.randn(2, 150, 64)  # two chunks for the kernel, 22 tokens for us
    _, state = model(torch.randn(2, 30, 64))
    expected, expected_state = model(tokens, None, state)
    plain = get_mlstm_kernel("chunkwise--native_autograd")
    calls = []

    def kernel(**arguments: Any) -> Any:
        calls.append(arguments["q"].shape)
        return plain(**arguments)

    find = "lram_core.backbones.mlstm_block.mlstm_kernel"
    monkeypatch.setattr(find, lambda like: kernel)
    found, found_state = model(tokens, None, state)
    assert calls == [(2, 2, 128, 64)] * 2
    model(tokens, torch.zeros(2, 150, dtype=torch.bool), state)
    assert len(calls) == 2  # it knows no episode starts
    monkeypatch.undo()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    later = torch.randn(2, 3, 64)
    after, expected = model.step(later, found_state)[0], model.step(later, expected_state)[0]
    torch.testing.assert_close(after, expected, atol=1e-4, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel itself runs on a GPU")
@pytest.mark.parametrize("head", [64, 256])
def test_the_kernel_gives_what_our_own_code_gives(
    head: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = roughened(XLSTM(XLSTMConfig(d_model=head, num_layers=2, num_heads=2))).cuda()
    tokens = torch.randn(2, 150, head, device="cuda")
    _, state = model(torch.randn(2, 30, head, device="cuda"))
    state = {name: value.detach() for name, value in state.items()}
    monkeypatch.setattr("torch.get_float32_matmul_precision", lambda: "high")
    assert accelerators.mlstm_kernel(torch.zeros(1, 2, 64, head, device="cuda")) is not None

    def run() -> list[torch.Tensor]:
        model.zero_grad()
        hidden, after = model(tokens, None, state)
        hidden.square().sum().backward()
        gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        with torch.no_grad():  # the state in itself has no one scale
            later, _ = model.step(tokens[:, :3], after)
        return [hidden.detach(), later, *gradients]

    found = run()
    monkeypatch.setenv("LRAM_ACCELERATORS", "off")
    for ours, theirs in zip(run(), found, strict=True):
        # Its products may be rounded to TF32, of ten bits.
        assert (theirs - ours).norm() < 0.02 * ours.norm()
