"""A Decision Transformer with a KV cache: what a user would run in place of a recurrent model.

GPT-2 style blocks as in Chen et al. 2021 (learned global positions, pre-norm, GELU), stepped with
preallocated key and value caches for a fixed context. Attention is PyTorch's fused
``scaled_dot_product_attention``; the cache is written in place.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Paper table 6: half the layers of the xLSTM of the same name, at the same width. A Transformer
# block has 12 d^2 weights, an mLSTM block 6 d^2, so the parameters are the same.
SIZES = {
    "d128": {"d_model": 128, "num_layers": 2, "num_heads": 4},
    "d256": {"d_model": 256, "num_layers": 3, "num_heads": 4},
    "16M": {"d_model": 512, "num_layers": 4, "num_heads": 8},
    "48M": {"d_model": 768, "num_layers": 6, "num_heads": 12},
    "110M": {"d_model": 1024, "num_layers": 8, "num_heads": 16},
    "206M": {"d_model": 1280, "num_layers": 10, "num_heads": 20},
}


class Block(nn.Module):
    def __init__(self, d_model: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.mlp_norm = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, 4 * d_model)
        self.down = nn.Linear(4 * d_model, d_model)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, filled: int) -> Tensor:
        """x (B, T, D); caches (B, NH, capacity, DH), written at ``filled``."""
        length = x.shape[1]
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        keys[:, :, filled : filled + length] = k
        values[:, :, filled : filled + length] = v
        end = filled + length
        # New token t sees the whole cache and the new tokens up to itself.
        mask = torch.ones(length, end, dtype=torch.bool, device=x.device).tril(end - length)
        y = F.scaled_dot_product_attention(q, keys[:, :, :end], values[:, :, :end], attn_mask=mask)
        x = x + self.out(y.transpose(1, 2).flatten(-2))
        return x + self.down(F.gelu(self.up(self.mlp_norm(x))))


class DecisionTransformer(nn.Module):
    """Backbone of a Decision Transformer, stepped a control tick at a time."""

    def __init__(self, d_model: int, num_layers: int, num_heads: int, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.position = nn.Embedding(capacity, d_model)
        self.blocks = nn.ModuleList(Block(d_model, num_heads) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        shape = (1, num_heads, capacity, d_model // num_heads)
        self.cache = [(torch.zeros(shape), torch.zeros(shape)) for _ in range(num_layers)]

    def step(self, tokens: Tensor, filled: int) -> Tensor:
        """Append tokens (1, T, D) behind ``filled`` cached ones; returns their hidden states."""
        x = tokens + self.position.weight[filled : filled + tokens.shape[1]]
        for block, (keys, values) in zip(self.blocks, self.cache, strict=True):
            x = block(x, keys, values, filled)
        return self.norm(x)

    @torch.no_grad()
    def forward(self, tokens: Tensor) -> Tensor:
        """The whole sequence at once, for checking ``step``: (1, S, D) → (1, S, D)."""
        return self.step(tokens, 0)
