"""The command ``lram collect``; a thin shell."""

from __future__ import annotations

from pathlib import Path

import click

from lram_sim.cameras import Cameras
from lram_sim.generate import SELECTIONS
from lram_sim.run_options import TASKS, ray_option, runner_for, workers_option
from lram_sim.suite import EVALUATION_SEED
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks


@click.command()
@click.argument("suite")
@click.option("--tasks", required=True, help=TASKS)
@click.option("--episodes", type=click.IntRange(min=1), required=True, help="Episodes a task.")
@click.option(
    "--seed",
    type=click.IntRange(0, EVALUATION_SEED - 1),
    default=0,
    show_default=True,
    help="First reset seed; evaluation uses seeds from 1000000000.",
)
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    default=None,
    help="Largest perturbation of the executed actions; 1 is the largest action (default 0.3; "
    "0.05 with --from-demos).",
)
@click.option(
    "--from-demos",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Dataset of a few demonstrations: their segments are moved to where the objects lie in "
    "new episodes and replayed, instead of the experts.",
)
@click.option(
    "--select",
    type=click.Choice(SELECTIONS),
    default=SELECTIONS[0],
    show_default=True,
    help="With --from-demos: demonstrations whose objects lay nearest, or any.",
)
@click.option(
    "--mix",
    is_flag=True,
    help="With --from-demos: choose anew for each segment, instead of once an episode.",
)
@click.option(
    "--rollin",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Policy bundle that drives the first 10 to 150 ticks of some episodes.",
)
@click.option(
    "--rollin-fraction",
    type=click.FloatRange(0, 1),
    default=None,
    help="Share of the episodes with a roll-in (default 0.5 with --rollin).",
)
@click.option(
    "--camera",
    "views",
    multiple=True,
    metavar="NAME[:WxH]",
    help="Record what a camera of the simulator sees, 84x84 pixels unless told otherwise; repeat "
    "it for more.",
)
@click.option(
    "--histories",
    is_flag=True,
    help="All trials of an agent that learns each task, from its first on (suite darkroom).",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="With --histories: keep one trial of so many.",
)
@workers_option
@ray_option
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the dataset."
)
def collect(
    suite: str,
    tasks: str,
    episodes: int,
    seed: int,
    noise: float | None,
    from_demos: Path | None,
    select: str,
    mix: bool,
    rollin: Path | None,
    rollin_fraction: float | None,
    views: tuple[str, ...],
    histories: bool,
    every: int,
    workers: int | None,
    ray: str | None,
    out: Path,
) -> None:
    """Collect demonstrations of SUITE (metaworld, robosuite-panda, …) from its experts.

    Only successful episodes are kept, up to their success. The same command goes on where an
    interrupted one was.
    """
    from lram_sim.collect import collect as run
    from lram_sim.demonstrate import Recipe
    from lram_sim.generate import Sources
    from lram_sim.tables import collection_table, step_progress

    cameras = Cameras.parse(views)
    found = get_suite(suite)
    names = resolve_tasks(found, tasks)
    if cameras is not None and histories:
        raise click.UsageError("--camera shows episodes of experts; not with --histories")
    if histories:
        unused = {"--ray": ray, "--from-demos": from_demos, "--rollin": rollin}
        for option, value in unused.items():
            if value is not None:
                raise click.UsageError(
                    f"{option} is for episodes of experts; all agents of --histories learn in one "
                    "process, from nothing"
                )
        from lram_sim import darkroom_commands

        darkroom_commands.collect(found, names, episodes, every, seed, out, tasks)
        return
    if every > 1:
        raise click.UsageError("--every is an option of --histories")
    if rollin_fraction is None:
        rollin_fraction = 0.5 if rollin else 0.0
    if noise is None:
        noise = 0.3 if from_demos is None else 0.05
    recipe = Recipe(episodes, seed, noise, rollin_fraction)
    sources = None if from_demos is None else Sources(from_demos, select, mix)
    with step_progress("collecting", len(names) * episodes) as advance:
        runner = runner_for(ray, suite, cameras)
        tallies = run(
            found, names, recipe, out, workers, rollin, tasks, sources, advance, runner, cameras
        )
    if sources is None:
        collection_table(tallies, out)
    else:
        collection_table(tallies, out, "generation success")
