"""The commands ``lram data …``; thin shells over functions."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lram_core.cli import LazyGroup

_FOLDER = click.Path(path_type=Path)
_WIDTH = 160  # of tables that go into a file

IMPORTERS = {
    "rosbag2": ("lram_ros.bags.commands:import_rosbag2", "A rosbag2 recording, MCAP or sqlite3."),
    "lerobot": ("lram_core.data.import_commands:lerobot", "A LeRobotDataset v3."),
    "robomimic": ("lram_core.data.import_commands:robomimic", "robomimic or Mimicgen HDF5."),
    "minari": ("lram_core.data.import_commands:minari", "A Minari dataset."),
    "lram": ("lram_core.data.import_commands:lram", "The LRAM reference layout, HDF5 or npz."),
}
EXPORTERS = {
    "lerobot": ("lram_core.data.import_commands:export_lerobot", "A LeRobotDataset v3."),
    "rosbag2": ("lram_ros.bags.commands:export_rosbag2", "A rosbag2 recording."),
}


def make_console() -> Console:
    """A console for tables: of the terminal's width, or wide where output goes into a file."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def counting(what: str) -> Progress:
    """A progress bar over episodes, on stderr; nothing where that is no terminal."""
    console = Console(stderr=True)
    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


@click.group()
def data() -> None:
    """Look at datasets, check, merge and split them, import and export other formats."""


@data.command()
@click.argument("dataset", type=_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="Print plain data (JSON) instead of tables.")
def info(dataset: Path, as_json: bool) -> None:
    """Print what is in DATASET: episodes, tasks, fields with their units and ranges."""
    from lram_core.data.describe import describe, print_description
    from lram_core.data.store import Dataset

    about = describe(Dataset.open(dataset))
    if as_json:
        click.echo(json.dumps(about, indent=1))
    else:
        print_description(about, make_console())


@data.command()
@click.argument("datasets", nargs=-1, required=True, type=_FOLDER)
def verify(datasets: tuple[Path, ...]) -> None:
    """Read every byte of DATASETS: checksums, sizes, finite numbers, returns."""
    from lram_core.data.manage import verify_dataset

    for path in datasets:
        found = verify_dataset(path)
        click.echo(f"{path}: {len(found)} episodes, {found.steps} ticks, all as recorded")


@data.command()
@click.argument("datasets", nargs=-1, required=True, type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder of the new dataset.")
def merge(datasets: tuple[Path, ...], out: Path) -> None:
    """Join DATASETS of one schema."""
    from lram_core.data.manage import merge_datasets
    from lram_core.data.store import Dataset

    total = sum(len(Dataset.open(path)) for path in datasets)
    with counting("merging") as progress:
        bar = progress.add_task("", total=total)
        count = merge_datasets(list(datasets), out, lambda n: progress.advance(bar, n))
    click.echo(f"{out}: {count} episodes")


@data.command()
@click.argument("dataset", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="Folder of train/ and valid/.")
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.1,
    show_default=True,
    help="Share of each task's episodes that goes to valid/, about.",
)
def split(dataset: Path, out: Path, fraction: float) -> None:
    """Split DATASET into two, task by task.

    Which episodes go to valid/ follows from the episodes themselves, so it is the same every time.
    """
    from lram_core.data.manage import split_dataset
    from lram_core.data.store import Dataset

    with counting("splitting") as progress:
        bar = progress.add_task("", total=len(Dataset.open(dataset)))
        counts = split_dataset(dataset, out, fraction, lambda n: progress.advance(bar, n))
    for name, count in counts.items():
        click.echo(f"{out / name}: {count} episodes")


@data.command()
@click.argument("dataset", type=_FOLDER)
@click.option("--out", type=_FOLDER, required=True, help="A .svg, .png or .pdf file.")
@click.option("--episode", type=click.IntRange(min=0), help="Draw this episode over time instead.")
def plot(dataset: Path, out: Path, episode: int | None) -> None:
    """Draw episode lengths, returns, actions and fields of DATASET, or one episode over time."""
    from lram_core.data.plots import plot_dataset, plot_episode
    from lram_core.data.store import Dataset

    opened = Dataset.open(dataset)
    if episode is None:
        plot_dataset(opened, out)
    else:
        plot_episode(opened, episode, out)
    click.echo(str(out))


@data.group("import", cls=LazyGroup, table=IMPORTERS)
def import_group() -> None:
    """Make a dataset of recordings in another format."""


@data.group("export", cls=LazyGroup, table=EXPORTERS)
def export_group() -> None:
    """Write a dataset in another format."""
