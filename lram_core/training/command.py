"""``lram train``."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from lram_core.backbones import BACKBONES, SIZES
from lram_core.training.declarations import declared
from lram_core.training.settings import (
    DEFAULT_SIZE,
    DEFAULTS,
    join_settings,
    merge,
    read_overrides,
    read_settings,
    to_yaml,
)

Command = TypeVar("Command", bound=Callable[..., Any])


def _option(name: str, text: str | None = None, **given: Any) -> Callable[[Command], Command]:
    """Return the option of a setting: its name, type, range and default are the setting's."""
    told = declared(name)
    derived: dict[str, Any] = {"default": getattr(DEFAULTS, name), "show_default": True}
    if told.kind is bool:
        derived = {"is_flag": True}
    elif told.choices:
        derived["type"] = click.Choice(told.choices)
    elif told.limited:
        limits: dict[str, Any] = {"min": told.low, "max": told.high, "min_open": told.above}
        derived["type"] = (click.IntRange if told.kind is int else click.FloatRange)(**limits)
    return click.option(f"--{name.replace('_', '-')}", help=text, **derived | given)


@click.command(
    help="Train a policy on one or more datasets; of several suites, one model for all of them. "
    "KEY=VALUE sets any setting, those without an option too; --print-config lists them. A value "
    "beats an option's, and that the file's."
)
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file with settings, such as --print-config writes.",
)
@click.option("--print-config", is_flag=True, help="Print all settings as YAML, and do nothing.")
@click.option(
    "--data",
    type=click.Path(),
    multiple=True,
    help="Dataset folder; repeatable, to join several.  [required, here or in the file]",
)
@click.option("--out", type=click.Path(), help="Bundle to write.  [required, here or in the file]")
@click.option(
    "--run",
    type=click.Path(),
    help="Run folder with metrics and checkpoints (default: runs/train/<bundle's name>).",
)
@click.option(
    "--backbone",
    type=click.Choice(list(BACKBONES)),
    help=f"Sequence model (default: that of --init, else {DEFAULTS.backbone}).",
)
@click.option(
    "--size",
    help=f"Layers and width: {', '.join(SIZES['xlstm'])} "
    f"(default: that of --init, else {DEFAULT_SIZE}).",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Change an option of the size, e.g. context=200 of a Transformer; repeatable.",
)
@_option("batch", "Parallel streams of episodes.")
@_option("context", "Ticks a training window.")
@_option("span", "Episodes of one task that the state is carried over (in-context learning).")
@_option("stride", "With --span: one episode of a task's history is taken every so many.")
@_option("bins", "Bins an action dimension; of discrete actions at least their number.")
@_option(
    "return_jitter",
    "Standard deviation of the offset on an episode's return-to-go, in scaled units.",
)
@_option("steps", "Steps of the optimiser.")
@_option(
    "minutes", "Finish the schedule within so many minutes (default: no limit).", show_default=False
)
@_option("lr", "Learning rate at its highest, after the warm-up.")
@_option("optimizer", "AdamW; or Muon for the backbone's large matrices, AdamW for the rest.")
@_option(
    "init",
    "Bundle with the same backbone to start from, of these embodiments or others.",
    type=click.Path(exists=True, file_okay=False),
    default=None,
)
@_option("freeze_shared", "With --init: train only each embodiment's own embedding and head.")
@_option(
    "share_alike", "Embodiments with the same fields share embedding, head and statistics, too."
)
@_option("mix", "What counts the same in training.")
@_option("spread", "Spread each label over the bins beside it: standard deviation in bins.")
@_option("seed", "Seed of the first weights and of the order of the data.")
@_option("device", "Where to train: cpu, cuda or auto.")
@click.option("--compile/--no-compile", default=DEFAULTS.compile, help="Use torch.compile.")
@_option("evaluate_every", "Steps between validations.")
@_option("checkpoint_every", "Steps between checkpoints.")
@click.pass_context
def train(
    ctx: click.Context,
    overrides: tuple[str, ...],
    config: Path | None,
    print_config: bool,
    **options: Any,
) -> None:
    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    if changes := _changes(given.pop("changes", [])):
        given["backbone_options"] = changes
    in_file = [(str(config), read_settings(config))] if config else []
    told = merge([given, read_overrides(overrides)])
    settings = join_settings([*in_file, ("command line", told)])
    if print_config:
        click.echo(to_yaml(settings), nl=False)
        return
    missing = [f"--{name}" for name in ("data", "out") if not getattr(settings, name)]
    if missing:
        raise click.UsageError(f"missing {', '.join(missing)}, or its key in the --config file")

    from lram_core.training.train import train as run_training
    from lram_core.training.validation import brief

    paths, out = [Path(path) for path in settings.data], Path(settings.out)
    metrics = run_training(paths, out, settings.run_folder, settings.config)
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one talks
        return
    told = {name: value for name, value in brief(metrics).items() if not math.isnan(value)}
    said = ", ".join(f"{name} {value:.4f}" for name, value in told.items())
    click.echo(f"{out}: {'held-out ' if 'loss' in told else 'nothing held out, '}{said}")


def _changes(given: list[str]) -> dict[str, Any]:
    key = "backbone_options"
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--set: expected OPTION=VALUE, found {text!r}")
    return read_overrides(f"{key}.{text}" for text in given).get(key, {})
