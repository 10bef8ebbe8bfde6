"""An mLSTM block over the few tokens of a tick, in five kernels: a small model is launch-bound.

Norm and up-projection; convolution, queries, keys, values and gates; memory; norm and output
gate; down-projection and residual. For more rows than :mod:`lram_core.kernels.few_rows` takes,
the products with the large weight matrices are PyTorch's. The arithmetic is that of
:mod:`lram_core.backbones.mlstm_block`, in float32 between those products.
"""

# mypy: disable-error-code="assignment, var-annotated"
# Tuples grow in a kernel's unrolled loops.

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.backbones.base import State
from lram_core.backbones.causal_conv import CONV_WIDTH
from lram_core.backbones.mlstm_block import QKV_BLOCK, MLSTMBlock
from lram_core.kernels import early
from lram_core.kernels.early import wait
from lram_core.kernels.few_rows import few_rows, product
from lram_core.kernels.mlstm import FusedMLSTM
from lram_core.mlstm import CellState

_NORM_EPS = 1e-5  # PyTorch's for a LayerNorm
_MIX_BLOCKS = 32  # of QKV_BLOCK channels, a program
_MIX_HEADS = 2  # whose gates a program has


class FusedBlock(nn.Module):
    """Takes the place of an :class:`MLSTMBlock` for the few tokens of a tick.

    The state is overwritten and returned.

    Args:
        block: its weights are used where they are; the projections may be in bfloat16.
        active: (B,) bool, read at each call: where it is False the state stays as it was, and the
            result is of no meaning. None: all are active.
    """

    def __init__(self, block: MLSTMBlock, active: Tensor | None = None) -> None:
        super().__init__()
        self.block = block
        self.state_shapes = block.state_shapes
        self._active = active
        self._memory = FusedMLSTM(active)

    def forward(
        self, x: Tensor, state: State, segment: Tensor | None, want_state: bool = True
    ) -> tuple[Tensor, State]:
        assert want_state, "a tick always has a next one"
        layer, cell = self.block.xlstm, self.block.xlstm.mlstm_cell
        batch, tokens, _ = x.shape
        heads, size = cell.config.num_heads, cell.config.head_size
        inner = heads * size
        up, down = layer.proj_up.weight, layer.proj_down.weight
        segment = None if segment is None else segment.contiguous()

        # The layer's inputs, then those of the output gate.
        both = _normed_product(x, self.block.xlstm_norm.weight, up)
        conv, q, k, v = x.new_empty(4, batch, tokens, inner).unbind(0)
        past = torch.empty_like(state["conv"])
        parts = triton.cdiv(inner // QKV_BLOCK, _MIX_BLOCKS)
        gates = x.new_empty(2, batch, heads, tokens, parts)
        some = min(_MIX_HEADS, triton.next_power_of_2(heads))
        _mix[(batch, parts, triton.cdiv(heads, some))](
            *(both, state["conv"], segment, layer.conv1d.conv.weight, layer.conv1d.conv.bias),
            *(layer.q_proj.weight, layer.k_proj.weight, layer.v_proj.weight),
            *(cell.igate.weight, cell.fgate.weight, cell.igate.bias, cell.fgate.bias),
            *(conv, q, k, v, gates, past),
            inner=inner,
            heads=heads,
            tokens=tokens,
            blocks=_MIX_BLOCKS,
            side=QKV_BLOCK,
            taps=CONV_WIDTH,
            some=some,
            num_warps=1,  # a block a lane: nothing goes from thread to thread but sums
            **early.options(x.device),
        )
        q, k, v = (part.unflatten(-1, (heads, size)).transpose(1, 2) for part in (q, k, v))
        memory = CellState(state["C"], state["n"], state["m"])
        reads, memory = self._memory(q, k, v, gates[0], gates[1], memory, segment)
        out = torch.empty((batch, tokens, inner), dtype=down.dtype, device=x.device)
        _finish[(batch * tokens, heads)](
            *(reads.transpose(1, 2), cell.outnorm.weight, layer.learnable_skip, conv, both, out),
            *(past, memory.n, memory.m, state["conv"], state["n"], state["m"], self._active),
            inner=inner,
            size=size,
            tokens=tokens,
            kept=CONV_WIDTH - 1,
            padded=triton.next_power_of_2(size),
            eps=_NORM_EPS,
            **early.options(x.device),
        )
        x = product(out, down, residual=x) if few_rows(out, down) else x + F.linear(out, down)
        return x, state


def _normed_product(x: Tensor, norm: Tensor, weight: Tensor) -> Tensor:
    if few_rows(x, weight, norm):
        return product(x, weight, norm=norm, dtype=weight.dtype)
    return F.linear(normed(x, norm, weight.dtype), weight)


def normed(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the LayerNorm of rows (..., D), scaled by 1 + weight, in a dtype."""
    y = torch.empty(x.shape, dtype=dtype, device=x.device)
    width = x.shape[-1]
    _norm[(x.numel() // width,)](
        *(x.contiguous(), weight, y),
        width=width,
        padded=triton.next_power_of_2(width),
        eps=_NORM_EPS,
        **early.options(x.device),
    )
    return y


@triton.jit
def _norm(  # type: ignore[no-untyped-def]
    x_at,
    weight_at,
    out_at,
    width: tl.constexpr,
    padded: tl.constexpr,
    eps: tl.constexpr,
    early: tl.constexpr,
):
    """LayerNorm of a row, scaled by 1 + weight."""
    row = tl.program_id(0)
    channel = tl.arange(0, padded)
    inside = channel < width
    weight = tl.load(weight_at + channel, mask=inside, other=0.0)
    wait(early)
    x = tl.load(x_at + row * width + channel, mask=inside, other=0.0)
    x = tl.where(inside, x - tl.sum(x, axis=0) / width, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / width + eps)
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
    wi_at,
    wf_at,
    bi_at,
    bf_at,
    conv_at,
    q_at,
    k_at,
    v_at,
    gates_at,
    new_past_at,
    inner: tl.constexpr,
    heads: tl.constexpr,
    tokens: tl.constexpr,
    blocks: tl.constexpr,
    side: tl.constexpr,
    taps: tl.constexpr,
    some: tl.constexpr,
    early: tl.constexpr,
):
    """Causal convolution and SiLU, queries and keys of it, values of the inputs, and gates.

    Of the gates, products of [q, k, v] with rows of weights, a program has the sums over its
    channels, for some heads; all else is written by the program of the first heads.
    """
    b = tl.program_id(0)
    part = tl.program_id(1)
    parts = tl.num_programs(1)
    group = part * blocks + tl.arange(0, blocks)
    lane = tl.arange(0, side)
    known = group < inner // side
    channel = group[:, None] * side + lane[None, :]
    inside = known[:, None] & (lane[None, :] < side)
    square = (group[:, None, None] * side + lane[None, :, None]) * side + lane[None, None, :]
    whole = known[:, None, None] & (lane[None, :, None] < side) & (lane[None, None, :] < side)

    # All loads come first: a compiler moves none of them past a sum or a store.
    wq = tl.load(wq_at + square, mask=whole, other=0.0)
    wk = tl.load(wk_at + square, mask=whole, other=0.0)
    wv = tl.load(wv_at + square, mask=whole, other=0.0)
    bias = tl.load(bias_at + channel, mask=inside, other=0.0)
    weights = ()
    for tap in tl.static_range(taps):
        weights += (tl.load(taps_at + channel * taps + tap, mask=inside, other=0.0),)
    head = tl.program_id(2) * some + tl.arange(0, some)
    real = head < heads
    row = head[:, None, None] * 3 * inner + channel[None, :, :]
    there = real[:, None, None] & inside[None, :, :]
    gate_weights = ()
    gate_biases = ()
    for kind in tl.static_range(2):
        at = wi_at if kind == 0 else wf_at
        for source in tl.static_range(3):
            gate_weights += (tl.load(at + row + source * inner, mask=there, other=0.0),)
        at = bi_at if kind == 0 else bf_at
        gate_biases += (tl.load(at + head, mask=real & (part == 0), other=0.0),)
    wait(early)
    # The tokens before, then the new ones; and whose episode they are of.
    window = ()
    episodes = ()
    for place in tl.static_range(taps - 1):
        old = (b * (taps - 1) + place) * inner + channel
        window += (tl.load(past_at + old, mask=inside, other=0.0),)
        episodes += (0,)
    for t in tl.static_range(tokens):
        new = (b * tokens + t) * 2 * inner + channel
        window += (tl.load(x_at + new, mask=inside, other=0.0).to(tl.float32),)
        if segment_at is not None:
            episodes += (tl.load(segment_at + b * tokens + t),)

    writes = inside & (tl.program_id(2) == 0)
    for t in tl.static_range(tokens):
        total = bias
        for tap in tl.static_range(taps):
            older = window[t + tap]
            if segment_at is not None:
                older = tl.where(episodes[t + tap] == episodes[t + taps - 1], older, 0.0)
            total += weights[tap] * older
        conv = total / (1.0 + tl.exp(-total))
        q = tl.sum(conv[:, None, :] * wq, axis=2)
        k = tl.sum(conv[:, None, :] * wk, axis=2)
        v = tl.sum(window[t + taps - 1][:, None, :] * wv, axis=2)
        row = (b * tokens + t) * inner + channel
        tl.store(conv_at + row, conv, mask=writes)
        tl.store(q_at + row, q, mask=writes)
        tl.store(k_at + row, k, mask=writes)
        tl.store(v_at + row, v, mask=writes)
        for kind in tl.static_range(2):
            products = q[None, :, :] * gate_weights[3 * kind]
            products += k[None, :, :] * gate_weights[3 * kind + 1]
            products += v[None, :, :] * gate_weights[3 * kind + 2]
            value = tl.sum(tl.sum(products, axis=2), axis=1) + gate_biases[kind]
            place = ((kind * tl.num_programs(0) + b) * heads + head) * tokens + t
            tl.store(gates_at + place * parts + part, value, mask=real)
    for place in tl.static_range(taps - 1):
        older = window[tokens + place]
        if segment_at is not None:
            older = tl.where(episodes[tokens + place] == episodes[tokens + taps - 2], older, 0.0)
        row = (b * (taps - 1) + place) * inner + channel
        tl.store(new_past_at + row, older, mask=writes)


@triton.jit
def _finish(  # type: ignore[no-untyped-def]
    reads_at,
    weight_at,
    skip_at,
    conv_at,
    both_at,
    out_at,
    new_past_at,
    new_n_at,
    new_m_at,
    past_at,
    n_at,
    m_at,
    active_at,
    inner: tl.constexpr,
    size: tl.constexpr,
    tokens: tl.constexpr,
    kept: tl.constexpr,
    padded: tl.constexpr,
    eps: tl.constexpr,
    early: tl.constexpr,
):
    """Norm of one head's reads, skip, output gate; and the state that nobody reads any more."""
    row = tl.program_id(0)
    h = tl.program_id(1)
    head = row // tokens * tl.num_programs(1) + h
    lane = tl.arange(0, padded)
    inside = lane < size
    channel = h * size + lane
    weight = tl.load(weight_at + channel, mask=inside, other=0.0)
    skip = tl.load(skip_at + channel, mask=inside, other=0.0)
    wait(early)
    # A state is written by the program of the first token.
    writes = row % tokens == 0
    if active_at is not None:
        writes = writes & (tl.load(active_at + row // tokens) != 0)
    x = tl.load(reads_at + row * inner + channel, mask=inside, other=0.0)
    conv = tl.load(conv_at + row * inner + channel, mask=inside, other=0.0)
    z = tl.load(both_at + row * 2 * inner + inner + channel, mask=inside, other=0.0).to(tl.float32)
    moved = inside & writes
    n = tl.load(new_n_at + head * size + lane, mask=moved, other=0.0)
    m = tl.load(new_m_at + head)
    past = ()
    for place in tl.static_range(kept):
        old = (row // tokens * kept + place) * inner + channel
        past += (tl.load(new_past_at + old, mask=moved, other=0.0),)
    x = tl.where(inside, x - tl.sum(x, axis=0) / size, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, axis=0) / size + eps)
    y = (x * scale * (1.0 + weight) + skip * conv) * (z / (1.0 + tl.exp(-z)))
    tl.store(out_at + row * inner + channel, y.to(out_at.dtype.element_ty), mask=inside)
    tl.store(n_at + head * size + lane, n, mask=moved)
    tl.store(m_at + head, m, mask=writes)
    for place in tl.static_range(kept):
        old = (row // tokens * kept + place) * inner + channel
        tl.store(past_at + old, past[place], mask=moved)
