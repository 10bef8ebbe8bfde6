"""One model for several embodiments: a shared backbone, and what is each embodiment's own.

Shared are the backbone, the LayerNorm of the tokens and the embeddings of return and reward. Each
embodiment has an embedding of its observations, an action head, and its input statistics; or it
has those of another one, whose twin it then is: several arms of one layout. So the model of one
embodiment is a plain :class:`ActionModel`, whose runtimes, exports and policies know nothing of the
others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lram_core.action_model import (
    ACTION_TOKENS,
    SHARED,
    ActionModel,
    ModelConfig,
    reset_mask,
)
from lram_core.backbones import State
from lram_core.errors import BundleError, listed

OWN = ("observation_size", "action_size", "pictures")
"""What the shapes of embodiments differ in; pictures are named only where there are any."""
TWIN = "twin_of"
"""Key of an embodiment's shape: another one, before it, whose model is its own."""


class JointModel(nn.Module):
    """Action models of several embodiments that share their backbone.

    Args:
        members: embodiment name → its model; all share the modules named in
            :data:`lram_core.action_model.SHARED`, and twins are one model.
    """

    def __init__(self, members: Mapping[str, ActionModel]) -> None:
        super().__init__()
        self.names = tuple(members)
        self.members = nn.ModuleList(members.values())

    @classmethod
    def create(
        cls, configs: Mapping[str, ModelConfig], twins: Mapping[str, str] | None = None
    ) -> JointModel:
        """Initialise at random.

        Args:
            configs: embodiment name → shape; they differ in their :data:`OWN` alone.
            twins: embodiment name → an earlier one of the same shape, whose model it has too.
        """
        members: dict[str, ActionModel] = {}
        for name, config in configs.items():
            if twins and name in twins:
                members[name] = members[twins[name]]
                assert members[name].config == config, (name, twins[name])
            else:
                members[name] = ActionModel(config, shared=next(iter(members.values()), None))
        return cls(members)

    def select(self, name: str) -> ActionModel:
        """Return the model of one embodiment; its weights are those of this model."""
        model = self.members[self.names.index(name)]
        assert isinstance(model, ActionModel)
        return model

    def owner(self, name: str) -> str:
        """Return the first embodiment with the same model: its own name, unless it is a twin."""
        model = self.select(name)
        return next(other for other in self.names if self.select(other) is model)

    @property
    def first(self) -> ActionModel:
        """Any member, for what is shared."""
        return self.select(self.names[0])

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the recurrent state at an episode's start."""
        return self.first.init_state(batch, device)

    def forward(
        self,
        batch: Mapping[str, Mapping[str, Tensor]],
        state: State | None = None,
        want_state: bool = True,
    ) -> tuple[dict[str, Tensor], State]:
        """Predict the actions of T ticks at once, some sequences of each embodiment.

        Args:
            batch: embodiment name → ``observations`` (B, T, observation_size), ``returns_to_go``,
                ``rewards`` and ``start`` (B, T), see :meth:`ActionModel.forward`. B may differ, T
                may not.
            state: recurrent state of all sequences in the order of ``batch``; None at an
                episode's start.
            want_state: see :meth:`lram_core.backbones.base.Backbone.forward`.

        Returns:
            Embodiment name → action logits (B, T, action_size, bins), and the state after the last
            reward token.
        """
        parts = [
            self.select(name).tokens(x["observations"], x["returns_to_go"], x["rewards"])
            for name, x in batch.items()
        ]
        starts = [x["start"] for x in batch.values()]
        tokens = torch.cat(parts) if len(parts) > 1 else parts[0]
        start = torch.cat(starts) if len(starts) > 1 else starts[0]
        hidden, state = self.first.backbone(
            tokens, reset_mask(start), state, want_state, ACTION_TOKENS
        )
        read = hidden.split([len(part) for part in parts])
        logits = {name: self.select(name).logits(h) for name, h in zip(batch, read, strict=True)}
        return logits, state

    def weights(self) -> dict[str, Tensor]:
        """Return weights and input statistics by name, what is shared once.

        What is one embodiment's own is called ``<embodiment>/<name>``, what twins have by the name
        of the first; with one embodiment alone, the names are those of its :class:`ActionModel`.
        """
        found: dict[str, Tensor] = {}
        for name in self.names:
            for key, value in self.select(name).state_dict().items():
                found[self._key(name, key)] = value
        return found

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take what :meth:`weights` has returned. Raises KeyError or RuntimeError: it differs."""
        for name in self.names:
            model = self.select(name)
            keys = list(model.state_dict())
            model.load_state_dict({key: weights[self._key(name, key)] for key in keys})

    def to_dict(self) -> dict[str, Any]:
        """Return the shape as plain data; that of one embodiment is its :class:`ModelConfig`."""
        shape = self.first.config.to_dict()
        if len(self.names) == 1:
            return shape
        shapes = {name: self.select(name).config.to_dict() for name in self.names}
        sizes = {
            name: {key: value for key, value in each.items() if key in OWN}
            | ({} if self.owner(name) == name else {TWIN: self.owner(name)})
            for name, each in shapes.items()
        }
        rest = {key: value for key, value in shape.items() if key not in OWN}
        return {"embodiments": sizes, **rest}

    def _key(self, name: str, key: str) -> str:
        shared = len(self.names) == 1 or key.partition(".")[0] in SHARED
        return key if shared else f"{self.owner(name)}/{key}"


def model_from_dict(data: Any, names: list[str], where: str) -> JointModel:
    """Return a model of the shape that a bundle tells, with random weights.

    Args:
        data: of :meth:`JointModel.to_dict`.
        names: the embodiments that are expected.
        where: file, for messages.

    Raises:
        BundleError: a key is missing, unknown or of the wrong type, the names differ, or a twin is
            of another shape than the embodiment before it that it names.
    """
    twins: dict[str, str] = {}
    if not isinstance(data, Mapping) or "embodiments" not in data:
        found: list[str] = names[:1]
        configs = {name: ModelConfig.from_dict(data, where) for name in found}
    else:
        rest = {key: value for key, value in data.items() if key != "embodiments"}
        try:
            configs = {}
            for name, sizes in data["embodiments"].items():
                own = dict(sizes)
                if TWIN in own:
                    twins[name] = own.pop(TWIN)
                configs[name] = ModelConfig.from_dict({**own, **rest}, f"{where}: {name}")
                if name in twins:
                    _check_twin(name, twins[name], configs, where)
        except (TypeError, AttributeError) as error:
            raise BundleError(f"{where}: embodiments: {error}") from None
    if list(configs) != names:
        raise BundleError(
            f"{where}: the network is of {listed(configs)}, the contracts are of {listed(names)}"
        )
    return JointModel.create(configs, twins)


def _check_twin(name: str, other: Any, configs: Mapping[str, ModelConfig], where: str) -> None:
    known = [each for each in configs if each != name]
    if other not in known:
        raise BundleError(
            f"{where}: {name}: {TWIN}: {other!r} is no embodiment before it; these are "
            f"{listed(known)}"
        )
    if configs[other] != configs[name]:
        raise BundleError(f"{where}: {name}: {TWIN}: {other} has another shape")
