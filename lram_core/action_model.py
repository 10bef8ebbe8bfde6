"""The action model: token embedding → backbone → joint action head (paper, section 3, figure 1).

A control tick is three tokens, in the order state, return-to-go, reward; the action is read off
the return-to-go token, and the reward that follows is the true reward of that action, in training
and in control alike.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lram_core.backbones import BACKBONES, Backbone, State, make_config
from lram_core.backbones.products import Linear
from lram_core.data.mapped import MappedRows
from lram_core.errors import BundleError
from lram_core.image_encoder import SMALLEST, ImageEncoder, PictureColumns

TOKENS_PER_TICK = 3
STATE, RETURN_TO_GO, REWARD = range(TOKENS_PER_TICK)
ACTION_TOKENS = slice(RETURN_TO_GO, None, TOKENS_PER_TICK)
"""Those of a window that an action is read off."""
INPUT_LIMIT = 10.0
SHARED = ("embed_return", "embed_reward", "embed_norm", "backbone")
"""Parts that do not depend on the layout of observations and actions."""


@dataclass(frozen=True)
class ModelConfig:
    """Shape of an action model.

    Attributes:
        observation_size: values of the observation vector.
        action_size: action dimensions, predicted jointly from one token.
        bins: bins an action dimension.
        backbone: name in :data:`lram_core.backbones.BACKBONES`.
        backbone_options: fields of that backbone's configuration.
        pictures: which values of the observation are pictures, see
            :func:`lram_core.contract.pictures`.
    """

    observation_size: int
    action_size: int
    bins: int = 256
    backbone: str = "xlstm"
    backbone_options: dict[str, Any] = field(default_factory=dict)
    pictures: tuple[tuple[int, ...], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; a model without pictures says nothing of them."""
        data = asdict(self)
        del data["pictures"]
        shown = {"pictures": [list(picture) for picture in self.pictures]}
        return data | (shown if self.pictures else {})

    @classmethod
    def from_dict(cls, data: Any, where: str = "model config") -> ModelConfig:
        """Raises BundleError naming the key that is missing, unknown or of the wrong type."""
        try:
            data = dict(data)
            seen = tuple(tuple(picture) for picture in data.pop("pictures", ()))
            config = cls(**data, pictures=seen)
            make_config(config.backbone, config.backbone_options)
        except (TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{where}: {error}") from None
        for name, least in (("observation_size", 1), ("action_size", 1), ("bins", 2)):
            value = getattr(config, name)
            if not isinstance(value, int) or value < least:
                raise BundleError(
                    f"{where}: {name}: expected an integer of at least {least}, found {value!r}"
                )
        _check_pictures(config, where)
        return config


def _check_pictures(config: ModelConfig, where: str) -> None:
    end = 0
    for picture in config.pictures:
        if len(picture) != 4 or any(type(x) is not int or x < 0 for x in picture):
            raise BundleError(
                f"{where}: pictures: expected [first, height, width, channels], found {picture}"
            )
        first, height, width, channels = picture
        if min(height, width) < SMALLEST or channels < 1:
            raise BundleError(
                f"{where}: pictures: {height} × {width} with {channels} channels found; expected "
                f"{SMALLEST} × {SMALLEST} or more"
            )
        if first < end or first + height * width * channels > config.observation_size:
            raise BundleError(f"{where}: pictures: {picture} lies outside of the observation")
        end = first + height * width * channels


class InputNorm(nn.Module):
    """Standardises an input with statistics of the training data, stored with the weights.

    Values beyond ``INPUT_LIMIT`` standard deviations are cut there: a reading never seen in
    training must not be able to drive the recurrent state anywhere.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))

    def set(self, *values: Tensor | MappedRows, columns: Tensor | None = None) -> None:
        """Take the statistics of all ``values`` (N, size), or of some ``columns`` of more.

        Constant inputs keep a std of 1.
        """
        rows = torch.tensor([len(each) for each in values], dtype=torch.float64).unsqueeze(-1)
        parts = [_std_mean(each, columns) for each in values]
        stds, means = (torch.stack(each) for each in zip(*parts, strict=True))
        share = (rows / rows.sum()).to(means.device)
        mean = (share * means).sum(0)
        std = (share * (stds**2 + (means - mean) ** 2)).sum(0).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` (…, size) in standard deviations from the mean."""
        return ((x - self.mean) / self.std).clamp(-INPUT_LIMIT, INPUT_LIMIT)


def _std_mean(values: Tensor | MappedRows, columns: Tensor | None) -> tuple[Tensor, Tensor]:
    if isinstance(values, MappedRows):
        return values.std_mean(columns)
    chosen = values if columns is None else values[:, columns.to(values.device)]
    return torch.std_mean(chosen.double(), dim=0, correction=0)


def reset_mask(episode_start: Tensor) -> Tensor:
    """Return (B, 3 T) bool, True on the state token of each tick (B, T) that starts an episode."""
    batch, ticks = episode_start.shape
    mask = torch.zeros(
        (batch, TOKENS_PER_TICK * ticks), dtype=torch.bool, device=episode_start.device
    )
    mask[:, STATE::TOKENS_PER_TICK] = episode_start
    return mask


class ActionModel(nn.Module):
    """The policy network. Returns and rewards are given in scaled units (``RewardSpec.scale``).

    Args:
        config: its shape.
        shared: model whose :data:`SHARED` parts to use in place of new ones, see
            :class:`lram_core.joint_model.JointModel`.
    """

    embed_return: nn.Linear
    embed_reward: nn.Linear
    embed_norm: nn.LayerNorm
    backbone: Backbone
    others: Tensor

    def __init__(self, config: ModelConfig, shared: ActionModel | None = None) -> None:
        super().__init__()
        self.config = config
        backbone_class, _ = BACKBONES[config.backbone]
        shape = make_config(config.backbone, config.backbone_options)
        vector_size = config.observation_size
        if config.pictures:
            self.columns = PictureColumns(config.pictures, config.observation_size)
            vector_size = len(self.columns.others)
            self.embed_pictures = nn.ModuleList(
                ImageEncoder(picture[1:], shape.d_model) for picture in config.pictures
            )
            self.register_buffer("others", self.columns.others, persistent=False)
        self.observation_norm = InputNorm(vector_size)
        self.return_norm = InputNorm(1)
        self.reward_norm = InputNorm(1)
        self.embed_state = nn.Linear(vector_size, shape.d_model)
        self.embed_return = shared.embed_return if shared else nn.Linear(1, shape.d_model)
        self.embed_reward = shared.embed_reward if shared else nn.Linear(1, shape.d_model)
        self.embed_norm = shared.embed_norm if shared else nn.LayerNorm(shape.d_model)
        self.backbone = shared.backbone if shared else backbone_class(shape)
        self.head = Linear(shape.d_model, config.action_size * config.bins)

    def state_token(self, observation: Tensor) -> Tensor:
        """observation (..., observation_size) → (..., d_model).

        What pictures come to is added to the embedding of the other values.
        """
        if not self.config.pictures:
            return self.embed_norm(self.embed_state(self.observation_norm(observation)))
        others = observation.index_select(-1, self.others)
        embedded = self.embed_state(self.observation_norm(others))
        for encoder, (begin, end) in zip(self.embed_pictures, self.columns.spans, strict=True):
            embedded = embedded + encoder(observation[..., begin:end])
        return self.embed_norm(embedded)

    def return_token(self, return_to_go: Tensor) -> Tensor:
        """return_to_go (...), scaled → (..., d_model)."""
        return self.embed_norm(self.embed_return(self.return_norm(return_to_go.unsqueeze(-1))))

    def reward_token(self, reward: Tensor) -> Tensor:
        """reward (...), scaled → (..., d_model)."""
        return self.embed_norm(self.embed_reward(self.reward_norm(reward.unsqueeze(-1))))

    def tokens(self, observation: Tensor, return_to_go: Tensor, reward: Tensor) -> Tensor:
        """Embed T ticks: (B, T, observation_size), (B, T), (B, T) → (B, 3 T, d_model)."""
        streams = (
            self.state_token(observation),
            self.return_token(return_to_go),
            self.reward_token(reward),
        )
        return torch.stack(streams, dim=2).flatten(1, 2)

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden (..., d_model) of return-to-go tokens → (..., action_size, bins)."""
        return self.head(hidden).unflatten(-1, (self.config.action_size, self.config.bins))

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the recurrent state at an episode's start."""
        return self.backbone.init_state(batch, device)

    def forward(
        self,
        observation: Tensor,
        return_to_go: Tensor,
        reward: Tensor,
        episode_start: Tensor | None = None,
        state: State | None = None,
        want_state: bool = True,
    ) -> tuple[Tensor, State]:
        """Predict the actions of T ticks at once.

        Args:
            observation: (B, T, observation_size).
            return_to_go: (B, T) before each tick's action, scaled.
            reward: (B, T) of each tick's action, scaled.
            episode_start: (B, T) bool, True on the first tick of an episode.
            state: recurrent state before the first tick; None at an episode's start.
            want_state: see :meth:`lram_core.backbones.base.Backbone.forward`.

        Returns:
            Action logits (B, T, action_size, bins), and the state after the last reward token.
        """
        tokens = self.tokens(observation, return_to_go, reward)
        starts = None if episode_start is None else reset_mask(episode_start)
        hidden, state = self.backbone.forward(tokens, starts, state, want_state, ACTION_TOKENS)
        return self.logits(hidden), state

    def tick_tokens(
        self, observation: Tensor, return_to_go: Tensor, last_reward: Tensor | None
    ) -> Tensor:
        """Embed what is new at a control tick.

        Args:
            observation: (B, observation_size).
            return_to_go: (B,) scaled.
            last_reward: (B,) scaled reward of the previous tick's action; None at an episode's
                start, where there was none.

        Returns:
            (B, 3, d_model): the last action's reward, state, return-to-go; (B, 2, d_model)
            without a last reward. The reward of this tick's action opens the next one.
        """
        new = [self.state_token(observation), self.return_token(return_to_go)]
        if last_reward is not None:
            new.insert(0, self.reward_token(last_reward))
        return torch.stack(new, dim=1)

    def advance(self, tokens: Tensor, state: State, in_place: bool = False) -> tuple[Tensor, State]:
        """Advance one control tick in one pass over the weights.

        Args:
            tokens: of :meth:`tick_tokens`.
            state: recurrent state after the previous tick's return-to-go token.
            in_place: the caller gives ``state`` away, see
                :meth:`lram_core.backbones.base.Backbone.step_`.

        Returns:
            Action logits (B, action_size, bins) and the state after this tick's return-to-go
            token.
        """
        step = self.backbone.step_ if in_place else self.backbone.step
        hidden, state = step(tokens, state)
        return self.logits(hidden[:, -1]), state

    def tick(
        self,
        observation: Tensor,
        return_to_go: Tensor,
        last_reward: Tensor | None,
        first: Tensor,
        state: State,
    ) -> tuple[Tensor, State]:
        """Advance B robots by one control tick each, in one pass over the weights.

        The shapes do not depend on who starts an episode, so that one program serves all ticks of
        a batch.

        Args:
            observation: (B, observation_size).
            return_to_go: (B,) scaled.
            last_reward: (B,) scaled reward of the last action; None when all of them were advanced
                early. Finite at an episode's first tick too, where it has no effect.
            first: (B,) bool: an episode starts here, nothing before its state token counts,
                ``state`` included.
            state: after the previous tick's tokens.

        Returns:
            Action logits (B, action_size, bins) and the state after the return-to-go tokens.
        """
        tokens = self.tick_tokens(observation, return_to_go, last_reward)
        never = torch.zeros_like(first)
        starts = torch.stack([never] * (tokens.shape[1] - 2) + [first, never], dim=1)
        hidden, state = self.backbone.forward(tokens, starts, state)
        return self.logits(hidden[:, -1]), state

    def advance_reward(self, last_reward: Tensor, state: State, in_place: bool = False) -> State:
        """Advance B robots by the reward token of their last action: (B,) scaled → new state.

        ``in_place`` as in :meth:`advance`.
        """
        step = self.backbone.step_ if in_place else self.backbone.step
        return step(self.reward_token(last_reward).unsqueeze(1), state)[1]
