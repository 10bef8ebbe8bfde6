"""CUDA kernels, used where they are installed: never needed, never imported otherwise.

Official ones:

- ``mamba_ssm``: the selective scan of Mamba.
- ``mlstm_kernels``: the chunkwise mLSTM. Its licence, the NXAI Community License, has conditions;
  it is for users who have accepted them.

And ours in Triton, as PyTorch for CUDA brings it (:mod:`lram_core.kernels`): what surrounds the
mLSTM's memory, the sLSTM, and the selective scan where there is no ``mamba_ssm``.

All serve :meth:`forward <lram_core.backbones.base.Backbone.forward>` on CUDA; the step of a
control tick is ours everywhere. Set the environment variable ``LRAM_ACCELERATORS=off`` to use
none. An installation that does not import, such as one built without a GPU, counts as none.
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

from lram_core.mlstm import CellState

SWITCH = "LRAM_ACCELERATORS"
MLSTM_CHUNK = 64
MANY_TOKENS = 16

# Steps that stand for "no time at all" and "longer than anything is remembered", see mamba_scan.
_NO_TIME, _AN_AGE = 1e-9, 1e9


@cache
def _found(module: str, name: str) -> Callable[..., Any] | None:
    try:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            return None
        return getattr(importlib.import_module(module), name)
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None


def on_gpu_with_triton(like: Tensor) -> bool:
    """Whether our own kernels can run, on float32 tensors where ``like`` lies."""
    return like.is_cuda and _has_triton(like)


def _has_triton(like: Tensor) -> bool:
    return like.dtype == torch.float32 and _may_use("lram_core.kernels.slstm", "scan")


def _kernel(like: Tensor, module: str, name: str) -> Callable[..., Any] | None:
    """Return a kernel if it can be had here for float32 tensors where ``like`` lies."""
    if not like.is_cuda or like.dtype != torch.float32 or os.environ.get(SWITCH) == "off":
        return None
    return _found(module, name)


def mamba_kernel(like: Tensor) -> Callable[..., Any] | None:
    """Return ``mamba_ssm``'s ``selective_scan_fn`` for use with :func:`mamba_scan`, or None."""
    return _kernel(like, "mamba_ssm.ops.selective_scan_interface", "selective_scan_fn")


def has_scan_kernel(like: Tensor) -> bool:
    """Whether :mod:`lram_core.kernels.selective_scan`, which needs Triton, is for ``like``."""
    may = _may_use("lram_core.kernels.selective_scan", "scan")
    return like.is_cuda and like.dtype == torch.float32 and may


@torch.compiler.assume_constant_result
def _may_use(module: str, name: str) -> bool:
    # Not looked into by torch.compile, whose program an import would split in two.
    return os.environ.get(SWITCH) != "off" and _found(module, name) is not None


def mlstm_kernel(like: Tensor) -> Callable[..., Any] | None:
    """Return ``mlstm_kernels``' chunkwise kernel for use with :func:`mlstm_scan`, or None.

    like: queries (B, NH, S, DH). None for fewer tokens than a chunk, for a DH that is no multiple
    of 64, which its tiles are, and where float32 products are to be exact
    (``torch.set_float32_matmul_precision``): its tensor-core products may be rounded to TF32.
    """
    if like.shape[2] < MLSTM_CHUNK or like.shape[3] % 64:
        return None
    if torch.get_float32_matmul_precision() == "highest":
        return None
    find = _kernel(like, "mlstm_kernels.torch", "get_mlstm_kernel")
    return None if find is None else find("chunkwise--triton_xl_chunk")


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
    if not _on_gpu(u) or u.shape[1] < MANY_TOKENS or os.environ.get(SWITCH) == "off":
        return None
    if u.dtype not in (torch.bfloat16, torch.float32) or skip.dtype != torch.float32:
        return None
    try:
        from lram_core.kernels.mlstm_inputs import MAX_HEADS, mlstm_inputs
        from lram_core.kernels.mlstm_output import mlstm_output
    except ImportError:
        return None
    return (mlstm_inputs, mlstm_output) if heads <= MAX_HEADS else None


def mlstm_window(gate: Tensor, length: int) -> tuple[Callable[..., Any], int] | None:
    """Return :func:`lram_core.kernels.mlstm_window.mlstm_window` and the tokens to give it at a
    time, equal shares of a window; or None, also for the few tokens of a tick.

    Args:
        gate: pre-activations of one of the gates.
        length: tokens of the window.
    """
    if not _on_gpu(gate) or length < MANY_TOKENS or not _has_triton(gate):
        return None
    from lram_core.kernels.mlstm_inputs import padded_length
    from lram_core.kernels.mlstm_window import MAX_TOKENS, mlstm_window

    return mlstm_window, padded_length(math.ceil(length / math.ceil(length / MAX_TOKENS)))


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def mamba_scan(
    kernel: Callable[..., Any],
    x: Tensor,
    dt: Tensor,
    rates: Tensor,
    write: Tensor,
    read: Tensor,
    state: Tensor,
    starts: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Run ``selective_scan_fn`` as :func:`lram_core.selective_scan.selective_scan`.

    The kernel starts from a zero state and knows no episodes, so both are said with tokens. The
    state comes in as N tokens before the others, each writing one of the N values of every
    channel, in no time. A token that starts an episode takes a step so long that everything
    before it decays to zero, exactly, and its input is divided by as much.

    Gradients reach everything but what follows from the state after the last token, where the
    kernel gives none; training cuts them there anyway.
    """
    batch, _, states = state.shape
    if starts is not None:
        x = torch.where(starts.unsqueeze(-1), x * dt / _AN_AGE, x)
        dt = dt.masked_fill(starts.unsqueeze(-1), _AN_AGE)
    x = torch.cat([state.transpose(1, 2) / _NO_TIME, x], dim=1)
    dt = torch.cat([torch.full_like(state.transpose(1, 2), _NO_TIME), dt], dim=1)
    each = torch.eye(states, dtype=write.dtype, device=write.device).expand(batch, -1, -1)
    write, read = torch.cat([each, write], dim=1), torch.cat([torch.zeros_like(each), read], dim=1)
    u, delta, b, c = (v.transpose(1, 2).contiguous() for v in (x, dt, write, read))
    y, last = kernel(u, delta, rates, b, c, return_last_state=True)
    return y[..., states:].transpose(1, 2), last


def mlstm_scan(
    kernel: Callable[..., Any],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    input_gate: Tensor,
    forget_gate: Tensor,
    state: CellState,
) -> tuple[Tensor, CellState]:
    """Run a chunkwise kernel as :func:`lram_core.mlstm.mlstm_chunk`, without episode starts.

    The number of tokens is a multiple of ``MLSTM_CHUNK``. The kernel scales queries where we
    scale keys, so its memory is sqrt(DH) times ours.
    """
    root = math.sqrt(q.shape[-1])
    reads, (memory, normaliser, m) = kernel(
        q=q.contiguous(),
        k=k.contiguous(),
        v=v.contiguous(),
        i=input_gate.contiguous(),
        f=forget_gate.contiguous(),
        c_initial=state.C * root,
        n_initial=state.n * root,
        m_initial=state.m.unsqueeze(-1),
        return_last_states=True,
        autocast_kernel_dtype=torch.float32,
        chunk_size=MLSTM_CHUNK,
    )
    return reads, CellState(memory / root, normaliser / root, m.view_as(state.m))
