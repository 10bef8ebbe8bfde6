"""The commands ``lram collect``, ``lram eval`` and ``lram train-expert``; thin shells."""

from __future__ import annotations

import time
from pathlib import Path

import click

from lram_core.errors import listed
from lram_core.runtimes import AUTO, RUNTIMES
from lram_sim.cameras import Cameras
from lram_sim.generate import SELECTIONS
from lram_sim.suite import EVALUATION_SEED, reference_returns
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks, split_name
from lram_sim.workers import PolicySource, Runner, run_parallel

_TASKS = "Comma-separated tasks and splits, e.g. ml45-train or reach-v3,push-v3."
_workers = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=None,
    help="Processes (default: the number of processors).",
)
_ray = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Run on a Ray cluster: auto, HOST:PORT, or local for one of this machine.",
)


def _runner(ray: str | None, suite: str, cameras: Cameras | None) -> Runner:
    if ray is None:
        return run_parallel
    from lram_sim.ray_workers import RayCluster

    return RayCluster(ray, suite, cameras.gl) if cameras else RayCluster(ray, suite)


@click.command()
@click.argument("suite")
@click.option("--tasks", required=True, help=_TASKS)
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
@_workers
@_ray
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
        runner = _runner(ray, suite, cameras)
        tallies = run(
            found, names, recipe, out, workers, rollin, tasks, sources, advance, runner, cameras
        )
    if sources is None:
        collection_table(tallies, out)
    else:
        collection_table(tallies, out, "generation success")


@click.command()
@click.option(
    "--bundle",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Policy bundle to evaluate.",
)
@click.option("--expert", is_flag=True, help="Evaluate the suite's experts instead.")
@click.option("--suite", default="metaworld", show_default=True)
@click.option("--tasks", help=_TASKS)
@click.option(
    "--split",
    help="Instead of --tasks: train or heldout, by whatever name the suite has for it, or another "
    "of its splits.",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=None,
    help="A task and block of seeds [default: 10]; with --trials: lives a task [default: 1].",
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=None,
    help="Keep the state over so many episodes of a task: learning in context (suite darkroom).",
)
@click.option("--greedy", is_flag=True, help="With --trials: always the likeliest action.")
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    default=[EVALUATION_SEED],
    show_default=True,
    help="First reset seed, repeated for more blocks; demonstrations use seeds below the default.",
)
@click.option("--target-return", type=float, help="Return to ask for (default: the bundle's).")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or auto.")
@click.option("--runtime", default=AUTO, show_default=True, help=f"{', '.join([AUTO, *RUNTIMES])}.")
@click.option("--precision", default="", help="Of the weights (default: the runtime's own).")
@_workers
@_ray
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the results."
)
def evaluate(
    bundle: Path | None,
    expert: bool,
    suite: str,
    tasks: str | None,
    split: str | None,
    episodes: int | None,
    trials: int | None,
    greedy: bool,
    seeds: tuple[int, ...],
    target_return: float | None,
    device: str,
    runtime: str,
    precision: str,
    workers: int | None,
    ray: str | None,
    out: Path,
) -> None:
    """Measure success rates or returns by rollouts in this machine's simulator, without ROS.

    Writes report.html, results.csv (a row a task) and results.json (all episodes) into --out.
    With --trials: curve.svg, trials.csv (a row a trial) and trials.json.
    """
    from lram_sim import evaluate as evaluation
    from lram_sim.summaries import broken_episodes, summaries
    from lram_sim.tables import evaluation_table, step_progress

    if expert == (bundle is not None):
        raise click.UsageError("give either --bundle or --expert")
    if (tasks is None) == (split is None):
        raise click.UsageError("give either --tasks or --split")
    found = get_suite(suite)
    if split is not None:
        tasks = split_name(found, split)
    names = resolve_tasks(found, tasks or "")
    if trials is not None:
        if bundle is None:
            raise click.UsageError("--trials needs --bundle: an expert has nothing to find out")
        if ray is not None:
            raise click.UsageError("--ray does not go with --trials: they run in one process")
        from lram_sim import darkroom_commands
        from lram_sim.trials import Plan

        plan = Plan(names, episodes or 1, trials, target_return, seeds[0], greedy)
        darkroom_commands.evaluate(found, bundle, plan, out)
        return
    if greedy:
        raise click.UsageError("--greedy is an option of --trials")
    episodes = episodes or 10
    evaluation.check_writable(out)
    source, runs_on, cameras = None, None, None
    if bundle is not None:
        # Absolute: a worker of a cluster may run in another folder.
        source = PolicySource(str(bundle.absolute()), device, runtime, precision, suite)
        runs_on = evaluation.check_policy(source, found)
        cameras = Cameras.of_policy(source.contract().observation)
    with step_progress("evaluating", len(names) * episodes * len(seeds)) as advance:
        outcomes = evaluation.evaluate(
            found,
            names,
            episodes,
            list(seeds),
            workers,
            source,
            target_return,
            advance,
            _runner(ray, suite, cameras),
        )
    subject = "experts" if bundle is None else str(bundle)
    parameters = {
        "subject": subject,
        "suite": suite,
        "tasks": names,
        "episodes": episodes,
        "first_seeds": list(seeds),
        "target_return": target_return,
        "runtime": runs_on,
        "versions": found.versions(),
    }
    references = reference_returns(found)
    evaluation.write_results(out, outcomes, parameters, references)
    title = f"{subject}, seeds from {listed(seeds)}"
    evaluation_table(summaries(outcomes, references), title, broken_episodes(outcomes))


@click.command()
@click.argument("suite")
@click.option("--task", required=True, help="The task to learn, e.g. swingup.")
@click.option("--decisions", type=click.IntRange(min=1), help="Length of the training.")
@click.option("--seed", type=click.IntRange(0, 400), default=0, show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of the expert's weights (safetensors).",
)
def train_expert(suite: str, task: str, decisions: int | None, seed: int, out: Path) -> None:
    """Train an expert for a task of SUITE (dmcontrol-cartpole, …) on one processor core.

    Needs the extra 'rl'. The network that does best in between is kept.
    """
    from dataclasses import replace

    from lram_sim import train_expert as training

    found = get_suite(suite)
    name = training.full_name(found, task)
    settings = replace(training.SETTINGS.get(name, training.Settings()), seed=seed)
    if decisions is not None:
        settings = replace(settings, decisions=decisions)
    click.echo(f"{name}: {settings.decisions} decisions of {settings.repeat} ticks", err=True)
    begin = time.monotonic()

    def progress(done: int, mean: float, best: float) -> None:
        left = (time.monotonic() - begin) / done * (settings.decisions - done)
        click.echo(
            f"{done}/{settings.decisions} decisions: return {mean:.0f}, best {best:.0f}, "
            f"{left / 60:.1f} min left",
            err=True,
        )

    best = training.train_expert(found, task, out, settings, progress)
    click.echo(f"{out}: mean return {best:.0f} of {settings.episodes} episodes")
