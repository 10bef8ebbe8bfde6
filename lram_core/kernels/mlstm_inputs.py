"""From the up-projection to the mLSTM's queries, keys, values and gates, in one pass each way.

Between the large products a training step is bound by memory traffic. So the convolution, the
three block-diagonal maps and the gates are one operator that reads its inputs once and writes its
outputs once, and whose backward pass makes the convolution again instead of reading it. The
arithmetic is that of :mod:`lram_core.backbones.mlstm_block`, in float32 from the inputs on;
products of float32 are rounded to TF32 where the inputs are in bfloat16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from lram_core.backbones.mlstm_block import reaches
from lram_core.kernels.mlstm_inputs_backward import (
    conv_gradient,
    inputs_gradient,
    weights_gradient,
)
from lram_core.kernels.mlstm_inputs_forward import inputs_forward

_VECTOR = 8  # bfloat16 values of one load
_ALIGNED = 8  # rows: products of other numbers of them go slow ways
MAX_HEADS = 32  # two gates a head: more would take too many registers


class Tiles(NamedTuple):
    """What a program handles at a time, its warps, the loads it has under way, and the
    most registers of a thread.

    span: channels a program of the forward kernel goes through. programs: of a backward kernel,
    about; more of them make more partial sums.
    """

    rows: int
    channels: int
    warps: int
    stages: int = 1
    registers: int | None = None
    span: int = 0
    programs: int = 0


FORWARD = Tiles(rows=64, channels=64, warps=4, registers=128, span=512)
CONV_GRADIENT = Tiles(rows=64, channels=64, warps=4, registers=128)
INPUTS_GRADIENT = Tiles(rows=64, channels=32, warps=2, programs=2560)
WEIGHTS_GRADIENT = Tiles(rows=64, channels=64, warps=4, stages=3, programs=528)


class Inputs(NamedTuple):
    """What the memory and the output need.

    conv (B, S, E) and q, k, v (B, NH, P, DH) in the type of ``u``, P being S rounded up to what
    tensor cores take and the rows beyond S zero; gates (B, 2 * NH, S) float32, first the input
    gates; link: stands for ``u`` in :func:`lram_core.kernels.mlstm_output`, so
    that one gradient of (B, S, 2 * E) is made, half there and half here.
    """

    conv: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    gates: Tensor
    link: Tensor


def mlstm_inputs(
    u: Tensor,
    past: Tensor | None,
    segment: Tensor | None,
    conv_weight: Tensor,
    conv_bias: Tensor,
    wq: Tensor,
    wk: Tensor,
    wv: Tensor,
    gate_weight: Tensor,
    gate_bias: Tensor,
    heads: int,
) -> Inputs:
    """Make an mLSTM's inputs.

    Args:
        u: up-projection (B, S, 2 * E), bfloat16 or float32; only its first half is read.
        past: the three tokens before (B, 3, E), to which no gradient goes; None for zeros.
        segment: see :func:`lram_core.backbones.layers.segments`.
        conv_weight, conv_bias: depthwise convolution, (E, 1, 4) and (E,), float32.
        wq, wk, wv: block-diagonal maps (E / 4, 4 out, 4 in), float32.
        gate_weight, gate_bias: input gates, then forget gates: (2 * heads, 3 * E) over queries,
            keys and values, and (2 * heads,), float32.
        heads: at most MAX_HEADS.
    """
    if segment is None:
        segment = torch.zeros(u.shape[:2], dtype=torch.int64, device=u.device)
    with torch.autocast(u.device.type, enabled=False):
        # The gates are linear in what queries, keys and values are made of.
        mixes = torch.stack([wq, wk, wv])
        reach = torch.stack(reaches(gate_weight, mixes))
        conv, q, k, v, gates, link = _inputs(
            u, past, segment, conv_weight[:, 0].t(), conv_bias, mixes, reach, heads
        )
        return Inputs(conv, q, k, v, gates + gate_bias.unsqueeze(-1), link)


def padded_length(length: int) -> int:
    """Rows that queries, keys and values have for so many tokens."""
    return triton.cdiv(length, _ALIGNED) * _ALIGNED


def _link(u: Tensor) -> Tensor:
    """A tensor of the shape of ``u`` that takes no memory."""
    return u.new_zeros(1).expand(u.shape)


def _precision(u: Tensor) -> str:
    return "tf32" if u.dtype == torch.bfloat16 else "tf32x3"


def _padded(heads: int) -> int:
    return max(16, triton.next_power_of_2(2 * heads))


def _outputs(u: Tensor, heads: int, spans: int) -> tuple[Tensor, ...]:
    batch, length, double = u.shape
    conv = u.new_empty(batch, length, double // 2)
    shape = (batch, heads, padded_length(length), double // 2 // heads)
    q, k, v = (u.new_empty(shape) for _ in range(3))
    gates = u.new_empty(spans, batch, 2 * heads, length, dtype=torch.float32)
    return conv, q, k, v, gates


@torch.library.custom_op("lram::mlstm_inputs", mutates_args=())
def _inputs(
    u: Tensor,
    past: Tensor | None,
    segment: Tensor,
    taps: Tensor,
    bias: Tensor,
    mixes: Tensor,
    reach: Tensor,
    heads: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    batch, length, inner = u.shape[0], u.shape[1], u.shape[2] // 2
    tiles = FORWARD
    spans = triton.cdiv(inner, tiles.span)
    u = u.contiguous()
    conv, q, k, v, gates = _outputs(u, heads, spans)
    for x in (q, k, v):
        x[:, :, length:] = 0
    inputs_forward[(triton.cdiv(batch * length, tiles.rows), spans)](
        *(u, _past(past, u), segment.contiguous(), taps.contiguous(), bias),
        *(mixes.movedim(1, -1).contiguous(), reach.contiguous()),
        *(conv, q, k, v, gates),
        tokens=batch * length,
        length=length,
        deep=q.shape[2],
        inner=inner,
        heads=heads,
        padded=_padded(heads),
        rows=tiles.rows,
        channels=tiles.channels,
        span=tiles.span,
        precision=_precision(u),
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        maxnreg=tiles.registers,
    )
    return conv, q, k, v, gates.sum(0) if spans > 1 else gates[0].clone(), _link(u)


@_inputs.register_fake
def _(u, past, segment, taps, bias, mixes, reach, heads):  # type: ignore[no-untyped-def]
    *rest, gates = _outputs(u, heads, 1)
    return *rest, torch.empty_like(gates[0]), _link(u)


@register_flop_formula(torch.ops.lram.mlstm_inputs)
def _flops(u, *shapes, out_shape=None, **_) -> int:  # type: ignore[no-untyped-def]
    """What the three maps and the gates on top of them take: products alone."""
    heads = shapes[-1]
    return int(2 * u[0] * u[1] * 3 * u[2] // 2 * (4 + 2 * heads))


@torch.library.custom_op("lram::mlstm_inputs_backward", mutates_args=("du",))
def _backward(
    du: Tensor,
    dconv: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    dgates: Tensor,
    u: Tensor,
    past: Tensor | None,
    segment: Tensor,
    taps: Tensor,
    bias: Tensor,
    mixes: Tensor,
    reach: Tensor,
    conv: Tensor,
) -> tuple[Tensor, Tensor]:
    """Write the first half of ``du``; return gradients of taps and bias, of mixes and reach."""
    batch, length, inner = dconv.shape
    heads = dq.shape[1]
    dq, dk, dv, u = dq.contiguous(), dk.contiguous(), dv.contiguous(), u.contiguous()
    dgates = dgates.transpose(1, 2).contiguous()
    sizes: dict[str, Any] = {"inner": inner, "heads": heads, "padded": _padded(heads)}
    sizes |= {"tokens": batch * length, "length": length, "deep": dq.shape[2]}
    sizes |= {"precision": _precision(u)}

    tiles = CONV_GRADIENT
    across = triton.cdiv(inner, tiles.channels)
    dy = torch.empty_like(conv)
    conv_gradient[(triton.cdiv(batch * length, tiles.rows), across)](
        *(dconv.contiguous(), dq, dk, dgates, u, _past(past, u), segment.contiguous()),
        *(taps.contiguous(), bias, mixes.contiguous(), reach.contiguous(), dy),
        rows=tiles.rows,
        channels=tiles.channels,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        maxnreg=tiles.registers,
        **sizes,
    )
    tiles = INPUTS_GRADIENT
    across = triton.cdiv(inner, tiles.channels)
    sequences = max(1, batch * across // tiles.programs)
    down = triton.cdiv(batch, sequences)
    small = u.new_empty(down, 5, inner, dtype=torch.float32)
    inputs_gradient[(across, down)](
        *(du, dy, dv, dgates, u, _past(past, u), segment.contiguous()),
        *(taps.contiguous(), mixes.contiguous(), reach.contiguous(), small),
        each=sequences * length,
        rows=tiles.rows,
        channels=tiles.channels,
        fold=max(1, tiles.rows * tiles.channels // (_VECTOR * 32 * tiles.warps)),
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        maxnreg=tiles.registers,
        **sizes,
    )
    tiles = WEIGHTS_GRADIENT
    across = triton.cdiv(inner, tiles.channels)
    turns = triton.cdiv(batch * length, tiles.rows)
    each = tiles.rows * triton.cdiv(turns, max(1, tiles.programs // across))
    down = triton.cdiv(batch * length, each)
    large = u.new_empty(down, 12 + 4 * heads, inner, dtype=torch.float32)
    weights_gradient[(across, down)](
        *(conv.contiguous(), dq, dk, dv, dgates, u, large),
        each=each,
        rows=tiles.rows,
        channels=tiles.channels,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        maxnreg=tiles.registers,
        **sizes,
    )
    return small.sum(0), large.sum(0)


@_backward.register_fake
def _(du, dconv, dq, dk, dv, dgates, u, past, segment, taps, bias, mixes, reach, conv):  # type: ignore[no-untyped-def]
    inner = dconv.shape[2]
    small = u.new_empty(5, inner, dtype=torch.float32)
    return small, u.new_empty(12 + 4 * dq.shape[1], inner, dtype=torch.float32)


def _past(past: Tensor | None, u: Tensor) -> Tensor | None:
    return None if past is None else past.to(u.dtype).contiguous()


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:-1], output[0])


def _gradients(ctx, dconv, dq, dk, dv, dgates, dlink):  # type: ignore[no-untyped-def]
    _, bias, mixes, reach, _ = ctx.saved_tensors[3:]
    # The output gate's half is there; the other is empty yet.
    du = dlink.contiguous()
    small, large = _backward(du, dconv, dq, dk, dv, dgates, *ctx.saved_tensors)
    dtaps, dbias = small.split([4, 1])
    dmixes, dreach = large.split([12, 2 * reach.shape[1]])
    return (
        *(du, None, None, dtaps, dbias.view(bias.shape)),
        *(dmixes.view(mixes.shape), dreach.view(reach.shape), None),
    )


_inputs.register_autograd(_gradients, setup_context=_save)
