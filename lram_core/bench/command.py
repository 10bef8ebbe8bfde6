"""``lram bench``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--runtimes", help="Runtimes to time, separated by commas (default: all).")
@click.option(
    "--ticks",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Ticks to time of each.",
)
@click.option(
    "--threads",
    default="1",
    show_default=True,
    help="Numbers of threads to try, separated by commas.",
)
@click.option(
    "--device", default="cpu", show_default=True, help="Where the model runs: cpu, cuda or auto."
)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    help="Control rate in Hz to judge besides the bundle's and the common ones; repeatable.",
)
@click.option("--embodiment", default="", help="Embodiment, of a bundle with several.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="File for all figures (JSON)."
)
def bench(
    bundles: tuple[Path, ...],
    runtimes: str | None,
    ticks: int,
    threads: str,
    device: str,
    rates: tuple[float, ...],
    embodiment: str,
    json_file: Path | None,
) -> None:
    """Time the control tick of BUNDLES on this machine, by every runtime it has.

    A runtime is timed only if it chooses the same actions as PyTorch in float32. Then the rates
    that the fastest one holds are listed, judged by the slowest of a thousand ticks. It is an
    error if no runtime runs a bundle right.
    """
    import json

    from rich.console import Console

    from lram_core.bench.bench import bench_bundle
    from lram_core.bench.tables import print_report
    from lram_core.errors import RuntimeUnavailable, listed

    try:
        counts = [int(word) for word in threads.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"expected numbers with commas, found {threads!r}", param_hint="--threads"
        ) from None
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
    console = Console()
    names = [name.strip() for name in (runtimes or "").split(",") if name.strip()]
    reports = []
    for bundle in bundles:
        reports.append(
            bench_bundle(bundle, names, ticks, counts, device, rates, embodiment=embodiment)
        )
        print_report(reports[-1], console)
    if json_file:
        found = [report.to_dict() for report in reports]
        json_file.write_text(json.dumps(found, indent=1) + "\n")
    none = [report.bundle for report in reports if not report.passed]
    if none:
        raise RuntimeUnavailable(f"no runtime here runs this right: {listed(none)}")
