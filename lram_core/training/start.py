"""What a training starts from: random weights, or those of an earlier bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lram_core.action_model import SHARED, ActionModel
from lram_core.bundle import CONFIG, load_joint_bundle
from lram_core.contract import PolicyContract
from lram_core.data.arrays import TrainingArrays
from lram_core.data.schema import DatasetSchema, schema_differences
from lram_core.errors import CommandError, listed
from lram_core.joint_model import OWN, JointModel
from lram_core.training.domains import Domain


@dataclass(frozen=True)
class Origin:
    """Where the weights are from.

    Attributes:
        bundle: the earlier one.
        training: how it was trained.
        kept, new, dropped: embodiments that go on with their own weights and statistics, that
            begin with random ones on the shared backbone, and that are in the earlier bundle only.
            A twin of one that goes on does so too.
    """

    bundle: Path
    training: dict[str, Any]
    kept: list[str]
    new: list[str]
    dropped: list[str]

    def describe(self) -> str:
        """Return one line for people."""
        parts = [("goes on with", self.kept), ("new", self.new), ("left out", self.dropped)]
        told = "; ".join(f"{what}: {listed(names)}" for what, names in parts if names)
        return f"from {self.bundle}: {told}"


def start_from(model: JointModel, domains: list[Domain], bundle: Path) -> Origin:
    """Take the shared weights of a bundle, and for each embodiment in it, its own and its
    statistics; those that it does not have get the statistics of their data.

    Raises:
        CommandError: the bundle has another backbone, or the layout of an embodiment differs.
    """
    other, contracts = load_joint_bundle(bundle)
    theirs, ours = (_shared_shape(each.first) for each in (other, model))
    differing = [
        f"{key} is {theirs.get(key, 'the default')} there, {ours.get(key, 'the default')} here"
        for key in dict.fromkeys([*theirs, *ours])
        if theirs.get(key) != ours.get(key)
    ]
    if differing:
        raise CommandError(
            f"{bundle} cannot be continued with another shape: {listed(differing)}; backbone and "
            f"size are the bundle's where neither is given, bins is to be {theirs['bins']}"
        )
    set_input_norms(model, domains)
    owners = {domain.name: model.owner(domain.name) for domain in domains}
    going_on: set[str] = set()
    for domain in reversed(domains):  # of twins, the first one's weights are taken
        if domain.name in contracts:
            _check_layout(domain, contracts[domain.name], bundle)
            member = model.select(domain.name)
            member.load_state_dict(other.select(domain.name).state_dict())
            going_on.add(owners[domain.name])
    for name in SHARED:
        getattr(model.first, name).load_state_dict(getattr(other.first, name).state_dict())
    names = [domain.name for domain in domains]
    return Origin(
        bundle=bundle,
        training=dict(json.loads((bundle / CONFIG).read_text())["training"]),
        kept=[name for name in names if owners[name] in going_on],
        new=[name for name in names if owners[name] not in going_on],
        dropped=[name for name in contracts if name not in names],
    )


def set_input_norms(model: JointModel, domains: list[Domain]) -> None:
    """Take the input statistics of the training data into the model, of twins those of all."""
    data: dict[str, list[TrainingArrays]] = {}
    for domain in domains:
        data.setdefault(model.owner(domain.name), []).append(domain.arrays)
    for name, arrays in data.items():
        member = model.select(name)
        columns = member.others if member.config.pictures else None
        member.observation_norm.set(*(each.observations for each in arrays), columns=columns)
        member.return_norm.set(*(each.returns_to_go.unsqueeze(-1) for each in arrays))
        member.reward_norm.set(*(each.rewards.unsqueeze(-1) for each in arrays))


def freeze_shared(model: JointModel) -> None:
    """Exempt what embodiments share from training."""
    for name in SHARED:
        getattr(model.first, name).requires_grad_(False)


def _shared_shape(model: ActionModel) -> dict[str, Any]:
    """What embodiments have in common, by the names of the settings."""
    shape = {key: value for key, value in model.config.to_dict().items() if key not in OWN}
    options = shape.pop("backbone_options")
    return shape | {f"backbone_options.{key}": value for key, value in options.items()}


def _check_layout(domain: Domain, contract: PolicyContract, bundle: Path) -> None:
    """Raises CommandError unless the data are of the embodiment that the bundle knows."""
    ours = replace(
        domain.schema,
        reward=contract.reward,
        max_episode_steps=contract.max_episode_steps,
        controller=contract.controller,
    )
    differing = schema_differences(ours, DatasetSchema.of_contract(contract))
    if domain.schema.reward.scale != contract.reward.scale:
        differing.append(
            f"reward scale {domain.schema.reward.scale:g} instead of {contract.reward.scale:g}"
        )
    if differing:
        raise CommandError(
            f"{bundle} cannot be continued: of {domain.name}, the data {listed(domain.paths)} "
            f"have {listed(differing)}; another embodiment needs another suite's name"
        )
