"""The command ``lram train-expert``; a thin shell."""

from __future__ import annotations

import time
from pathlib import Path

import click

from lram_sim.suite_registry import get_suite


@click.command()
@click.argument("suite")
@click.option("--task", required=True, help="The task to learn, e.g. swingup.")
@click.option(
    "--decisions", type=click.IntRange(min=1), help="Decisions to train for (default: the task's)."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 400),
    default=0,
    show_default=True,
    help="Seed of the training.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of the expert's weights (safetensors).",
)
def train_expert(suite: str, task: str, decisions: int | None, seed: int, out: Path) -> None:
    """Train an expert for a task of SUITE (dmcontrol-cartpole, …) on one processor core.

    Needs the extra 'rl'. The network that does best in between is kept.
    """
    from dataclasses import replace

    from lram_sim import train_expert as training

    found = get_suite(suite)
    name = training.full_name(found, task)
    settings = replace(training.SETTINGS.get(name, training.Settings()), seed=seed)
    if decisions is not None:
        settings = replace(settings, decisions=decisions)
    click.echo(f"{name}: {settings.decisions} decisions of {settings.repeat} ticks", err=True)
    begin = time.monotonic()

    def progress(done: int, mean: float, best: float) -> None:
        left = (time.monotonic() - begin) / done * (settings.decisions - done)
        click.echo(
            f"{done}/{settings.decisions} decisions: return {mean:.0f}, best {best:.0f}, "
            f"{left / 60:.1f} min left",
            err=True,
        )

    best = training.train_expert(found, task, out, settings, progress)
    click.echo(f"{out}: mean return {best:.0f} of {settings.episodes} episodes")
