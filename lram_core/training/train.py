"""The trainer: readable from top to bottom.

Datasets in, policy bundle out; a run folder keeps settings, the loss curve and a checkpoint to
resume from.
"""

from __future__ import annotations

import csv
import itertools
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lram_core.bundle import CONTRACT, save_joint_bundle
from lram_core.data.files import check_replaceable
from lram_core.data.store import Dataset
from lram_core.device import resolve_device
from lram_core.errors import CommandError, DataError
from lram_core.joint_model import JointModel
from lram_core.machine import machine_name
from lram_core.training.batch import autocast, gather, spread_loss
from lram_core.training.card import SPLIT, model_card
from lram_core.training.checkpoint import METRICS, Trainee, open_run
from lram_core.training.config import TrainConfig
from lram_core.training.domains import Domain, load_domains
from lram_core.training.optimizers import learning_rate, make_optimizers, set_learning_rate
from lram_core.training.progress import progress_bar
from lram_core.training.start import freeze_shared, set_input_norms, start_from
from lram_core.training.validation import brief, metric_names, validate_all

LOG_COLUMNS = ("step", "seconds", "ticks_per_s", "lr", "train_loss")
"""The first columns of ``metrics.csv``; what is measured on held-out episodes follows."""


def train(data: list[Path], out: Path, run: Path, config: TrainConfig) -> dict[str, float]:
    """Train a policy and write its bundle.

    Args:
        data: dataset folders; those of one suite have one schema and are one embodiment.
        out: bundle folder to write.
        run: run folder: ``config.json``, ``metrics.csv``, ``checkpoint.pt``. A run that was cut
            off continues from its last checkpoint.
        config: settings.

    Returns:
        The last validation metrics, see :func:`lram_core.training.validation.validate_all`.

    Raises:
        DataError: a dataset or checkpoint is unusable, or the loss is not finite any more.
        CommandError: ``out`` is something else than a bundle, ``run`` another run's folder, the
            bundle to start from does not fit, or the settings contradict each other.
    """
    if config.freeze_shared and not config.init:
        raise CommandError("freeze_shared keeps the weights of a bundle: it needs init (--init)")
    device = resolve_device(config.device)
    check_replaceable(out, CONTRACT, "policy bundle")
    torch.manual_seed(config.seed)
    torch.set_float32_matmul_precision("high")
    datasets = [Dataset.open(path) for path in data]
    for dataset in datasets:
        dataset.verify()
    domains = load_domains(datasets, config, device)
    shapes = {domain.name: domain.shape(config) for domain in domains}
    model = JointModel.create(shapes).to(device)
    origin = None
    if config.init:
        origin = start_from(model, domains, Path(config.init))
    else:
        for domain in domains:
            set_input_norms(model.select(domain.name), domain.arrays)
    if config.freeze_shared:
        freeze_shared(model)
    open_run(run, config, data)
    average = JointModel.create(shapes).to(device)
    average.load_weights(model.weights())
    trainee = Trainee(
        model, average, make_optimizers(model, config), model.init_state(config.batch, device)
    )
    trainee.resume(run, device)

    network = torch.compile(model) if config.compile else model
    streams = zip(*(domain.windows(config) for domain in domains), strict=True)
    batches = itertools.islice(streams, trainee.step, None)
    columns = (*LOG_COLUMNS, *metric_names(domains))
    metrics: dict[str, float] = {}
    began = time.monotonic() - trainee.seconds
    seen, speed_mark = 0, time.monotonic()
    parameters = sum(p.numel() for p in model.parameters())
    title = f"{parameters / 1e6:.2f}M parameters"
    with (
        progress_bar(title, config.steps, trainee.step) as progress,
        (run / METRICS).open("a", newline="") as file,
    ):
        if origin:
            progress.say(origin.describe())
        if len(domains) > 1:
            for domain in domains:
                progress.say(domain.describe())
        log = csv.writer(file)
        if file.tell() == 0:
            log.writerow(columns)
        losses: list[Tensor] = []
        for step in range(trainee.step, config.steps):
            done = step / config.steps
            if config.minutes:
                done = max(done, (time.monotonic() - began) / (60 * config.minutes))
            lr = learning_rate(config, step, min(1.0, done))
            set_learning_rate(trainee.optimizers, lr)
            batch = {
                domain.name: gather(domain.arrays, windows, device)
                for domain, windows in zip(domains, next(batches), strict=True)
            }
            with autocast(device, config):
                logits, state = network(batch, trainee.state)
            loss = torch.stack(
                [
                    d.share * spread_loss(logits[d.name], batch[d.name]["bins"], config.spread)
                    for d in domains
                ]
            ).sum()
            trainee.state = {name: value.detach() for name, value in state.items()}
            model.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
            for optimizer in trainee.optimizers:
                optimizer.step()
            update_average(average, model, min(config.ema, (1 + step) / (10 + step)))
            losses.append(loss.detach())
            seen += config.batch * config.context
            trainee.step, trainee.seconds = step + 1, time.monotonic() - began

            last = trainee.step == config.steps or done >= 1.0
            if last or trainee.step % config.evaluate_every == 0:
                metrics = validate_all(average, domains, config, device)
                metrics["train_loss"] = float(torch.stack(losses).mean())
                if not math.isfinite(metrics["train_loss"]):
                    raise DataError(
                        f"the loss is not finite at step {trainee.step} (lr {lr:.3g}); "
                        f"nothing was written to {out}. Try a smaller --lr"
                    )
                speed = seen / (time.monotonic() - speed_mark)
                row = {"seconds": trainee.seconds, "ticks_per_s": speed, "lr": lr, **metrics}
                log.writerow([trainee.step, *(f"{row[name]:.6g}" for name in columns[1:])])
                file.flush()
                progress.report(trainee.step, **brief(row))
                losses, seen, speed_mark = [], 0, time.monotonic()
            if last or trainee.step % config.checkpoint_every == 0:
                trainee.save(run)
            progress.advance()
            if last:
                break
    metrics = metrics or validate_all(average, domains, config, device)
    contracts = {domain.name: domain.contract(config) for domain in domains}
    told = {
        "config": asdict(config),
        "paths": [str(path) for path in data],
        "out": str(out),
        "machine": f"{machine_name(device)}, torch {torch.__version__}",
        "continues": origin.training if origin else None,
        "steps": trainee.step,
        "seconds": round(trainee.seconds, 1),
        "metrics": metrics,
        "parameters": parameters,
        "data": [dataset.provenance for dataset in datasets],
        **summary(domains),
    }
    save_joint_bundle(out, average, contracts, model_card(contracts, told), told)
    return metrics


def summary(domains: list[Domain]) -> dict[str, Any]:
    """Return what a bundle tells of the data it was trained on."""
    return {
        "episodes": sum(len(domain.arrays.episodes) for domain in domains),
        "ticks": sum(len(domain.arrays.rewards) for domain in domains),
        "split": SPLIT,
        "embodiments": {
            domain.name: {
                "episodes": len(domain.arrays.episodes),
                "ticks": len(domain.arrays.rewards),
                "streams": domain.streams,
                "share": round(domain.share, 4),
            }
            for domain in domains
        },
    }


@torch.no_grad()
def update_average(average: JointModel, model: JointModel, decay: float) -> None:
    """Move the running average of the weights towards the current ones."""
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)
