"""A Decision Transformer with a KV cache: what a user would run in place of a recurrent model.

GPT-2's pre-norm blocks with learned global positions, the exact (erf) GELU, and attention over the
last ``context`` timesteps. The cache is the state: a ring of static shape, so a tick costs the
same at any time of an episode. Source: Chen et al., "Decision Transformer", 2021; one position a
timestep, shared by its tokens, as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.backbones.base import Backbone, State, positive
from lram_core.backbones.layers import segments
from lram_core.backbones.products import Linear, linear
from lram_core.backbones.ring_cache import held_tokens, refilled, written

TOKENS_PER_TIMESTEP = 3
INIT_STD = 0.02


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of the stack.

    Attributes:
        d_model: width of a token.
        num_layers: number of blocks.
        num_heads: heads a block; the head size is ``d_model / num_heads``.
        context: timesteps of attention: a token sees itself and the ``3 * context - 1`` tokens
            before it.
        max_timesteps: learned positions. Later timesteps of an episode share the last one.
    """

    d_model: int
    num_layers: int
    num_heads: int = 8
    context: int = 50
    max_timesteps: int = 1600

    def __post_init__(self) -> None:
        positive(self, "d_model", "num_layers", "num_heads", "context", "max_timesteps")
        if self.d_model % self.num_heads:
            raise ValueError(
                f"d_model = {self.d_model} must be a multiple of num_heads = {self.num_heads}"
            )

    @property
    def head_size(self) -> int:
        return self.d_model // self.num_heads

    @property
    def window(self) -> int:
        """Tokens a token sees, itself included."""
        return TOKENS_PER_TIMESTEP * self.context


class Block(nn.Module):
    """Attention and a feed-forward network of four times the width, each behind a LayerNorm."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.d_model
        self.heads = (config.num_heads, config.head_size)
        self.attention_norm = nn.LayerNorm(size)
        self.qkv = Linear(size, 3 * size)
        self.out_proj = Linear(size, size)
        self.mlp_norm = nn.LayerNorm(size)
        self.proj_up = Linear(size, 4 * size)
        self.proj_down = Linear(4 * size, size)
        self.reset_parameters(config)

    def reset_parameters(self, config: TransformerConfig) -> None:
        """GPT-2: normal weights, smaller by depth where a block writes to the residual stream."""
        for layer in (self.qkv, self.out_proj, self.proj_up, self.proj_down):
            residual = layer in (self.out_proj, self.proj_down)
            scale = 1 / math.sqrt(2 * config.num_layers) if residual else 1.0
            nn.init.normal_(layer.weight, std=INIT_STD * scale)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Tensor,
        old: tuple[Tensor, Tensor] | None,
        visible: Tensor,
        reads: slice | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run S tokens, which see some of the ``old`` keys and values (B, NH, W, DH) and theirs.

        x (B, S, D), visible (B, 1, R, W + S) bool → x (B, R, D), and the keys and values of all S.
        ``reads`` as the stack's.
        """
        q, k, v = self.project(x, reads)
        keys, values = k, v
        if old is not None:
            keys, values = (torch.cat([a.to(b), b], 2) for a, b in zip(old, (k, v), strict=True))
        read = F.scaled_dot_product_attention(q, keys, values, attn_mask=visible)
        return self.finish(x if reads is None else x[:, reads], read), k, v

    def project(self, x: Tensor, reads: slice | None = None) -> list[Tensor]:
        """x (B, S, D) → queries (B, NH, R, DH) of those read, keys, values (B, NH, S, DH)."""
        x = self.attention_norm(x)
        if reads is None:
            parts = self.qkv(x).chunk(3, dim=-1)
        else:
            size = x.shape[-1]
            (w_q, w_kv), (b_q, b_kv) = (
                p.split([size, 2 * size]) for p in (self.qkv.weight, self.qkv.bias)
            )
            parts = (
                linear(x[:, reads], w_q, b_q),
                *linear(x, w_kv, b_kv).chunk(2, dim=-1),
            )
        return [part.unflatten(-1, self.heads).transpose(1, 2) for part in parts]

    def finish(self, x: Tensor, read: Tensor) -> Tensor:
        """Add what attention read (B, NH, S, DH), then the feed-forward network."""
        x = x + self.out_proj(read.transpose(1, 2).flatten(-2))
        return x + self.proj_down(F.gelu(self.proj_up(self.mlp_norm(x))))


class Transformer(Backbone):
    """The stack. See :class:`lram_core.backbones.base.Backbone` for the interface."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.position = nn.Embedding(config.max_timesteps, config.d_model)
        nn.init.normal_(self.position.weight, std=INIT_STD)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the state before the first token of an episode, for ``batch`` sequences.

        Per layer, in the parameters' precision: keys ``k`` and values ``v`` of the last
        W = 3 * context tokens (B, NH, W, DH), token p of the episode in slot ``p % W``. Last,
        ``position``: tokens seen since the episode's start (B,) int64.
        """
        c = self.config
        shape, dtype = (batch, c.num_heads, c.window, c.head_size), self.norm.weight.dtype
        state = {
            f"{layer}.{name}": torch.zeros(shape, dtype=dtype, device=device)
            for layer in range(c.num_layers)
            for name in ("k", "v")
        }
        state["position"] = torch.zeros(batch, dtype=torch.int64, device=device)
        return state

    def forward(
        self,
        tokens: Tensor,
        reset_mask: Tensor | None = None,
        state: State | None = None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, State]:
        fresh = state is None  # nothing is cached: nothing of it is attended to
        if state is None:
            state = self.init_state(tokens.shape[0], tokens.device) if want_state else {}
        length = tokens.shape[1]
        segment = segments(reset_mask)
        here = torch.arange(length, device=tokens.device)
        position = state.get("position", torch.zeros_like(here[:1]).expand(len(tokens)))
        begin = -position.unsqueeze(-1)
        if reset_mask is not None:
            begin = torch.cummax(torch.where(reset_mask, here, begin), dim=-1).values
        numbers = here - begin
        visible = self._visible(numbers, None if fresh else position, segment)
        new: State = {}
        x = self._placed(tokens, numbers)
        for layer, block in enumerate(self.blocks):
            old = None if fresh else (state[f"{layer}.k"], state[f"{layer}.v"])
            if reads is not None and layer == len(self.blocks) - 1:
                x, k, v = block(x, old, visible[:, :, reads], reads)
            else:
                x, k, v = block(x, old, visible)
            if want_state:
                new[f"{layer}.k"] = refilled(state[f"{layer}.k"], k, numbers)
                new[f"{layer}.v"] = refilled(state[f"{layer}.v"], v, numbers)
        if want_state:
            new["position"] = numbers[:, -1] + 1
        return self.norm(x), new

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        return self._step(tokens, state, in_place=False)

    def step_(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`step`, but consume ``state``: new keys and values are written into its caches.

        A cached Transformer is run this way; the functional step copies the whole cache to change
        a few rows of it. The caller owns ``state`` alone and uses only the returned one, which
        shares its tensors, from then on. For inference: gradients cannot pass.
        """
        return self._step(tokens, state, in_place=True)

    def _step(self, tokens: Tensor, state: State, in_place: bool) -> tuple[Tensor, State]:
        length = tokens.shape[1]
        if length > self.config.window:
            return self.forward(tokens, None, state)
        position = state["position"]
        numbers = position.unsqueeze(-1) + torch.arange(length, device=tokens.device)
        visible = self._visible(numbers, position, None)
        bias = torch.zeros(visible.shape, dtype=tokens.dtype, device=tokens.device)
        bias = bias.masked_fill(~visible, -math.inf)
        new: State = {}
        x = self._placed(tokens, numbers)
        for layer, block in enumerate(self.blocks):
            q, k, v = block.project(x)  # type: ignore[operator]
            old_k, old_v = state[f"{layer}.k"], state[f"{layer}.v"]
            x = block.finish(x, _attend(q, k, v, old_k, old_v, bias))  # type: ignore[operator]
            new[f"{layer}.k"] = written(old_k, k, numbers, in_place)
            new[f"{layer}.v"] = written(old_v, v, numbers, in_place)
        new["position"] = position + length
        return self.norm(x), new

    def _placed(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        timestep = torch.div(numbers, TOKENS_PER_TIMESTEP, rounding_mode="floor")
        return tokens + self.position(timestep.clamp(max=self.config.max_timesteps - 1))

    def _visible(self, numbers: Tensor, position: Tensor | None, segment: Tensor | None) -> Tensor:
        """Return what each new token sees, (B, 1, S, W + S) bool: cached tokens, then new ones.

        position: None where nothing is cached; then (B, 1, S, S), or (1, 1, S, S) where no
        episode starts either.
        """
        window, length = self.config.window, numbers.shape[1]
        # Within an episode, distances are those of the places: no comparison for each sequence.
        here = torch.arange(length, device=numbers.device)
        distance = here.unsqueeze(-1) - here
        new = ((distance >= 0) & (distance < window)).unsqueeze(0)
        if segment is not None:
            new = new & (segment.unsqueeze(-1) == segment.unsqueeze(-2))
        if position is None:
            return new.unsqueeze(1)
        held = held_tokens(position, window).unsqueeze(-2)
        old = (held >= 0) & (numbers.unsqueeze(-1) - held < window)
        if segment is not None:
            old = old & (segment == 0).unsqueeze(-1)
        return torch.cat([old, new.expand(len(old), -1, -1)], dim=-1).unsqueeze(1)


def _attend(q: Tensor, k: Tensor, v: Tensor, old_k: Tensor, old_v: Tensor, bias: Tensor) -> Tensor:
    """Attend to cached and new tokens without joining them: only the weights are joined.

    q, k, v (B, NH, T, DH), old_k, old_v (B, NH, W, DH), bias (B, 1, T, W + T) → (B, NH, T, DH).
    """
    q = q / math.sqrt(q.shape[-1])
    scores = torch.cat([q @ old_k.transpose(-1, -2), q @ k.transpose(-1, -2)], dim=-1) + bias
    weights = torch.softmax(scores, dim=-1)
    old, new = weights.split([old_k.shape[2], k.shape[2]], dim=-1)
    return old @ old_v + new @ v
