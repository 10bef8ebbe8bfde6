"""How well a model does on held-out episodes, embodiment by embodiment and overall."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from lram_core.backbones import State
from lram_core.data.stream import window_stream
from lram_core.joint_model import JointModel
from lram_core.training.action_errors import error_units, mean_errors
from lram_core.training.batch import action_loss, gather, mixed_precision
from lram_core.training.config import TrainConfig
from lram_core.training.domains import Domain

OVERALL = ("loss", "perplexity", "accuracy")
"""Errors of actions have each embodiment's own units."""


def metric_names(domains: list[Domain]) -> tuple[str, ...]:
    """Return the names of what :func:`validate_all` measures, in order."""
    if len(domains) == 1:
        return _metrics(domains[0])
    return (*OVERALL, *(f"{domain.name}/{name}" for domain in domains for name in _metrics(domain)))


def _metrics(domain: Domain) -> tuple[str, ...]:
    return (*OVERALL, *error_units(domain.schema.action))


def brief(metrics: dict[str, float]) -> dict[str, float]:
    """Return what fits on a line: of the single embodiments, the losses."""
    return {k: v for k, v in metrics.items() if "/" not in k or k.endswith("/loss")}


def validate_all(
    model: JointModel, domains: list[Domain], config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """Measure every embodiment on its held-out episodes.

    Returns:
        What :func:`validate` measures of the only embodiment; of several, each one's as
        ``<embodiment>/<metric>`` and :data:`OVERALL`, weighted as the training loss is. NaN where
        nothing is held out.
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
    found = {"loss": overall["loss"], "perplexity": perplexity(overall["loss"])}
    found["accuracy"] = overall["accuracy"]
    for domain in domains:
        found |= {f"{domain.name}/{name}": value for name, value in each[domain.name].items()}
    return found


def perplexity(loss: float) -> float:
    """Return e to the power of a cross-entropy; infinite where that is beyond a float."""
    with np.errstate(over="ignore"):
        return float(np.exp(loss))


@torch.no_grad()
def validate(
    model: JointModel, domain: Domain, config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """Measure one embodiment on held-out episodes, the state carried as in control.

    Returns:
        ``loss`` (cross-entropy), ``perplexity``, ``accuracy`` (right bin) and the mean absolute
        errors of the decoded action, one for each unit, see
        :mod:`lram_core.training.action_errors`.
    """
    fields = domain.schema.action
    if not domain.validation:
        return dict.fromkeys(_metrics(domain), math.nan)
    totals = torch.zeros(2, dtype=torch.float64, device=device)
    errors = np.zeros(len(fields))
    count = 0
    state: State | None = None
    stream = window_stream(domain.held_out, config.batch, config.context, 0)
    for windows in itertools.islice(stream, config.evaluation_windows):
        batch = gather(domain.arrays, windows, device)
        with mixed_precision(device, config):
            every, state = model({domain.name: batch}, state)
        logits = every[domain.name]
        chosen = logits.argmax(-1)
        decoded = domain.codec.decode(chosen.cpu().numpy())
        totals[0] += action_loss(logits, batch["bins"]) * chosen.numel()
        totals[1] += (chosen == batch["bins"]).sum()
        errors += np.abs(decoded - batch["actions"].cpu().numpy()).sum(axis=(0, 1))
        count += chosen.numel()
    loss, accuracy = (totals / count).tolist()
    found = {"loss": loss, "perplexity": perplexity(loss), "accuracy": accuracy}
    return found | mean_errors(fields, errors / (count / len(fields)))
