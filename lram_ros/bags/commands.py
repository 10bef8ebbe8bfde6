"""The commands ``lram data import rosbag2`` and ``lram data export rosbag2``."""

from __future__ import annotations

from pathlib import Path

import click

from lram_core.data.commands import counting
from lram_core.data.import_commands import report
from lram_core.data.importers.source import load_schema
from lram_core.data.store import Dataset
from lram_ros.bags.actions import COMMAND, SOURCES
from lram_ros.bags.cuts import TOPIC_TYPES
from lram_ros.bags.exporting import STORAGES, export_bag
from lram_ros.bags.importing import BagOptions, import_bags
from lram_ros.paths import find_contract
from lram_ros.robot_contract import RobotContract

_PATH = click.Path(path_type=Path)
_contract = click.option(
    "--contract",
    required=True,
    help="Robot contract: a YAML file, or the name of one that is shipped, e.g. metaworld.",
)
_namespace = click.option(
    "--namespace", default="", help="Namespace of the topics that are relative in the contract."
)
_seconds = click.FloatRange(min=0)


@click.command()
@click.argument("bags", nargs=-1, required=True, type=_PATH)
@_contract
@click.option("--out", type=_PATH, required=True, help="Folder of the dataset.")
@click.option(
    "--like",
    type=_PATH,
    help="Bundle or dataset whose fields, units and limits the dataset must have "
    "(default: the contract's own).",
)
@click.option(
    "--actions",
    type=click.Choice(SOURCES),
    default=COMMAND,
    show_default=True,
    help="Take actions from the command topics, or from where the joints were a tick later.",
)
@click.option(
    "--cut",
    default="",
    metavar="NAME",
    help=f"Topic ({', '.join(TOPIC_TYPES)}) or service that cuts episodes "
    "(default: the contract's episode topic, and gaps).",
)
@click.option(
    "--max-gap",
    type=_seconds,
    default=0.0,
    show_default=True,
    help="Seconds that a reading may be older than its max_age without a cut.",
)
@click.option(
    "--hold",
    type=_seconds,
    default=0.25,
    show_default=True,
    help="Seconds that a command stays in force.",
)
@click.option(
    "--min-ticks",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Leave out episodes of fewer ticks.",
)
@click.option(
    "--task", default="recorded", show_default=True, help="Name of the task, where nothing says it."
)
@click.option("--success", is_flag=True, help="The episodes are successes, where nothing says it.")
@click.option("--suite", default="", help="Name of the task suite (default: the robot's).")
@click.option(
    "--reward-scale",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Rewards and returns are divided by it before a model sees them.",
)
@_namespace
@click.option("--recover", is_flag=True, help="Take what is whole of a bag that was cut short.")
def import_rosbag2(
    bags: tuple[Path, ...],
    contract: str,
    out: Path,
    like: Path | None,
    actions: str,
    cut: str,
    max_gap: float,
    hold: float,
    min_ticks: int,
    task: str,
    success: bool,
    suite: str,
    reward_scale: float,
    namespace: str,
    recover: bool,
) -> None:
    """Make a dataset of BAGS (folders, .mcap or .db3 files) through a robot contract.

    Readings are joined by the code of the policy node: the dataset holds what it would have seen.
    """
    options = BagOptions(
        like=None if like is None else load_schema(like),
        suite=suite,
        actions=actions,
        cut=cut,
        max_gap=max_gap,
        hold=hold,
        min_ticks=min_ticks,
        task=task,
        success=success,
        namespace=namespace,
        recover=recover,
        reward_scale=reward_scale,
    )
    robot = RobotContract.load(find_contract(contract))
    with counting("importing") as progress:
        bar = progress.add_task("", total=None)
        done = import_bags(
            list(bags), robot, out, options, lambda count: progress.advance(bar, count)
        )
    report(done, out)


@click.command()
@click.argument("dataset", type=_PATH)
@_contract
@click.option("--out", type=_PATH, required=True, help="Folder of the bag.")
@click.option(
    "--storage",
    type=click.Choice(list(STORAGES)),
    default="mcap",
    show_default=True,
    help="Storage of the bag.",
)
@click.option(
    "--episode",
    "episodes",
    type=click.IntRange(min=0),
    multiple=True,
    help="Number of an episode; repeatable (default: all).",
)
@_namespace
def export_rosbag2(
    dataset: Path,
    contract: str,
    out: Path,
    storage: str,
    episodes: tuple[int, ...],
    namespace: str,
) -> None:
    """Write DATASET as a rosbag2 recording: what the robot of a contract would have published."""
    data = Dataset.open(dataset)
    robot = RobotContract.load(find_contract(contract))
    with counting("exporting") as progress:
        bar = progress.add_task("", total=len(episodes) or len(data))
        count = export_bag(
            data, robot, out, storage, episodes, namespace, lambda n: progress.advance(bar, n)
        )
    click.echo(f"{out}: {len(episodes) or len(data)} episodes, {count} messages")
