"""From the mLSTM's reads to the down-projection: norm, skip and output gate, in one pass each way.

The arithmetic is that of :mod:`lram_core.backbones.mlstm_block`, in float32; the backward pass
makes everything again from what the forward pass read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from lram_core.kernels.mlstm_output_backward import output_backward
from lram_core.kernels.mlstm_output_forward import output_forward

_NORM_EPS = 1e-5  # PyTorch's for a LayerNorm


class Tiles(NamedTuple):
    """What a program handles at a time, its warps and the most registers of a thread.

    programs: of the backward kernel, about; more of them make more partial sums.
    """

    values: int
    warps: int
    registers: int | None = None
    programs: int = 0


FORWARD = Tiles(values=4096, warps=2)
BACKWARD = Tiles(values=1280, warps=2, programs=1056)


def mlstm_output(
    reads: Tensor, norm_weight: Tensor, skip: Tensor, conv: Tensor, u: Tensor, link: Tensor
) -> Tensor:
    """Make the down-projection's inputs (B, S, E), in the type of ``u``.

    Args:
        reads: of the memory (B, NH, P, DH), float32 or bfloat16; of P rows the first S count.
        norm_weight, skip: (E,) float32, of the norm over each head and of the skip connection.
        conv, link: see :class:`lram_core.kernels.mlstm_inputs.Inputs`.
        u: up-projection (B, S, 2 * E); its second half is read. Its gradient goes to ``link``.
    """
    out: Tensor = _output(reads, norm_weight, skip, conv, u, link)
    return out


def parts(size: int) -> dict[str, int]:
    """A head as two parts: tiles have powers of two, and of 640 channels one would be 1024."""
    main = 1 << (size.bit_length() - 1)
    return {"main": main, "rest": triton.next_power_of_2(size - main) if size > main else 0}


def _rows(size: int, tiles: Tiles) -> int:
    return 1 << max(1, tiles.values // sum(parts(size).values())).bit_length() - 1


@torch.library.custom_op("lram::mlstm_output", mutates_args=())
def _output(
    reads: Tensor, norm_weight: Tensor, skip: Tensor, conv: Tensor, u: Tensor, link: Tensor
) -> Tensor:
    batch, heads, deep, size = reads.shape
    length = conv.shape[1]
    rows = _rows(size, FORWARD)
    out = u.new_empty(conv.shape)
    output_forward[(triton.cdiv(batch * length, rows), heads)](
        *(reads.contiguous(), norm_weight, skip, conv.contiguous(), u.contiguous(), out),
        tokens=batch * length,
        length=length,
        deep=deep,
        heads=heads,
        size=size,
        **parts(size),
        rows=rows,
        eps=_NORM_EPS,
        num_warps=FORWARD.warps,
        maxnreg=FORWARD.registers,
    )
    return out


@_output.register_fake
def _(reads, norm_weight, skip, conv, u, link):  # type: ignore[no-untyped-def]
    return u.new_empty(conv.shape)


@torch.library.custom_op("lram::mlstm_output_backward", mutates_args=())
def _backward(
    dout: Tensor, reads: Tensor, norm_weight: Tensor, skip: Tensor, conv: Tensor, u: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of reads, of both weights (2, E), of conv and of ``u``, its first half empty."""
    batch, heads, deep, size = reads.shape
    length = conv.shape[1]
    rows = _rows(size, BACKWARD)
    tiles = triton.cdiv(batch * length, rows)
    each = rows * triton.cdiv(tiles, max(1, BACKWARD.programs // heads))
    down = triton.cdiv(batch * length, each)
    dreads, dconv, du = _empty(reads, conv, u)
    dreads[:, :, length:] = 0
    sums = u.new_empty(down, 2, heads * size, dtype=torch.float32)
    output_backward[(down, heads)](
        *(dout.contiguous(), reads.contiguous(), norm_weight, skip),
        *(conv.contiguous(), u.contiguous(), dreads, dconv, du, sums),
        tokens=batch * length,
        length=length,
        deep=deep,
        each=each,
        heads=heads,
        size=size,
        **parts(size),
        rows=rows,
        eps=_NORM_EPS,
        num_warps=BACKWARD.warps,
        maxnreg=BACKWARD.registers,
    )
    return dreads, sums.sum(0), dconv, du


def _empty(*like: Tensor) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in like]


@_backward.register_fake
def _(dout, reads, norm_weight, skip, conv, u):  # type: ignore[no-untyped-def]
    dreads, dconv, du = _empty(reads, conv, u)
    return dreads, u.new_empty(2, conv.shape[-1], dtype=torch.float32), dconv, du


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:-1])


def _gradients(ctx, dout):  # type: ignore[no-untyped-def]
    dreads, dweights, dconv, du = _backward(dout, *ctx.saved_tensors)
    dnorm, dskip = dweights.unbind()
    return dreads, dnorm, dskip, dconv, None, du


_output.register_autograd(_gradients, setup_context=_save)
