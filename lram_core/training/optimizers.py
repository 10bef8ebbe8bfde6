"""Optimisers and their learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from lram_core.errors import CommandError
from lram_core.training.config import TrainConfig

# The backbones' large matrices, by the end of their names.
MATRICES = tuple(
    f"{name}.weight" for name in ("proj_up", "proj_down", "in_proj", "out_proj", "qkv")
)
# Of more than one dimension, yet no matrices: decay rates and embeddings.
NEVER_DECAYED = (
    *(".A_log", ".position.weight"),
    *("embed_state.weight", "embed_return.weight", "embed_reward.weight"),
)


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Return the optimisers of all parameters that are to be trained.

    ``adamw`` is the paper's. ``muon`` takes the backbone's large matrices to Muon (orthogonalised
    momentum, steps scaled to AdamW's size so that one learning rate serves both) and leaves the
    rest to AdamW.

    Only matrices decay: neither biases and norms, nor embeddings, nor Mamba's decay rates.

    Raises:
        CommandError: this version of torch has no Muon.
    """
    if config.optimizer == "muon" and not hasattr(torch.optim, "Muon"):
        raise CommandError(
            f"optimizer 'muon' needs torch 2.9 or later, found {torch.__version__}; use 'adamw'"
        )
    muon: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if config.optimizer == "muon" and name.endswith(MATRICES):
            muon.append(parameter)
        elif parameter.ndim > 1 and not name.endswith(NEVER_DECAYED):
            decayed.append(parameter)
        else:
            free.append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
    ]
    if muon:
        optimizers.append(
            torch.optim.Muon(
                muon,
                lr=config.lr,
                weight_decay=config.weight_decay,
                ns_steps=4,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return optimizers


def learning_rate(config: TrainConfig, step: int, done: float) -> float:
    """Linear warm-up, then cosine decay over the fraction ``done`` of the run."""
    cosine = 0.5 * (1 + math.cos(math.pi * done))
    return min(1.0, (step + 1) / config.warmup) * (
        config.lr_end + (config.lr - config.lr_end) * cosine
    )


def set_learning_rate(optimizers: list[torch.optim.Optimizer], lr: float) -> None:
    """Set the rate of every parameter group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = lr
