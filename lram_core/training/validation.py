"""How well a model does on held-out episodes, embodiment by embodiment and overall."""

from __future__ import annotations

import itertools
import math

import torch

from lram_core.backbones import State
from lram_core.data.stream import window_stream
from lram_core.joint_model import JointModel
from lram_core.training.batch import action_loss, autocast, gather
from lram_core.training.config import TrainConfig
from lram_core.training.domains import Domain

METRICS = ("loss", "perplexity", "accuracy", "mae")
OVERALL = ("loss", "perplexity", "accuracy")
"""The mean absolute error has each embodiment's own units."""


def metric_names(domains: list[Domain]) -> tuple[str, ...]:
    """Return the names of what :func:`validate_all` measures, in order."""
    if len(domains) == 1:
        return METRICS
    return (*OVERALL, *(f"{domain.name}/{name}" for domain in domains for name in METRICS))


def brief(metrics: dict[str, float]) -> dict[str, float]:
    """Return what fits on a line: of the single embodiments, the losses."""
    return {k: v for k, v in metrics.items() if "/" not in k or k.endswith("/loss")}


def validate_all(
    model: JointModel, domains: list[Domain], config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """Measure every embodiment on its held-out episodes.

    Returns:
        :data:`METRICS` of the only embodiment; of several, each one's as ``<embodiment>/<metric>``
        and :data:`OVERALL`, weighted as the training loss is. NaN where nothing is held out.
    """
    each = {domain.name: validate(model, domain, config, device) for domain in domains}
    if len(domains) == 1:
        return each[domains[0].name]
    judged = [d for d in domains if d.validation]
    total = sum(d.share for d in judged)
    overall = {
        name: sum(d.share * each[d.name][name] for d in judged) / total if judged else math.nan
        for name in ("loss", "accuracy")
    }
    found = {"loss": overall["loss"], "perplexity": math.exp(overall["loss"])}
    found["accuracy"] = overall["accuracy"]
    for domain in domains:
        found |= {f"{domain.name}/{name}": value for name, value in each[domain.name].items()}
    return found


@torch.no_grad()
def validate(
    model: JointModel, domain: Domain, config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """Measure one embodiment on held-out episodes, the state carried as in control.

    Returns:
        ``loss`` (cross-entropy), ``perplexity``, ``accuracy`` (right bin) and ``mae`` (mean
        absolute error of the decoded action, in action units).
    """
    if not domain.validation:
        return dict.fromkeys(METRICS, math.nan)
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    count = 0
    state: State | None = None
    low, width = (torch.from_numpy(x).to(device) for x in (domain.codec.low, domain.codec.width))
    stream = window_stream(domain.held_out, config.batch, config.context, 0)
    for windows in itertools.islice(stream, config.evaluation_windows):
        batch = gather(domain.arrays, windows, device)
        with autocast(device, config):
            every, state = model({domain.name: batch}, state)
        logits = every[domain.name]
        chosen = logits.argmax(-1)
        decoded = low + (chosen + 0.5) * width
        totals[0] += action_loss(logits, batch["bins"]) * chosen.numel()
        totals[1] += (chosen == batch["bins"]).sum()
        totals[2] += (decoded - batch["actions"]).abs().sum()
        count += chosen.numel()
    loss, accuracy, mae = (totals / count).tolist()
    return {"loss": loss, "perplexity": math.exp(loss), "accuracy": accuracy, "mae": mae}
