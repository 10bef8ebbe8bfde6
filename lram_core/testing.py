"""Small real parts for tests: a contract, a dataset, randomly initialised bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bundle import save_bundle
from lram_core.contract import ActionField, ObservationField, PolicyContract, RewardSpec
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.store import Dataset, merge_parts, write_part

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


def small_dataset(path: Path, episodes: int = 24, seed: int = 0) -> Dataset:
    """Write and open a dataset whose action is a fixed function of the observation."""
    rng = np.random.default_rng(seed)
    collected = []
    for number in range(episodes):
        length = int(rng.integers(3, 40))
        observations = rng.uniform(-1, 1, (length, 5)).astype(np.float32)
        collected.append(
            Episode(
                observations=observations,
                actions=np.stack([0.9 * observations[:, 0], 0.4 * observations[:, 4]], -1).astype(
                    np.float32
                ),
                rewards=rng.uniform(0, 1, length).astype(np.float32),
                task=("reach", "push")[number % 2],
                seed=number,
                success=True,
                noise=0.0,
            )
        )
    part = path.parent / f"{path.name}.part.npz"
    write_part(part, collected)
    merge_parts([part], path, SCHEMA, {"command": "small_dataset"})
    part.unlink()
    return Dataset.open(path)


def random_bundle(path: Path, contract: PolicyContract, d_model: int = 32, seed: int = 0) -> Path:
    """Write a bundle with random weights that fits ``contract``; its actions are arbitrary."""
    torch.manual_seed(seed)
    config = ModelConfig(
        observation_size=contract.observation_size,
        action_size=contract.action_size,
        backbone_options={"d_model": d_model, "num_layers": 2, "num_heads": 2},
    )
    model = ActionModel(config)
    # Wide logits, so that the chosen bin does not hang on the last bit of a sum.
    with torch.no_grad():
        model.head.weight.mul_(20)
    save_bundle(path, model, contract, "# Random bundle for tests\n")
    return path
