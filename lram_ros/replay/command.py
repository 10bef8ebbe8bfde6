"""The command ``lram replay``: a recording through a policy once more."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console

from lram_core.policy import Policy
from lram_core.runtimes import AUTO, RUNTIMES
from lram_ros.black_box import Recording
from lram_ros.replay.black_box import replay_black_box
from lram_ros.replay.black_box_table import black_box_tables, replay_lines


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--policy", type=click.Path(path_type=Path), help="Policy bundle to ask again.")
@click.option(
    "--runtime",
    default=AUTO,
    show_default=True,
    help=f"What runs the model: {', '.join([AUTO, *RUNTIMES])}.",
)
@click.option("--precision", default="", help="Of its weights (default: the runtime's own).")
@click.option("--embodiment", default="", help="Which one, of a bundle with several.")
@click.option(
    "--last", type=click.IntRange(min=1), default=20, show_default=True, help="Ticks to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print plain data instead of tables.")
def replay(
    recording: Path,
    policy: Path | None,
    runtime: str,
    precision: str,
    embodiment: str,
    last: int,
    as_json: bool,
) -> None:
    """Open RECORDING, a black box that a policy node wrote at a fault (blackbox-TIME.npz).

    Shows why the robot was stopped and the ticks before; with --policy, what the policy answers
    to the same inputs.
    """
    found = Recording.load(recording)
    loaded = None
    if policy is not None:
        loaded = Policy.load(policy, runtime=runtime, precision=precision, embodiment=embodiment)
    outcome = None if loaded is None else replay_black_box(found, loaded)
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
