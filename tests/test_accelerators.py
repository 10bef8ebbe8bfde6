"""Which kernels are taken: on a GPU with Triton, unless switched off; none is imported on a CPU."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lram_core import accelerators


class OnCuda:
    """What the choice looks at in a tensor on a GPU."""

    is_cuda, dtype = True, torch.float32


@pytest.fixture(autouse=True)
def looked_for_anew() -> Iterator[None]:
    accelerators._has_triton.cache_clear()
    yield
    accelerators._has_triton.cache_clear()


def test_taken_for_float32_on_a_gpu_with_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    like: Any = OnCuda()
    assert accelerators.kernels_for(like)
    assert not accelerators.kernels_for(torch.zeros(1))
    like.dtype = torch.float64
    assert not accelerators.kernels_for(like)
    like.dtype = torch.float32
    monkeypatch.setenv(accelerators.SWITCH, "off")
    assert not accelerators.kernels_for(like)


def test_none_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    like: Any = OnCuda()
    monkeypatch.setitem(sys.modules, "triton", None)
    assert not accelerators.kernels_for(like)
    assert accelerators.mlstm_window(like, 64) is None


def test_an_installation_that_does_not_import_counts_as_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    like: Any = OnCuda()
    monkeypatch.setitem(sys.modules, "lram_core.kernels.slstm", None)
    assert not accelerators.kernels_for(like)


def test_a_window_goes_in_about_equal_parts_of_eights() -> None:
    gate: Any = OnCuda()
    parts = {}
    for length in (15, 16, 150, 256, 257, 600):
        found = accelerators.mlstm_window(gate, length)
        parts[length] = found and found[1]
    assert parts == {15: None, 16: 16, 150: 152, 256: 256, 257: 136, 600: 200}


def test_none_is_imported_on_the_cpu() -> None:
    code = """
import sys, torch
from lram_core.backbones.mamba import Mamba, MambaConfig
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
XLSTM(XLSTMConfig(128, 2, 4, slstm_at=[1]))(torch.zeros(1, 70, 128))
Mamba(MambaConfig(32, 1))(torch.zeros(1, 70, 32))
assert not [name for name in sys.modules if name.startswith("lram_core.kernels")]
"""
    subprocess.run([sys.executable, "-c", code], check=True)
