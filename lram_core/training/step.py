"""One optimiser step: the passes of a batch's parts, their gradients, the running average."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lram_core.data.stream import WindowStream
from lram_core.joint_model import JointModel
from lram_core.training.batch import gather, mixed_precision, rows_of, spread_loss
from lram_core.training.checkpoint import Trainee
from lram_core.training.config import TrainConfig
from lram_core.training.domains import Domain
from lram_core.training.parallel import Processes, gradients_of

Part = dict[str, dict[str, Tensor]]
"""Embodiment name → what :func:`lram_core.training.batch.gather` returns."""


def next_parts(
    streams: Sequence[WindowStream],
    domains: Sequence[Domain],
    config: TrainConfig,
    processes: Processes,
    device: torch.device,
) -> list[Part]:
    """Draw the next batch and fetch the parts of it that this process computes."""
    windows = [next(stream) for stream in streams]
    first = processes.rank * config.accumulate
    return [
        {
            domain.name: gather(domain.arrays, rows_of(each, part, domain.streams), device)
            for domain, each in zip(domains, windows, strict=True)
        }
        for part in range(first, first + config.accumulate)
    ]


def take_step(
    network: nn.Module,
    trainee: Trainee,
    parts: Sequence[Part],
    domains: Sequence[Domain],
    config: TrainConfig,
    device: torch.device,
) -> Tensor:
    """Make one optimiser step.

    The gradient is the mean over all parts, of all processes: that of one batch with the rows of
    all.

    Returns:
        The mean loss of this process's parts, a scalar.
    """
    trainee.model.zero_grad(set_to_none=True)
    losses = []
    for number, part in enumerate(parts):
        with gradients_of(network, trainee.model, number == len(parts) - 1):
            before = trainee.states[number] if config.carry_state else None
            with mixed_precision(device, config):
                logits, state = network(part, before, config.carry_state)
            loss = torch.stack(
                [
                    d.share * spread_loss(logits[d.name], part[d.name]["bins"], config.spread)
                    for d in domains
                ]
            ).sum()
            (loss / len(parts)).backward()
        if config.carry_state:
            # In one layout from the first step on: a compiled network is compiled anew for another.
            trainee.states[number] = {n: v.detach().contiguous() for n, v in state.items()}
        losses.append(loss.detach())
    nn.utils.clip_grad_norm_(trainee.model.parameters(), config.clip)
    for optimizer in trainee.optimizers:
        optimizer.step()
    update_average(
        trainee.average, trainee.model, min(config.ema, (1 + trainee.step) / (10 + trainee.step))
    )
    return losses[0] if len(losses) == 1 else torch.stack(losses).mean()


@torch.no_grad()
def update_average(average: JointModel, model: JointModel, decay: float) -> None:
    """Move the running average of the weights towards the current ones."""
    slow: list[Tensor] = list(average.parameters())
    fast: list[Tensor] = list(model.parameters())
    assert len(slow) == len(fast)
    get_ema_multi_avg_fn(decay)(slow, fast, 0)
