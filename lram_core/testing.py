"""Small real parts for tests: a contract, a dataset, randomly initialised bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bundle import save_bundle, save_joint_bundle
from lram_core.contract import (
    ActionField,
    ObservationField,
    PolicyContract,
    RewardSpec,
    pictures,
)
from lram_core.data.parts import merge_parts, write_part
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.store import Dataset
from lram_core.embodiments import by_name
from lram_core.joint_model import JointModel

SCHEMA = DatasetSchema(
    suite="testing",
    robot="two_joint_arm",
    gripper="none",
    control_rate=50.0,
    observation=(
        ObservationField("joint_position", 2, "rad"),
        ObservationField("joint_position", 2, "rad", delay=1),
        ObservationField("goal", 1, "rad"),
    ),
    action=(
        ActionField("shoulder", "rad", "joint_delta", -1.0, 1.0),
        ActionField("elbow", "rad", "joint_delta", -0.5, 0.5),
    ),
    reward=RewardSpec("distance reward", scale=10.0, ceiling=1.0, horizon=40),
    max_episode_steps=60,
)


OTHER_SCHEMA = DatasetSchema(
    suite="testing-gripper",
    robot="one_joint_lift",
    gripper="two_finger",
    control_rate=20.0,
    observation=(
        ObservationField("height", 1, "m"),
        ObservationField("finger_position", 2, "m"),
        ObservationField("object_position", 3, "m"),
        ObservationField("goal_position", 3, "m"),
    ),
    action=(
        ActionField("lift", "m/s", "joint_velocity", -0.2, 0.2),
        ActionField("slide", "m/s", "joint_velocity", -0.4, 0.4),
        ActionField("gripper", "1", "gripper", -1.0, 1.0),
    ),
    reward=RewardSpec("1 at success", scale=1.0),
    max_episode_steps=80,
)
"""Another embodiment: other fields, sizes, units, rate and reward."""


def roughened(model: nn.Module, seed: int = 0) -> nn.Module:
    """Move every parameter away from its initial value, gates and skips included."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def small_contract() -> PolicyContract:
    """Return a contract with five observations and two actions."""
    return SCHEMA.contract({"default": 20.0, "reach": 30.0}, context=16)


def small_model(d_model: int = 32, seed: int = 0, chunk_size: int = 75) -> ActionModel:
    """Return a randomly initialised model for :func:`small_contract`."""
    torch.manual_seed(seed)
    options = {"d_model": d_model, "num_layers": 2, "num_heads": 2, "chunk_size": chunk_size}
    return ActionModel(ModelConfig(5, 2, backbone_options=options)).eval()


def small_dataset(
    path: Path, episodes: int = 24, seed: int = 0, schema: DatasetSchema = SCHEMA
) -> Dataset:
    """Write and open a dataset whose action is a fixed function of the observation."""
    rng = np.random.default_rng(seed)
    high = np.array([field.high for field in schema.action])
    # The first action follows the first value, the last one the last.
    columns = np.linspace(0, schema.observation_size - 1, schema.action_size).round().astype(int)
    collected = []
    for number in range(episodes):
        length = int(rng.integers(3, 40))
        observations = rng.uniform(-1, 1, (length, schema.observation_size)).astype(np.float32)
        collected.append(
            Episode(
                observations=observations,
                actions=(0.9 * high * observations[:, columns]).astype(np.float32),
                rewards=rng.uniform(0, 1, length).astype(np.float32),
                task=("reach", "push")[number % 2],
                seed=number,
                success=True,
                noise=0.0,
            )
        )
    part = path.parent / f"{path.name}.part.npz"
    write_part(part, collected)
    merge_parts([part], path, schema, {"command": "small_dataset"})
    part.unlink()
    return Dataset.open(path)


def random_bundle(path: Path, contract: PolicyContract, d_model: int = 32, seed: int = 0) -> Path:
    """Write a bundle with random weights that fits ``contract``; its actions are arbitrary."""
    torch.manual_seed(seed)
    config = ModelConfig(
        observation_size=contract.observation_size,
        action_size=contract.action_size,
        backbone_options={"d_model": d_model, "num_layers": 2, "num_heads": 2},
        pictures=pictures(contract.observation),
    )
    model = ActionModel(config)
    _widen(model)
    save_bundle(path, model, contract, "# Random bundle for tests\n")
    return path


def random_joint_bundle(
    path: Path,
    contracts: Sequence[PolicyContract],
    backbone: str = "xlstm",
    options: dict[str, Any] | None = None,
) -> Path:
    """Write a bundle with random weights and statistics, one embodiment a contract."""
    torch.manual_seed(0)
    shape = options or {"d_model": 32, "num_layers": 2, "num_heads": 2}
    configs = {
        c.suite: ModelConfig(c.observation_size, c.action_size, 64, backbone, shape)
        for c in contracts
    }
    model = JointModel.create(configs)
    for name in model.names:
        member = model.select(name)
        _widen(member)
        member.observation_norm.set(torch.randn(50, len(member.observation_norm.mean)))
        member.return_norm.set(torch.rand(50, 1))
    save_joint_bundle(path, model, by_name(contracts, str(path)), "# Random bundle for tests\n")
    return path


def _widen(model: ActionModel) -> None:
    """Make logits wide, so that the chosen bin does not hang on the last bit of a sum."""
    with torch.no_grad():
        model.head.weight.mul_(20)
