"""What stands around an xLSTM in an action model's tick, in few kernels: tokens, norm, head.

The arithmetic is that of :mod:`lram_core.action_model`, in float32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from lram_core.action_model import INPUT_LIMIT, ActionModel
from lram_core.backbones.layers import ResidualNorm
from lram_core.kernels.few_rows import MAX_ROWS, few_rows, product
from lram_core.kernels.mlstm_block import normed

_TILE = 4096  # weights
_MOST_OUTPUTS = 64


class FusedNorm(nn.Module):
    """Takes the place of a :class:`ResidualNorm` of one group."""

    def __init__(self, norm: ResidualNorm) -> None:
        super().__init__()
        assert norm.groups == 1
        self.weight = norm.weight

    def forward(self, x: Tensor) -> Tensor:
        return normed(x, self.weight, x.dtype)


class FusedHead(nn.Module):
    """Takes the place of a linear map, of any weights, for few rows; float32 in and out."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        weight = self.head.weight
        assert isinstance(weight, Tensor)
        if few_rows(x, weight):
            return product(x, weight, bias=self.head.bias)  # type: ignore[arg-type]
        y: Tensor = self.head(x)
        return y


class FusedTokens:
    """Takes the place of :meth:`ActionModel.tick_tokens` for few robots and no pictures."""

    def __init__(self, model: ActionModel) -> None:
        self._model = model

    @staticmethod
    def takes(model: ActionModel, robots: int) -> bool:
        """Whether it is for such a model and so many robots."""
        size = model.config.observation_size
        return robots <= MAX_ROWS and size <= _TILE and not model.config.pictures

    def __call__(
        self, observation: Tensor, return_to_go: Tensor, last_reward: Tensor | None
    ) -> Tensor:
        model = self._model
        batch, size = observation.shape
        width = model.embed_state.weight.shape[0]
        tokens = 2 if last_reward is None else 3
        if observation.stride(-1) != 1:
            observation = observation.contiguous()
        reward = return_to_go if last_reward is None else last_reward
        y = torch.empty(batch, tokens, width, device=observation.device)
        padded = triton.next_power_of_2(size)
        count = min(_MOST_OUTPUTS, _TILE // padded)
        norms = (model.observation_norm, model.return_norm, model.reward_norm)
        maps = (model.embed_state, model.embed_return, model.embed_reward)
        _embed[(batch, tokens, triton.cdiv(width, count))](
            *(observation, return_to_go, reward, y),
            *(x for norm in norms for x in (norm.mean, norm.std)),
            *(x for linear in maps for x in (linear.weight, linear.bias)),
            *(observation.stride(0), return_to_go.stride(0), reward.stride(0)),
            size=size,
            padded=padded,
            width=width,
            tokens=tokens,
            count=count,
            limit=INPUT_LIMIT,
        )
        embedded: Tensor = model.embed_norm(y)
        return embedded


@triton.jit
def _embed(  # type: ignore[no-untyped-def]
    observation_at,
    return_at,
    reward_at,
    y_at,
    observation_mean_at,
    observation_std_at,
    return_mean_at,
    return_std_at,
    reward_mean_at,
    reward_std_at,
    state_weight_at,
    state_bias_at,
    return_weight_at,
    return_bias_at,
    reward_weight_at,
    reward_bias_at,
    observation_b,
    return_b,
    reward_b,
    size: tl.constexpr,
    padded: tl.constexpr,
    width: tl.constexpr,
    tokens: tl.constexpr,
    count: tl.constexpr,
    limit: tl.constexpr,
):
    """Some channels of a token before its norm; the tokens are [reward,] state, return-to-go."""
    b = tl.program_id(0)
    t = tl.program_id(1)
    channel = tl.program_id(2) * count + tl.arange(0, count)
    known = channel < width
    place = (b * tokens + t) * width + channel
    if t == tokens - 2:
        k = tl.arange(0, padded)
        inside = k < size
        x = tl.load(observation_at + b * observation_b + k, mask=inside, other=0.0)
        mean = tl.load(observation_mean_at + k, mask=inside, other=0.0)
        std = tl.load(observation_std_at + k, mask=inside, other=1.0)
        whole = known[:, None] & inside[None, :]
        at = state_weight_at + channel[:, None] * size + k[None, :]
        weight = tl.load(at, mask=whole, other=0.0)
        bias = tl.load(state_bias_at + channel, mask=known, other=0.0)
        x = tl.minimum(tl.maximum((x - mean) / std, -limit), limit)
        tl.store(y_at + place, tl.sum(weight * x[None, :], axis=1) + bias, mask=known)
    else:
        value_at, shift_at, spread_at = return_at + b * return_b, return_mean_at, return_std_at
        slope_at, offset_at = return_weight_at, return_bias_at
        if t != tokens - 1:
            value_at, shift_at, spread_at = reward_at + b * reward_b, reward_mean_at, reward_std_at
            slope_at, offset_at = reward_weight_at, reward_bias_at
        value = (tl.load(value_at) - tl.load(shift_at)) / tl.load(spread_at)
        value = tl.minimum(tl.maximum(value, -limit), limit)
        slope = tl.load(slope_at + channel, mask=known, other=0.0)
        offset = tl.load(offset_at + channel, mask=known, other=0.0)
        tl.store(y_at + place, slope * value + offset, mask=known)
