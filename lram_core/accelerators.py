"""Which of our Triton kernels can be used, see :mod:`lram_core.kernels`.

They serve :meth:`forward <lram_core.backbones.base.Backbone.forward>`, training and prefill, on a
GPU: the mLSTM's window and what surrounds it, the sLSTM, Mamba's selective scan. They need Triton,
as PyTorch for CUDA brings it. The environment variable ``LRAM_ACCELERATORS=off`` has PyTorch's own
operations in their place.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

SWITCH = "LRAM_ACCELERATORS"
_MODULES = ("mlstm_inputs", "mlstm_output", "mlstm_window", "selective_scan", "slstm")
MANY_TOKENS = 16
"""Fewer are a tick's, which has kernels of its own in a CUDA graph."""


def kernels_for(like: Tensor) -> bool:
    """Whether kernels can run on float32 tensors where ``like`` lies."""
    return _on_gpu(like) and like.dtype == torch.float32 and kernels_allowed()


def mlstm_surroundings(
    u: Tensor, skip: Tensor, heads: int
) -> tuple[Callable[..., Any], ...] | None:
    """Return :func:`~lram_core.kernels.mlstm_inputs.mlstm_inputs` and ``mlstm_output``, or None.

    Args:
        u: up-projection (B, S, 2 * E). None for other types than the kernels', and for the few
            tokens of a tick.
        skip: one of the other weights, which are to be float32.
        heads: of the block.
    """
    if not _on_gpu(u) or u.shape[1] < MANY_TOKENS or not kernels_allowed():
        return None
    if u.dtype not in (torch.bfloat16, torch.float32) or skip.dtype != torch.float32:
        return None
    from lram_core.kernels.mlstm_inputs import MAX_HEADS, mlstm_inputs
    from lram_core.kernels.mlstm_output import mlstm_output

    return (mlstm_inputs, mlstm_output) if heads <= MAX_HEADS else None


def mlstm_window(gate: Tensor, length: int) -> tuple[Callable[..., Any], int] | None:
    """Return :func:`lram_core.kernels.mlstm_window.mlstm_window` and the tokens to give it at a
    time, about equal shares of a window; or None, also for the few tokens of a tick.

    Args:
        gate: pre-activations of one of the gates.
        length: tokens of the window.
    """
    if length < MANY_TOKENS or not kernels_for(gate):
        return None
    from lram_core.kernels.mlstm_inputs import padded_length
    from lram_core.kernels.mlstm_window import MAX_TOKENS, mlstm_window

    return mlstm_window, padded_length(math.ceil(length / math.ceil(length / MAX_TOKENS)))


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def kernels_allowed() -> bool:
    """Whether this installation has them, and nobody has turned them off."""
    return os.environ.get(SWITCH) != "off" and _has_triton()


@cache
def _has_triton() -> bool:
    """An installation that does not import counts as none, as does a PyTorch too old for them."""
    try:
        return importlib.util.find_spec("triton") is not None and all(
            importlib.import_module(f"lram_core.kernels.{name}") for name in _MODULES
        )
    except (ImportError, OSError, RuntimeError, ValueError):
        return False
