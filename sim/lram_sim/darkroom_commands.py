"""What ``lram collect --histories`` and ``lram eval --trials`` do; thin shells."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from lram_core.errors import CommandError
from lram_core.report.terminal import print_table
from lram_sim import trials
from lram_sim.darkroom_histories import collect_histories
from lram_sim.darkroom_suite import DarkRoomSuite
from lram_sim.suite import Suite
from lram_sim.tables import step_progress


def collect(
    suite: Suite, tasks: list[str], episodes: int, every: int, seed: int, out: Path, selection: str
) -> None:
    """Write learning histories, and say how good the agents have become."""
    rooms = _dark_rooms(suite)
    with step_progress("learning", len(tasks) * episodes) as advance:
        last = collect_histories(rooms, tasks, episodes, every, seed, out, selection, advance)
    mean = sum(last.values()) / len(last)
    click.echo(
        f"{out}: {len(last)} histories of {episodes} trials; mean return of their last tenth "
        f"{mean:.1f}, the least {min(last.values()):.1f} ({min(last, key=last.__getitem__)})"
    )


def evaluate(suite: Suite, bundle: Path, plan: trials.Plan, out: Path) -> None:
    """Run the trials of a policy, write and show the curves."""
    rooms = _dark_rooms(suite)
    trials.check_writable(out)
    with step_progress("evaluating", len(plan.tasks) * plan.lives * plan.trials) as advance:
        lives = trials.run_trials(bundle, rooms, plan, advance)
    parameters = {
        "subject": str(bundle),
        "suite": suite.name,
        **asdict(plan),
        "versions": suite.versions(),
    }
    curves = trials.write_results(out, rooms, lives, parameters)
    print_table(Console(), f"Mean return of {bundle}", *trials.table_rows(curves))


def _dark_rooms(suite: Suite) -> DarkRoomSuite:
    """Raises CommandError unless it is the suite whose state is kept over trials."""
    if not isinstance(suite, DarkRoomSuite):
        raise CommandError(
            f"learning histories and trials are of suite '{DarkRoomSuite.name}', "
            f"found '{suite.name}'"
        )
    return suite
