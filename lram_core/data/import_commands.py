"""The commands ``lram data import …`` and ``export …`` of formats that need no ROS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lram_core.data.commands import counting
from lram_core.data.importers.source import (
    Imported,
    ImportOptions,
    Source,
    import_source,
    load_schema,
)
from lram_core.data.store import Dataset

Command = TypeVar("Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)

OPTIONS = [
    click.option("--out", type=_PATH, required=True, help="Folder of the dataset."),
    click.option(
        "--like",
        type=_PATH,
        help="Bundle or dataset whose fields, units and limits the dataset must have.",
    ),
    click.option("--suite", default="", help="Name of the task suite."),
    click.option("--robot", default="", help="Name of the robot, where the format has none."),
    click.option("--gripper", default="", help="Name of the gripper, where the format has none."),
    click.option(
        "--rate",
        type=click.FloatRange(0, min_open=True),
        help="Control rate in Hz, where the format does not say it.",
    ),
    click.option("--kind", default="", help="Kind of the actions, e.g. joint_position."),
    click.option("--unit", default="1", show_default=True, help="Unit of the actions."),
    click.option(
        "--reward-scale",
        type=click.FloatRange(0, min_open=True),
        default=1.0,
        show_default=True,
        help="Rewards and returns are divided by it before a model sees them.",
    ),
    click.option("--task", "tasks", multiple=True, help="Take this task only; repeatable."),
]


def common(command: Command) -> Command:
    """Add the options that all formats share."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def make_options(
    like: Path | None,
    suite: str,
    robot: str,
    gripper: str,
    rate: float | None,
    kind: str,
    unit: str,
    reward_scale: float,
    tasks: tuple[str, ...],
) -> ImportOptions:
    """The options of a command line. Raises DataError where ``like`` is no dataset or bundle."""
    schema = None if like is None else load_schema(like)
    return ImportOptions(
        schema, suite, robot, gripper, rate, kind, unit, reward_scale, tuple(tasks)
    )


def run_import(source: Source, out: Path) -> None:
    """Import, with a bar in the terminal, and say what was done."""
    with counting(f"importing {source.path}") as progress:
        bar = progress.add_task("", total=source.total or None)
        done = import_source(source, out, lambda count: progress.advance(bar, count))
    report(done, out)


def report(done: Imported, out: Path) -> None:
    """Say what an import wrote."""
    more = f", {done.resumed} of them before an interruption" if done.resumed else ""
    click.echo(f"{out}: {done.episodes} episodes{more}, {done.steps} ticks")
    for note in done.notes:
        click.echo(f"note: {note}")


@click.command()
@click.argument("path", type=_PATH)
@click.option(
    "--feature",
    "features",
    multiple=True,
    help="Observation feature, in order; repeatable (default: all vectors of observations).",
)
@common
def lerobot(path: Path, features: tuple[str, ...], out: Path, **options: Any) -> None:
    """Make a dataset of PATH, the folder of a LeRobotDataset v3."""
    from lram_core.data.importers.lerobot import LeRobotSource

    run_import(LeRobotSource(path, make_options(**options), features), out)


@click.command()
@click.argument("path", type=_PATH)
@click.option(
    "--key",
    "keys",
    multiple=True,
    help="Observation key, in order; repeatable (default: hand, gripper and object).",
)
@click.option("--mask", default="", help="Filter of the file, e.g. train.")
@click.option("--sparse-reward", is_flag=True, help="Reward 1 at the last tick of an episode.")
@common
def robomimic(
    path: Path, keys: tuple[str, ...], mask: str, sparse_reward: bool, out: Path, **options: Any
) -> None:
    """Make a dataset of PATH, an HDF5 file of robomimic or Mimicgen."""
    from lram_core.data.importers.robomimic import RobomimicSource

    run_import(RobomimicSource(path, make_options(**options), keys, mask, sparse_reward), out)


@click.command()
@click.argument("dataset")
@common
def minari(dataset: str, out: Path, **options: Any) -> None:
    """Make a dataset of DATASET: the name of a local Minari dataset, or its folder."""
    from lram_core.data.importers.minari import MinariSource

    run_import(MinariSource(dataset, make_options(**options)), out)


@click.command()
@click.argument("path", type=_PATH)
@common
def lram(path: Path, out: Path, **options: Any) -> None:
    """Make a dataset of PATH: a folder in the layout of the LRAM reference code, or an archive."""
    from lram_core.data.importers.lram_reference import LramSource

    run_import(LramSource(path, make_options(**options)), out)


@click.command()
@click.argument("dataset", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="Folder to write.")
def export_lerobot(dataset: Path, out: Path) -> None:
    """Write DATASET as a LeRobotDataset v3."""
    from lram_core.data.exporters.lerobot import export_lerobot as export

    data = Dataset.open(dataset)
    with counting("exporting") as progress:
        bar = progress.add_task("", total=len(data))
        export(data, out, lambda count: progress.advance(bar, count))
    click.echo(f"{out}: {len(data)} episodes, {data.steps} frames")
