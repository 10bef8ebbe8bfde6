"""Options of commands that run a bundle: by what, and how exactly."""

from __future__ import annotations

import click

from lram_core.runtimes import AUTO, RUNTIMES

runtime_option = click.option(
    "--runtime",
    default=AUTO,
    show_default=True,
    help=f"What runs the model: {', '.join([AUTO, *RUNTIMES])}.",
)
precision_option = click.option(
    "--precision", default="", help="Precision of the weights (default: the runtime's own)."
)
