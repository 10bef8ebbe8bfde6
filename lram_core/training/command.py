"""``lram train``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click
import yaml
from click.core import ParameterSource

from lram_core.backbones import BACKBONES, SIZES
from lram_core.training.config import MIXES
from lram_core.training.settings import (
    DEFAULT_SIZE,
    DEFAULTS,
    make_settings,
    merge,
    read_overrides,
    read_settings,
    to_yaml,
)


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
    help="Dataset folder; repeat it to join several.  [required, here or in the file]",
)
@click.option("--out", type=click.Path(), help="Bundle to write.  [required, here or in the file]")
@click.option(
    "--run",
    type=click.Path(),
    help="Run folder with metrics and checkpoints [default: runs/train/<bundle's name>].",
)
@click.option(
    "--backbone",
    type=click.Choice(list(BACKBONES)),
    help=f"[default: that of --init, else {DEFAULTS.backbone}]",
)
@click.option(
    "--size",
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
@click.option("--seed", type=click.IntRange(0), default=DEFAULTS.seed, show_default=True)
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
    changes = _changes(given.pop("changes", []))
    in_file = read_settings(config) if config else {}
    if changes:
        given["backbone_options"] = changes
        if not {"size", "backbone_options"} & {*in_file, *(given.keys() - {"backbone_options"})}:
            given["size"] = DEFAULT_SIZE
    layers = [in_file, given, read_overrides(overrides)]
    settings = make_settings(merge(layers), str(config) if config else "settings")
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
    told = {name: value for name, value in brief(metrics).items() if not math.isnan(value)}
    said = ", ".join(f"{name} {value:.4f}" for name, value in told.items())
    click.echo(f"{out}: {'held-out ' if 'loss' in told else 'nothing held out, '}{said}")


def _changes(given: list[str]) -> dict[str, Any]:
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"--set: expected OPTION=VALUE, found {text!r}")
        found[name] = yaml.safe_load(value)
    return found
