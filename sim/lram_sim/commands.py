"""The commands ``lram collect``, ``lram eval`` and ``lram train-expert``; thin shells."""

from __future__ import annotations

import time
from pathlib import Path

import click

from lram_core.errors import listed
from lram_core.runtimes import AUTO, RUNTIMES
from lram_sim.suite import EVALUATION_SEED, get_suite, reference_returns, resolve_tasks
from lram_sim.workers import PolicySource, Runner, run_parallel

_tasks = click.option(
    "--tasks",
    required=True,
    help="Comma-separated tasks and splits, e.g. ml45-train or reach-v3,push-v3.",
)
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


def _runner(ray: str | None, suite: str) -> Runner:
    if ray is None:
        return run_parallel
    from lram_sim.ray_workers import RayCluster

    return RayCluster(ray, suite)


@click.command()
@click.argument("suite")
@_tasks
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
    default=0.3,
    show_default=True,
    help="Largest perturbation of the expert's actions; 1 is the largest action.",
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
    noise: float,
    rollin: Path | None,
    rollin_fraction: float | None,
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
    from lram_sim.tables import collection_table, step_progress

    found = get_suite(suite)
    names = resolve_tasks(found, tasks)
    if rollin_fraction is None:
        rollin_fraction = 0.5 if rollin else 0.0
    recipe = Recipe(episodes, seed, noise, rollin_fraction)
    with step_progress("collecting", len(names) * episodes) as advance:
        tallies = run(
            found, names, recipe, out, workers, rollin, tasks, advance, _runner(ray, suite)
        )
    collection_table(tallies, out)


@click.command()
@click.option(
    "--bundle",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Policy bundle to evaluate.",
)
@click.option("--expert", is_flag=True, help="Evaluate the suite's experts instead.")
@click.option("--suite", default="metaworld", show_default=True)
@_tasks
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="A task and block of seeds.",
)
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
    tasks: str,
    episodes: int,
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
    """
    from lram_sim import evaluate as evaluation
    from lram_sim.summaries import summaries
    from lram_sim.tables import evaluation_table, step_progress

    if expert == (bundle is not None):
        raise click.UsageError("give either --bundle or --expert")
    found = get_suite(suite)
    names = resolve_tasks(found, tasks)
    evaluation.check_writable(out)
    source, runs_on = None, None
    if bundle is not None:
        source = PolicySource(str(bundle), device, runtime, precision, suite)
        runs_on = evaluation.check_policy(source, found)
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
            _runner(ray, suite),
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
    evaluation_table(summaries(outcomes, references), f"{subject}, seeds from {listed(seeds)}")


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
