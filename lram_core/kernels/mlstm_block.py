"""What surrounds the matrix memory of an mLSTM block, in four kernels: a tick is launch-bound.

The products with the large weight matrices stay PyTorch's. The arithmetic is that of
:mod:`lram_core.backbones.mlstm_block`, in float32 between those products.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.backbones.base import State
from lram_core.backbones.layers import CONV_WIDTH
from lram_core.backbones.mlstm_block import QKV_BLOCK, MLSTMBlock
from lram_core.kernels.mlstm import FusedMLSTM
from lram_core.mlstm import CellState

_NORM_EPS = 1e-5  # PyTorch's for a LayerNorm
_MIX_BLOCKS = 32  # of QKV_BLOCK channels, a program
_GATE_CHANNELS = 256  # at a time


class FusedBlock(nn.Module):
    """Takes the place of an :class:`MLSTMBlock` for the few tokens of a tick.

    Args:
        block: its weights are used where they are; the projections may be in bfloat16.
        active: see :class:`lram_core.kernels.mlstm.FusedMLSTM`.
    """

    def __init__(self, block: MLSTMBlock, active: Tensor | None = None) -> None:
        super().__init__()
        self.block = block
        self.state_shapes = block.state_shapes
        self._memory = FusedMLSTM(active)

    def forward(
        self, x: Tensor, state: State, segment: Tensor | None, want_state: bool = True
    ) -> tuple[Tensor, State]:
        assert want_state, "a tick always has a next one"
        layer, cell = self.block.xlstm, self.block.xlstm.mlstm_cell
        batch, tokens, width = x.shape
        heads, size = cell.config.num_heads, cell.config.head_size
        inner = heads * size
        up, down = layer.proj_up.weight, layer.proj_down.weight
        segment = None if segment is None else segment.contiguous()

        normed = torch.empty(x.shape, dtype=up.dtype, device=x.device)
        _norm[(batch * tokens,)](
            x.contiguous(),
            self.block.xlstm_norm.weight,
            normed,
            width=width,
            padded=triton.next_power_of_2(width),
            eps=_NORM_EPS,
        )
        both = F.linear(normed, up)  # the layer's inputs, then those of the output gate
        conv, q, k, v = x.new_empty(4, batch, tokens, inner).unbind(0)
        past = torch.empty_like(state["conv"])
        _mix[(batch, triton.cdiv(inner // QKV_BLOCK, _MIX_BLOCKS))](
            *(both, state["conv"], segment, layer.conv1d.conv.weight, layer.conv1d.conv.bias),
            *(layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight),
            *(conv, q, k, v, past),
            inner=inner,
            tokens=tokens,
            blocks=_MIX_BLOCKS,
            side=QKV_BLOCK,
            taps=CONV_WIDTH,
        )
        gates = x.new_empty(2, batch, heads, tokens)
        _gates[(batch, 2 * heads)](
            *(q, k, v, cell.igate.weight, cell.fgate.weight, cell.igate.bias, cell.fgate.bias),
            gates,
            heads=heads,
            inner=inner,
            tokens=tokens,
            padded=triton.next_power_of_2(tokens),
            channels=_GATE_CHANNELS,
        )
        q, k, v = (part.unflatten(-1, (heads, size)).transpose(1, 2) for part in (q, k, v))
        memory = CellState(state["C"], state["n"], state["m"])
        reads, memory = self._memory(q, k, v, gates[0], gates[1], memory, segment)
        out = torch.empty((batch, tokens, inner), dtype=down.dtype, device=x.device)
        _finish[(batch * tokens, heads)](
            *(reads.transpose(1, 2), cell.outnorm.weight, layer.learnable_skip, conv, both, out),
            inner=inner,
            size=size,
            padded=triton.next_power_of_2(size),
            eps=_NORM_EPS,
        )
        return x + F.linear(out, down), {"conv": past, **memory._asdict()}


@triton.jit
def _norm(  # type: ignore[no-untyped-def]
    x_at, weight_at, out_at, width: tl.constexpr, padded: tl.constexpr, eps: tl.constexpr
):
    """LayerNorm of a row, scaled by 1 + weight."""
    row = tl.program_id(0)
    channel = tl.arange(0, padded)
    inside = channel < width
    x = tl.load(x_at + row * width + channel, mask=inside, other=0.0)
    x = tl.where(inside, x - tl.sum(x, axis=0) / width, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / width + eps)
    weight = tl.load(weight_at + channel, mask=inside, other=0.0)
    y = x * scale * (1.0 + weight)
    tl.store(out_at + row * width + channel, y.to(out_at.dtype.element_ty), mask=inside)


@triton.jit
def _mix(  # type: ignore[no-untyped-def]
    x_at,
    past_at,
    segment_at,
    taps_at,
    bias_at,
    wq_at,
    wk_at,
    wv_at,
    conv_at,
    q_at,
    k_at,
    v_at,
    new_past_at,
    inner: tl.constexpr,
    tokens: tl.constexpr,
    blocks: tl.constexpr,
    side: tl.constexpr,
    taps: tl.constexpr,
):
    """Causal convolution and SiLU, then queries and keys of it, values of the inputs."""
    b = tl.program_id(0)
    group = tl.program_id(1) * blocks + tl.arange(0, blocks)
    lane = tl.arange(0, side)
    known = group < inner // side
    channel = group[:, None] * side + lane[None, :]
    inside = known[:, None] & (lane[None, :] < side)
    square = (group[:, None, None] * side + lane[None, :, None]) * side + lane[None, None, :]
    whole = known[:, None, None] & (lane[None, :, None] < side) & (lane[None, None, :] < side)
    wq = tl.load(wq_at + square, mask=whole, other=0.0)
    wk = tl.load(wk_at + square, mask=whole, other=0.0)
    wv = tl.load(wv_at + square, mask=whole, other=0.0)
    bias = tl.load(bias_at + channel, mask=inside, other=0.0)
    for t in tl.static_range(tokens):
        here = 0
        if segment_at is not None:
            here = tl.load(segment_at + b * tokens + t)
        total = bias
        for tap in tl.static_range(taps):
            weight = tl.load(taps_at + channel * taps + tap, mask=inside, other=0.0)
            if t + tap >= taps - 1:  # one of the new tokens
                new = b * tokens + t + tap - (taps - 1)
                older = tl.load(x_at + new * 2 * inner + channel, mask=inside, other=0.0)
                older = older.to(tl.float32)
                if segment_at is not None:
                    older = tl.where(tl.load(segment_at + new) == here, older, 0.0)
            else:
                old = b * (taps - 1) + t + tap
                older = tl.load(past_at + old * inner + channel, mask=inside, other=0.0)
                if segment_at is not None:
                    older = tl.where(here == 0, older, 0.0)
            total += weight * older
        x = tl.load(x_at + (b * tokens + t) * 2 * inner + channel, mask=inside, other=0.0)
        x = x.to(tl.float32)
        conv = total / (1.0 + tl.exp(-total))
        row = (b * tokens + t) * inner + channel
        tl.store(conv_at + row, conv, mask=inside)
        tl.store(q_at + row, tl.sum(conv[:, None, :] * wq, axis=2), mask=inside)
        tl.store(k_at + row, tl.sum(conv[:, None, :] * wk, axis=2), mask=inside)
        tl.store(v_at + row, tl.sum(x[:, None, :] * wv, axis=2), mask=inside)
    last = 0
    if segment_at is not None:
        last = tl.load(segment_at + b * tokens + tokens - 1)
    for place in tl.static_range(taps - 1):
        if tokens + place >= taps - 1:
            new = b * tokens + tokens + place - (taps - 1)
            older = tl.load(x_at + new * 2 * inner + channel, mask=inside, other=0.0)
            older = older.to(tl.float32)
            if segment_at is not None:
                older = tl.where(tl.load(segment_at + new) == last, older, 0.0)
        else:
            old = b * (taps - 1) + tokens + place
            older = tl.load(past_at + old * inner + channel, mask=inside, other=0.0)
            if segment_at is not None:
                older = tl.where(last == 0, older, 0.0)
        row = (b * (taps - 1) + place) * inner + channel
        tl.store(new_past_at + row, older, mask=inside)


@triton.jit
def _gates(  # type: ignore[no-untyped-def]
    q_at,
    k_at,
    v_at,
    wi_at,
    wf_at,
    bi_at,
    bf_at,
    out_at,
    heads: tl.constexpr,
    inner: tl.constexpr,
    tokens: tl.constexpr,
    padded: tl.constexpr,
    channels: tl.constexpr,
):
    """One gate of one head: a product of [q, k, v] with a row of weights."""
    b = tl.program_id(0)
    gate = tl.program_id(1)
    head = gate % heads
    weights_at, bias_at = wi_at, bi_at
    if gate >= heads:
        weights_at, bias_at = wf_at, bf_at
    weights_at += head * 3 * inner
    token = tl.arange(0, padded)
    real = token < tokens
    total = tl.zeros((padded, channels), dtype=tl.float32)
    for start in range(0, inner, channels):
        channel = start + tl.arange(0, channels)
        inside = channel < inner
        cell = real[:, None] & inside[None, :]
        row = (b * tokens + token[:, None]) * inner + channel[None, :]
        wq = tl.load(weights_at + channel, mask=inside, other=0.0)
        wk = tl.load(weights_at + inner + channel, mask=inside, other=0.0)
        wv = tl.load(weights_at + 2 * inner + channel, mask=inside, other=0.0)
        total += tl.load(q_at + row, mask=cell, other=0.0) * wq[None, :]
        total += tl.load(k_at + row, mask=cell, other=0.0) * wk[None, :]
        total += tl.load(v_at + row, mask=cell, other=0.0) * wv[None, :]
    value = tl.sum(total, axis=1) + tl.load(bias_at + head)
    kind = gate // heads
    batch = tl.num_programs(0)
    tl.store(out_at + ((kind * batch + b) * heads + head) * tokens + token, value, mask=real)


@triton.jit
def _finish(  # type: ignore[no-untyped-def]
    reads_at,
    weight_at,
    skip_at,
    conv_at,
    both_at,
    out_at,
    inner: tl.constexpr,
    size: tl.constexpr,
    padded: tl.constexpr,
    eps: tl.constexpr,
):
    """Norm of one head's reads, skip, output gate."""
    row = tl.program_id(0)
    lane = tl.arange(0, padded)
    inside = lane < size
    channel = tl.program_id(1) * size + lane
    x = tl.load(reads_at + row * inner + channel, mask=inside, other=0.0)
    x = tl.where(inside, x - tl.sum(x, axis=0) / size, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / size + eps)
    y = x * scale * (1.0 + tl.load(weight_at + channel, mask=inside, other=0.0))
    conv = tl.load(conv_at + row * inner + channel, mask=inside, other=0.0)
    y += tl.load(skip_at + channel, mask=inside, other=0.0) * conv
    z = tl.load(both_at + row * 2 * inner + inner + channel, mask=inside, other=0.0).to(tl.float32)
    y *= z / (1.0 + tl.exp(-z))
    tl.store(out_at + row * inner + channel, y.to(out_at.dtype.element_ty), mask=inside)
