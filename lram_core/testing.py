"""Small real parts for tests: contracts and randomly initialised bundles."""

from __future__ import annotations

from pathlib import Path

import torch

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bundle import save_bundle
from lram_core.contract import PolicyContract


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
