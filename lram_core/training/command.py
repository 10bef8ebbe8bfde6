"""``lram train``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import yaml

from lram_core.backbones import BACKBONES, SIZES, size_options
from lram_core.training.config import MIXES, TrainConfig

DEFAULTS = TrainConfig()
DEFAULT_SIZE = "d256"


@click.command(
    help="Train a policy on one or more datasets; of several suites, one model for all of them."
)
@click.option(
    "--data",
    "data",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="Dataset folder; repeat it to join several.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Bundle to write.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    default=None,
    help="Run folder with metrics and checkpoint [default: runs/train/<bundle's name>].",
)
@click.option(
    "--backbone",
    type=click.Choice(list(BACKBONES)),
    default=None,
    help=f"[default: that of --init, else {DEFAULTS.backbone}]",
)
@click.option(
    "--size",
    default=None,
    help=f"{', '.join(SIZES['xlstm'])} [default: that of --init, else {DEFAULT_SIZE}].",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Change an option of the size, e.g. context=200 of a Transformer; repeat it for more.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=DEFAULTS.batch,
    show_default=True,
    help="Parallel streams of episodes.",
)
@click.option(
    "--context",
    type=click.IntRange(1),
    default=DEFAULTS.context,
    show_default=True,
    help="Ticks a training window.",
)
@click.option(
    "--span",
    type=click.IntRange(1),
    default=DEFAULTS.span,
    show_default=True,
    help="Episodes of one task that the state is carried over (in-context learning).",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    default=DEFAULTS.stride,
    show_default=True,
    help="With --span: one episode of a task's history is taken every so many.",
)
@click.option(
    "--bins",
    type=click.IntRange(2),
    default=DEFAULTS.bins,
    show_default=True,
    help="Bins an action dimension; of discrete actions at least their number.",
)
@click.option(
    "--return-jitter",
    type=click.FloatRange(0),
    default=DEFAULTS.return_jitter,
    show_default=True,
    help="Standard deviation of the offset on an episode's return-to-go, in scaled units.",
)
@click.option("--steps", type=click.IntRange(1), default=DEFAULTS.steps, show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(0),
    default=DEFAULTS.minutes,
    help="Finish the schedule within this time [default: no limit].",
)
@click.option(
    "--lr", type=click.FloatRange(0, min_open=True), default=DEFAULTS.lr, show_default=True
)
@click.option(
    "--optimizer",
    type=click.Choice(["adamw", "muon"]),
    default=DEFAULTS.optimizer,
    show_default=True,
)
@click.option(
    "--init",
    type=click.Path(exists=True, file_okay=False),
    default=None,
    help="Bundle with the same backbone to start from, of these embodiments or others.",
)
@click.option(
    "--freeze-shared",
    is_flag=True,
    help="With --init: train only each embodiment's own embedding and head.",
)
@click.option(
    "--mix",
    type=click.Choice(MIXES),
    default=DEFAULTS.mix,
    show_default=True,
    help="What counts the same in training.",
)
@click.option(
    "--spread",
    type=click.FloatRange(0),
    default=DEFAULTS.spread,
    show_default=True,
    help="Spread each label over the bins beside it: standard deviation in bins.",
)
@click.option("--seed", type=int, default=DEFAULTS.seed, show_default=True)
@click.option("--device", default=DEFAULTS.device, show_default=True, help="cpu, cuda or auto.")
@click.option("--compile/--no-compile", default=DEFAULTS.compile, help="Use torch.compile.")
@click.option(
    "--evaluate-every",
    type=click.IntRange(1),
    default=DEFAULTS.evaluate_every,
    show_default=True,
    help="Steps between validations.",
)
@click.option(
    "--checkpoint-every",
    type=click.IntRange(1),
    default=DEFAULTS.checkpoint_every,
    show_default=True,
    help="Steps between checkpoints.",
)
def train(
    data: tuple[Path, ...],
    out: Path,
    run: Path | None,
    backbone: str | None,
    size: str | None,
    changes: tuple[str, ...],
    batch: int,
    context: int,
    span: int,
    stride: int,
    bins: int,
    return_jitter: float,
    steps: int,
    minutes: float,
    lr: float,
    optimizer: str,
    init: str | None,
    freeze_shared: bool,
    mix: str,
    spread: float,
    seed: int,
    device: str,
    compile: bool,
    evaluate_every: int,
    checkpoint_every: int,
) -> None:
    from lram_core.training.train import train as run_training
    from lram_core.training.validation import brief

    name, options = _shape(backbone, size, changes, init)
    config = TrainConfig(
        backbone=name, backbone_options=options, freeze_shared=freeze_shared, mix=mix,
        batch=batch, context=context, span=span, stride=stride, bins=bins, spread=spread,
        steps=steps, minutes=minutes, lr=lr, optimizer=optimizer, init=init or "",
        seed=seed, device=device, compile=compile, evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every, return_jitter=return_jitter,
    )  # fmt: skip
    metrics = run_training(list(data), out, run or Path("runs/train") / out.name, config)
    told = {name: value for name, value in brief(metrics).items() if not math.isnan(value)}
    said = ", ".join(f"{name} {value:.4f}" for name, value in told.items())
    click.echo(f"{out}: {'held-out ' if 'loss' in told else 'nothing held out, '}{said}")


def _shape(
    backbone: str | None, size: str | None, changes: tuple[str, ...], init: str | None
) -> tuple[str, dict[str, Any]]:
    """Return backbone and options: as asked for, else those of the bundle to start from."""
    if init and not (backbone or size or changes):
        from lram_core.bundle import load_joint_bundle

        config = load_joint_bundle(init)[0].first.config
        return config.backbone, config.backbone_options
    backbone = backbone or DEFAULTS.backbone
    return backbone, size_options(backbone, size or DEFAULT_SIZE, **_changes(changes))


def _changes(given: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--set: expected OPTION=VALUE, found {text!r}")
        found[name] = yaml.safe_load(value)
    return found
