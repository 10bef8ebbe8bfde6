"""The trainer: readable from top to bottom.

Datasets in, policy bundle out; a run folder keeps settings, the loss curve and a checkpoint to
resume from.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import State
from lram_core.bundle import CONFIG, CONTRACT, load_bundle, save_bundle
from lram_core.codec import ActionCodec
from lram_core.contract import PolicyContract
from lram_core.data.files import check_replaceable
from lram_core.data.schema import DatasetSchema
from lram_core.data.store import Dataset
from lram_core.data.stream import EpisodeSpan, TrainingArrays, Windows, window_stream
from lram_core.device import resolve_device
from lram_core.errors import CommandError, DataError
from lram_core.machine import machine_name
from lram_core.training.card import model_card
from lram_core.training.checkpoint import METRICS, Trainee, open_run
from lram_core.training.config import TrainConfig
from lram_core.training.optimizers import learning_rate, make_optimizers, set_learning_rate
from lram_core.training.progress import progress_bar

VALIDATION_METRICS = ("loss", "perplexity", "accuracy", "mae")
LOG_COLUMNS = ("step", "seconds", "ticks_per_s", "lr", "train_loss", *VALIDATION_METRICS)


def train(data: list[Path], out: Path, run: Path, config: TrainConfig) -> dict[str, float]:
    """Train a policy and write its bundle.

    Args:
        data: dataset folders with one schema.
        out: bundle folder to write.
        run: run folder: ``config.json``, ``metrics.csv``, ``checkpoint.pt``. A run that was cut
            off continues from its last checkpoint.
        config: settings.

    Returns:
        The last validation metrics.

    Raises:
        DataError: a dataset or checkpoint is unusable, or the loss is not finite any more.
        CommandError: ``out`` is something else than a bundle, or ``run`` another run's folder.
    """
    device = resolve_device(config.device)
    check_replaceable(out, CONTRACT, "policy bundle")
    torch.manual_seed(config.seed)
    torch.set_float32_matmul_precision("high")
    datasets = [Dataset.open(path) for path in data]
    for dataset in datasets:
        dataset.verify()
    open_run(run, config, data)
    schema = datasets[0].schema
    codec = ActionCodec(schema.action, config.bins)
    arrays = TrainingArrays.load(datasets, codec, device)
    training, validation = arrays.split(config.held_out, config.seed)
    played = [arrays.episodes[number] for number in training]
    kept_out = [arrays.episodes[number] for number in validation]

    shape = ModelConfig(
        schema.observation_size, schema.action_size, config.bins,
        config.backbone, dict(config.backbone_options),
    )  # fmt: skip
    model = ActionModel(shape).to(device)
    earlier = None
    if config.init:
        earlier = start_from(model, Path(config.init))
    else:
        set_input_norms(model, arrays)
    average = ActionModel(shape).to(device)
    average.load_state_dict(model.state_dict())
    trainee = Trainee(
        model, average, make_optimizers(model, config), model.init_state(config.batch, device)
    )
    trainee.resume(run, device)

    network = torch.compile(model) if config.compile else model
    stream = window_stream(played, config.batch, config.context, config.seed, config.return_jitter)
    stream = itertools.islice(stream, trainee.step, None)
    metrics: dict[str, float] = {}
    began = time.monotonic() - trainee.seconds
    seen, speed_mark = 0, time.monotonic()
    parameters = sum(p.numel() for p in model.parameters())
    title = f"{parameters / 1e6:.2f}M parameters"
    with (
        progress_bar(title, config.steps, trainee.step) as progress,
        (run / METRICS).open("a", newline="") as file,
    ):
        log = csv.writer(file)
        if file.tell() == 0:
            log.writerow(LOG_COLUMNS)
        losses: list[Tensor] = []
        for step in range(trainee.step, config.steps):
            done = step / config.steps
            if config.minutes:
                done = max(done, (time.monotonic() - began) / (60 * config.minutes))
            lr = learning_rate(config, step, min(1.0, done))
            set_learning_rate(trainee.optimizers, lr)
            batch = gather(arrays, next(stream), device)
            with autocast(device, config):
                logits, state = network(
                    batch["observations"], batch["returns_to_go"], batch["rewards"],
                    batch["start"], trainee.state,
                )  # fmt: skip
            loss = action_loss(logits, batch["bins"])
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
                metrics = validate(average, arrays, kept_out, codec, config, device)
                metrics["train_loss"] = float(torch.stack(losses).mean())
                if not math.isfinite(metrics["train_loss"]):
                    raise DataError(
                        f"the loss is not finite at step {trainee.step} (lr {lr:.3g}); "
                        f"nothing was written to {out}. Try a smaller --lr"
                    )
                speed = seen / (time.monotonic() - speed_mark)
                row = {"seconds": trainee.seconds, "ticks_per_s": speed, "lr": lr, **metrics}
                log.writerow([trainee.step, *(f"{row[name]:.6g}" for name in LOG_COLUMNS[1:])])
                file.flush()
                progress.report(trainee.step, **row)
                losses, seen, speed_mark = [], 0, time.monotonic()
            if last or trainee.step % config.checkpoint_every == 0:
                trainee.save(run)
            progress.advance()
            if last:
                break
    metrics = metrics or validate(average, arrays, kept_out, codec, config, device)
    contract = make_contract(schema, arrays, config)
    summary = {
        "config": asdict(config),
        "paths": [str(path) for path in data],
        "out": str(out),
        "machine": f"{machine_name(device)}, torch {torch.__version__}",
        "continues": earlier,
        "steps": trainee.step,
        "seconds": round(trainee.seconds, 1),
        "metrics": metrics,
        "parameters": parameters,
        "episodes": len(arrays.episodes),
        "ticks": len(arrays.rewards),
        "data": [dataset.provenance for dataset in datasets],
    }
    save_bundle(out, average, contract, model_card(contract, summary), summary)
    return metrics


def autocast(device: torch.device, config: TrainConfig) -> torch.autocast:
    """bfloat16 for the matrix products on a GPU; the recurrence opts out of it by itself."""
    enabled = config.bf16 and device.type == "cuda"
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def action_loss(logits: Tensor, bins: Tensor) -> Tensor:
    """Cross-entropy, mean over ticks and action dimensions (paper, section 3)."""
    return F.cross_entropy(logits.float().flatten(0, -2), bins.flatten())


def start_from(model: ActionModel, bundle: Path) -> dict[str, Any]:
    """Take weights and input statistics of a bundle; returns how it was trained.

    Raises:
        CommandError: the bundle is of another shape.
    """
    other, _ = load_bundle(bundle)
    if other.config != model.config:
        raise CommandError(
            f"{bundle} cannot be continued: it is {other.config}, this run is {model.config}"
        )
    model.load_state_dict(other.state_dict())
    return dict(json.loads((bundle / CONFIG).read_text())["training"])


def set_input_norms(model: ActionModel, arrays: TrainingArrays) -> None:
    """Take the input statistics of the training data into the model."""
    model.observation_norm.set(arrays.observations)
    model.return_norm.set(arrays.returns_to_go.unsqueeze(-1))
    model.reward_norm.set(arrays.rewards.unsqueeze(-1))


@torch.no_grad()
def update_average(average: ActionModel, model: ActionModel, decay: float) -> None:
    """Move the running average of the weights towards the current ones."""
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def gather(arrays: TrainingArrays, windows: Windows, device: torch.device) -> dict[str, Tensor]:
    """Fetch the rows of one batch of windows."""
    index = torch.from_numpy(windows.index).to(device)
    offset = torch.from_numpy(windows.return_offset).to(device)
    return {
        "observations": arrays.observations[index],
        "returns_to_go": arrays.returns_to_go[index] + offset,
        "rewards": arrays.rewards[index],
        "bins": arrays.bins[index],
        "actions": arrays.actions[index],
        "start": torch.from_numpy(windows.start).to(device),
    }


@torch.no_grad()
def validate(
    model: ActionModel,
    arrays: TrainingArrays,
    episodes: list[EpisodeSpan],
    codec: ActionCodec,
    config: TrainConfig,
    device: torch.device,
) -> dict[str, float]:
    """Measure on held-out episodes, the state carried as in control.

    Returns:
        ``loss`` (cross-entropy), ``perplexity``, ``accuracy`` (right bin) and ``mae`` (mean
        absolute error of the decoded action, in action units).
    """
    if not episodes:
        return dict.fromkeys(VALIDATION_METRICS, math.nan)
    totals = torch.zeros(3, dtype=torch.float64, device=device)
    count = 0
    state: State | None = None
    low, width = (torch.from_numpy(x).to(device) for x in (codec.low, codec.width))
    stream = window_stream(episodes, config.batch, config.context, 0)
    for windows in itertools.islice(stream, config.evaluation_windows):
        batch = gather(arrays, windows, device)
        with autocast(device, config):
            logits, state = model(
                batch["observations"],
                batch["returns_to_go"],
                batch["rewards"],
                batch["start"],
                state,
            )
        chosen = logits.argmax(-1)
        decoded = low + (chosen + 0.5) * width
        totals[0] += action_loss(logits, batch["bins"]) * chosen.numel()
        totals[1] += (chosen == batch["bins"]).sum()
        totals[2] += (decoded - batch["actions"]).abs().sum()
        count += chosen.numel()
    loss, accuracy, mae = (totals / count).tolist()
    return {"loss": loss, "perplexity": math.exp(loss), "accuracy": accuracy, "mae": mae}


def make_contract(
    schema: DatasetSchema, arrays: TrainingArrays, config: TrainConfig
) -> PolicyContract:
    """Build the bundle's contract: the data's schema, and the returns to ask for."""
    targets = {}
    for task in sorted(set(arrays.tasks)):
        returns = [r for r, t in zip(arrays.returns, arrays.tasks, strict=True) if t == task]
        targets[task] = round(float(np.quantile(returns, config.target_quantile)), 1)
    default = round(float(np.median(list(targets.values()))), 1)
    return schema.contract({"default": default, **targets}, config.context)
