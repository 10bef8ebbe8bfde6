"""The command ``lram replay``: a recording through a policy once more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from lram_core.errors import CommandError
from lram_core.policy import Policy
from lram_core.runtimes.command_options import precision_option, runtime_option
from lram_core.signals import exit_when_stopped
from lram_ros.black_box import Recording
from lram_ros.paths import find_contract
from lram_ros.replay.black_box import replay_black_box
from lram_ros.replay.black_box_table import black_box_tables, replay_lines

MISSED = 1
"""Exit code where a threshold is missed; bad input ends with 2."""


@click.command(
    epilog="\b\nExit codes: 0 done, 1 a threshold was missed, 2 bad input.",
)
@click.argument("recording", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "policies",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Policy bundle to ask; for a bag repeatable, to compare several.",
)
@click.option(
    "--contract",
    help="Bag: robot contract (YAML), or the name of one that is shipped (default: metaworld).",
)
@click.option(
    "--namespace", default="/", show_default=True, help="Bag: namespace it was recorded in."
)
@click.option(
    "--from", "start", type=float, default=0.0, help="Bag: seconds to leave out at the start."
)
@click.option(
    "--to",
    "end",
    type=float,
    default=float("inf"),
    help="Bag: second to end at (default: the last).",
)
@click.option("--target-return", type=float, help="Bag: return to ask for (default: the bundle's).")
@click.option("--live", is_flag=True, help="Bag: also through a live policy node, over topics.")
@click.option(
    "--rate", type=float, default=1.0, help="Bag: speed of --live; 2 is twice that recorded."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Bag: folder for report, summary and a new bag."
)
@click.option(
    "--max-error",
    "max_errors",
    multiple=True,
    metavar="[JOINT=]NUMBER",
    help="Bag: mean error allowed, in per cent of the range or in the joint's unit; repeatable.",
)
@click.option(
    "--min-accuracy", type=click.FloatRange(0, 1), help="Bag: share of the tokens to be equal."
)
@click.option(
    "--max-perplexity", type=click.FloatRange(min=1), help="Bag: perplexity of the tokens allowed."
)
@click.option("--parity", is_flag=True, help="Bag: every action must be the recorded one.")
@runtime_option
@precision_option
@click.option("--embodiment", default="", help="Embodiment, of a bundle with several.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Black box: ticks to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print plain data (JSON) instead of tables.")
def replay(
    recording: Path,
    policies: tuple[Path, ...],
    contract: str | None,
    namespace: str,
    start: float,
    end: float,
    target_return: float | None,
    live: bool,
    rate: float,
    out: Path | None,
    max_errors: tuple[str, ...],
    min_accuracy: float | None,
    max_perplexity: float | None,
    parity: bool,
    runtime: str,
    precision: str,
    embodiment: str,
    last: int,
    as_json: bool,
) -> None:
    """Ask a policy once more what it was asked in RECORDING.

    RECORDING is a rosbag2 bag (folder, .mcap, .db3): how far are the policy's commands those that
    were recorded? Or a black box that a policy node wrote at a fault (blackbox-TIME.npz): why was
    the robot stopped, and would the policy answer the same again?
    """
    if recording.suffix == ".npz":
        if len(policies) > 1:
            raise CommandError("a black box is replayed through one --policy")
        _black_box(recording, policies, runtime, precision, embodiment, last, as_json)
        return
    from lram_ros.replay.bag.record import Part
    from lram_ros.replay.bag.run import ReplayOptions, replay_bag
    from lram_ros.replay.bag.thresholds import Thresholds, parse_max_error

    if not recording.exists():
        raise CommandError(f"{recording}: no such bag; expected a folder, a .mcap or a .db3 file")
    if not policies:
        raise CommandError(f"{recording}: give the bundle to replay it through: --policy FOLDER")
    if not start < end:
        raise CommandError(f"--from {start:g} is not before --to {end:g}")
    options = ReplayOptions(
        bag=recording,
        policies=policies,
        contract=find_contract(contract or "metaworld"),
        namespace=namespace,
        part=Part(start, end),
        target_return=target_return,
        runtime=runtime,
        precision=precision,
        embodiment=embodiment,
        live=live,
        rate=rate,
        out=out,
        thresholds=Thresholds(
            max_error=tuple(map(parse_max_error, max_errors)),
            min_accuracy=min_accuracy,
            max_perplexity=max_perplexity,
            parity=parity,
        ),
        as_json=as_json,
    )
    with exit_when_stopped():
        missed = replay_bag(options, Console())
    for line in missed:
        click.echo(f"missed: {line}", err=True)
    if missed:
        sys.exit(MISSED)


def _black_box(
    recording: Path,
    policies: tuple[Path, ...],
    runtime: str,
    precision: str,
    embodiment: str,
    last: int,
    as_json: bool,
) -> None:
    found = Recording.load(recording)
    outcome = None
    for policy in policies:
        loaded = Policy.load(policy, runtime=runtime, precision=precision, embodiment=embodiment)
        outcome = replay_black_box(found, loaded)
    if as_json:
        facts: dict[str, object] = {"reason": found.reason, "time": found.time}
        facts |= {"about": found.about, "ticks": len(found)}
        if outcome is not None:
            facts["replay"] = outcome.summary()
        click.echo(json.dumps(facts, indent=1))
        return
    console = Console()
    for table in black_box_tables(found, last):
        console.print(table)
    if outcome is not None:
        for line in replay_lines(outcome, found.layout.actions):
            console.print(line)
