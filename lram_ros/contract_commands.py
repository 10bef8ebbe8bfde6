"""The command ``lram contract``: a robot contract shown, or checked against a bundle."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lram_core.bundle import load_contract
from lram_core.contract import PolicyContract
from lram_core.errors import CommandError
from lram_ros.adapters.sink import CartesianField, CommandField, CommandSink
from lram_ros.contract_check import disagreements
from lram_ros.embodiment import fitting
from lram_ros.input_topic import FieldSource, InputTopic
from lram_ros.paths import find_contract
from lram_ros.robot_contract import RobotContract
from lram_ros.sros2_policy import sros2_policy

_WIDTH = 240  # of tables that go into a file: nothing is folded
_embodiment = click.option(
    "--embodiment",
    default="",
    help="Embodiment, of a bundle with several (default: the one that fits the robot).",
)


@click.group()
def contract() -> None:
    """Look at robot contracts, and check them against bundles."""


@contract.command()
@click.argument("contract_name", metavar="CONTRACT")
@click.option(
    "--bundle", type=click.Path(path_type=Path), help="Policy bundle: adds its side of each row."
)
@_embodiment
def show(contract_name: str, bundle: Path | None, embodiment: str) -> None:
    """Print what CONTRACT reads from topics and where it sends commands.

    CONTRACT is a YAML file, or the name of one that is shipped, e.g. metaworld.
    """
    robot = RobotContract.load(find_contract(contract_name))
    policy = None if bundle is None else load_contract(bundle, embodiment or fitting(robot))
    print_contract(robot, policy, _console())


@contract.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("contract_name", metavar="CONTRACT")
@_embodiment
def check(bundle: Path, contract_name: str, embodiment: str) -> None:
    """Compare BUNDLE with CONTRACT without a running robot.

    Exits with 0 and the table where they fit, with 2 and a line for each disagreement otherwise.
    """
    robot = RobotContract.load(find_contract(contract_name))
    policy = load_contract(bundle, embodiment or fitting(robot))
    found = list(disagreements(robot, policy))
    for problem in found:
        click.echo(f"error: {problem}", err=True)
    if found:
        sys.exit(2)
    print_contract(robot, policy, _console())
    click.echo(f"{bundle} fits {robot.source}")


@contract.command()
@click.argument("contract_name", metavar="CONTRACT")
@click.option("--namespace", default="/", show_default=True, help="Namespace of the policy node.")
@click.option("--node", default="policy", show_default=True, help="Name of the policy node.")
def sros2(contract_name: str, namespace: str, node: str) -> None:
    """Print an SROS2 policy file: what the policy node of CONTRACT may say and hear."""
    if not namespace.startswith("/"):
        raise CommandError(f"--namespace: expected to begin with '/', found {namespace!r}")
    click.echo(
        sros2_policy(RobotContract.load(find_contract(contract_name)), namespace, node), nl=False
    )


def print_contract(robot: RobotContract, policy: PolicyContract | None, console: Console) -> None:
    """Print both directions as tables; with ``policy``, its units, sizes and kinds too."""
    episode = "an episode without end" if robot.episode is None else robot.episode.topic
    source = robot.reward
    reward = f"{source:g}" if isinstance(source, float) else f"{source.topic}.{_path(source)}"
    console.print(
        f"{robot.robot} with {robot.gripper}, {robot.control_rate:g} Hz, tick from "
        f"{robot.tick_source}; reward: {reward}; episode: {episode}",
        highlight=False,
    )
    console.print(_observation(robot, policy))
    console.print(_commands(robot, policy))


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)


def _observation(robot: RobotContract, policy: PolicyContract | None) -> Table:
    table = _table("robot → policy", "topic", "type", "values", "unit", "max age", "QoS", "→ field")
    wanted = {} if policy is None else {field.name: field for field in policy.observation}
    if policy is not None:
        table.add_column("in the bundle")
    for topic in robot.inputs:
        for i, field in enumerate(topic.fields):
            row = [topic.topic, topic.type.replace("/msg/", "/")] if i == 0 else ["", ""]
            row += [_values(field), _unit(field.unit, field), f"{topic.max_age:g} s"]
            row += [_qos(topic), field.name]
            if policy is not None:
                theirs = wanted.get(field.name)
                row.append(f"{theirs.size} × {theirs.unit}" if theirs else "not there")
            table.add_row(*map(Text, row))
    return table


def _commands(robot: RobotContract, policy: PolicyContract | None) -> Table:
    table = _table("policy → robot", "field", "→ topic", "adapter", "joint", "unit")
    for header in ("limits", "at most", "safe"):
        table.add_column(header)
    if policy is not None:
        table.add_column("in the bundle")
    for sink in robot.sinks:
        if sink.cartesian is not None:
            for move in sink.cartesian.fields:
                where = f"{sink.cartesian.frame} {move.axis} ({sink.cartesian.axes})"
                row = [move.name, "inverse kinematics", "", where, *_limits(move), "", ""]
                table.add_row(*map(Text, [*row, *_kind(policy, move.name)]))
        for i, field in enumerate(sink.fields):
            own = field.name if sink.cartesian is None else ""
            row = [own, *_sink(sink, i), field.wire_name, *_limits(field), _rates(field)]
            row.append(sink.safe if i == 0 else "")
            table.add_row(*map(Text, [*row, *_kind(policy, own)]))
    return table


def _kind(policy: PolicyContract | None, name: str) -> list[str]:
    """The cell of the bundle's column, if there is one."""
    if policy is None:
        return []
    kinds = {field.name: f"{field.kind}, {field.unit}" for field in policy.action}
    return [kinds.get(name, "not there") if name else ""]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _path(topic: InputTopic) -> str:
    return topic.fields[0].path


def _values(field: FieldSource) -> str:
    if field.image is not None:
        size = field.image
        text = f"picture → {size.height} × {size.width} × {size.channels}"
    else:
        text = field.path + (f"[{', '.join(field.names)}]" if field.names else "")
    return text if field.history == 1 else f"{text}, {field.history} newest"


def _unit(unit: str, field: FieldSource | CommandField | CartesianField) -> str:
    if field.range is None:
        return unit
    spans = " ".join(f"{low:g} … {high:g}" for low, high in field.range.physical)
    low, high = field.range.normalised
    return f"{unit}: {spans} ↔ {low:g} … {high:g}"


def _qos(topic: InputTopic) -> str:
    text = f"{topic.reliability}, {topic.depth}"
    return text if topic.durability == "volatile" else f"{text}, {topic.durability}"


def _sink(sink: CommandSink, row: int) -> list[str]:
    return [sink.topic, sink.adapter] if row == 0 else ["", ""]


def _limits(field: CommandField | CartesianField) -> list[str]:
    return [_unit(field.unit, field), f"{field.low:g} … {field.high:g}"]


def _rates(field: CommandField) -> str:
    rates = (
        ("velocity", field.max_velocity),
        ("acceleration", field.max_acceleration),
        ("step", field.max_step),
    )
    return ", ".join(f"{what} {value:g}" for what, value in rates if math.isfinite(value))
