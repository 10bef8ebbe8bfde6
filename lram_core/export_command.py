"""``lram export``."""

from __future__ import annotations

from pathlib import Path

import click

from lram_core.onnx_export.names import FILES


@click.command(help="Write a bundle's control tick as a file that other programs can run.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx"]),
    default="onnx",
    show_default=True,
    help="Form of the file.",
)
@click.option(
    "--precision",
    type=click.Choice(list(FILES)),
    default="fp32",
    show_default=True,
    help="Precision of the large weights.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="File to write (default: in the bundle, where the runtime 'onnx' finds it).",
)
@click.option("--embodiment", default="", help="Embodiment, of a bundle with several.")
@click.option(
    "--ticks",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Random ticks to compare with PyTorch.",
)
def export(
    bundle: Path, form: str, precision: str, out: Path | None, embodiment: str, ticks: int
) -> None:
    from rich.console import Console
    from rich.table import Table

    from lram_core.onnx_export.export import export_bundle

    path, parity = export_bundle(bundle, precision, out, ticks, embodiment)
    table = Table("file", "MB", "ticks", "same bin as PyTorch", "largest logit error")
    table.add_row(
        str(path),
        f"{path.stat().st_size / 1e6:.2f}",
        str(ticks),
        f"{parity.agreement:.4f}",
        f"{parity.logit_error:.1e} of the largest logit",
    )
    Console(width=120).print(table)
