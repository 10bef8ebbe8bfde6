"""The episode driver as a process for a launch file: runs its episodes, reports, ends.

Start: ``python -m lram_ros.episode_driver_node --ros-args -p tasks:=reach-v3 -p output:=DIR``.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from lram_core.errors import CommandError
from lram_core.signals import Stopped, StopRequest, run_process
from lram_ros.episode_driver import EpisodeDriver, make_plan, split_tasks
from lram_ros.process import declare, ros
from lram_ros.progress import run_with_progress
from lram_ros.report import RunInfo, describe_machine, write_all

READY_TIMEOUT = 120.0  # seconds; models and simulators load slowly on a busy machine

PARAMETERS: dict[str, tuple[Any, str]] = {
    "tasks": ("", "Tasks to run, separated by commas; required."),
    "episodes": (1, "Episodes of each task."),
    "seed": (0, "Seed of each task's first episode."),
    "max_steps": (0, "Step limit of an episode; 0: the task's own."),
    "output": ("", "Folder of report.html and summary.json; required."),
    "wait_for_recorder": (False, "Begin when a recorder has subscribed to everything."),
    "mode": ("", "Label of the report: lockstep or realtime."),
    "bundle": ("", "Label of the report: the bundle's folder."),
}
"""Parameters: default and description."""


def _run(stop: StopRequest) -> None:
    with ros():
        driver = EpisodeDriver(stop.check)
        try:
            values = {name: declare(driver, name, *spec) for name, spec in PARAMETERS.items()}
            drive(driver, values)
        except Stopped:
            print(f"stopped by {stop.reason}", file=sys.stderr)
        finally:
            driver.close()


def drive(driver: EpisodeDriver, values: dict[str, Any]) -> None:
    """Run the episodes that the parameters name and report them.

    Raises:
        CommandError: no output folder or no episode is named, or the run fails.
    """
    if not values["output"]:
        raise CommandError("parameter 'output' (folder of the report) is not set")
    tasks = split_tasks(values["tasks"])
    plan = make_plan(tasks, values["episodes"], values["seed"], values["max_steps"])
    output = Path(values["output"])
    output.mkdir(parents=True, exist_ok=True)
    started, begin = datetime.now().astimezone(), time.monotonic()
    console = Console()
    driver.wait_ready(values["wait_for_recorder"], READY_TIMEOUT)
    runtime = driver.policy_runtime()
    results = list(run_with_progress(driver, plan, console))
    info = RunInfo(
        suite=driver.suite,
        mode=values["mode"] or "as launched",
        bundle=Path(values["bundle"]).name or "policy",
        seed=values["seed"],
        control_rate=driver.control_rate,
        started=started.isoformat(timespec="seconds"),
        duration=time.monotonic() - begin,
        machine={**describe_machine(), "runtime": runtime or "not told by the policy"},
        notes=driver.notes,
    )
    write_all(output, results, info, console)


def main() -> None:
    """Exits with 0 when all episodes ran or a signal came, with 2 and one line on an error."""
    sys.exit(run_process(_run))


if __name__ == "__main__":
    main()
