"""``lram card``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(help="Write measured results and loss curves into a bundle's model card.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--results",
    type=(str, click.Path(path_type=Path)),
    multiple=True,
    help="Title and folder of an 'lram eval' result; repeatable.",
)
@click.option(
    "--run",
    "runs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Run folder of 'lram train'; repeatable, in order.",
)
@click.option("--limits", default="", help="What the policy is not good for (Markdown).")
def card(
    bundle: Path, results: tuple[tuple[str, Path], ...], runs: tuple[Path, ...], limits: str
) -> None:
    from lram_core.training.card import write_measured_card

    write_measured_card(bundle, dict(results), list(runs), limits)
    click.echo(f"{bundle / 'README.md'} written")
