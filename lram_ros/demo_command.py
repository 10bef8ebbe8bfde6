"""The command ``lram demo``; a thin shell over :func:`lram_ros.demo.run_demo`."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from lram_core.errors import CommandError
from lram_core.runtimes.command_options import precision_option, runtime_option
from lram_core.signals import exit_when_stopped
from lram_ros.demo import EPISODES, SEED, TASKS, DemoOptions, run_demo
from lram_ros.episode_driver import split_tasks


@click.command()
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Folder of the policy bundle (default: the one that is shipped).",
)
@click.option(
    "--suite",
    default="",
    help="Task suite, which the bundle must be of (default: the bundle's; metaworld of several).",
)
@click.option(
    "--tasks",
    default=",".join(TASKS),
    show_default=True,
    help="Tasks and splits, separated by commas.",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=EPISODES,
    show_default=True,
    help="Episodes a task.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=SEED,
    show_default=True,
    help="Seed of each task's first episode.",
)
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    default=None,
    help="Step limit of an episode (default: the task's).",
)
@click.option(
    "--mode",
    type=click.Choice(["lockstep", "realtime"]),
    default="lockstep",
    show_default=True,
    help="Advance on each command, or by the wall clock.",
)
@click.option(
    "--contract",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Robot contract (default: that of the suite).",
)
@click.option(
    "--robot-suite",
    default="",
    help="Suite that stands for the robot, where it is another one than the bundle's; needs "
    "--contract.",
)
@runtime_option
@precision_option
@click.option("--no-video", is_flag=True, help="Do not film the episodes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Folder of the results.",
)
def demo(
    bundle: Path | None,
    suite: str,
    tasks: str,
    episodes: int,
    seed: int,
    max_steps: int | None,
    mode: str,
    contract: Path | None,
    robot_suite: str,
    runtime: str,
    precision: str,
    no_video: bool,
    out: Path,
) -> None:
    """Run a policy in simulation through ROS 2, with a report.

    Simulator, policy and recorder run as processes that talk over DDS on this machine. Leaves
    video, bag, report.html and summary.json in the results folder.
    """
    names = split_tasks(tasks)
    if len(set(names)) != len(names):
        raise CommandError(f"--tasks names a task twice: {', '.join(names)}")
    options = DemoOptions(
        out=out,
        bundle=bundle,
        suite=suite,
        tasks=tuple(names),
        episodes=episodes,
        seed=seed,
        max_steps=max_steps or 0,
        mode=mode,
        contract=contract,
        robot_suite=robot_suite,
        video=not no_video,
        runtime=runtime,
        precision=precision,
    )
    with exit_when_stopped():
        run_demo(options, Console())
