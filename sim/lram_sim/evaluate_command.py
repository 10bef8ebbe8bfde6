"""The command ``lram eval``; a thin shell."""

from __future__ import annotations

from pathlib import Path

import click

from lram_core.errors import listed
from lram_core.runtimes.command_options import precision_option, runtime_option
from lram_sim.cameras import Cameras
from lram_sim.policy_source import PolicySource, weights_of
from lram_sim.run_options import TASKS, ray_option, runner_for, workers_option
from lram_sim.suite import EVALUATION_SEED, reference_returns
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks, split_name


@click.command()
@click.option(
    "--bundle",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Policy bundle to evaluate.",
)
@click.option("--expert", is_flag=True, help="Evaluate the suite's experts instead.")
@click.option("--suite", default="metaworld", show_default=True, help="Task suite.")
@click.option("--tasks", help=TASKS)
@click.option(
    "--split",
    help="Instead of --tasks: train or heldout, by whatever name the suite has for it, or another "
    "of its splits.",
)
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=None,
    help="Episodes a task and block of seeds (default: 10); with --trials: lives a task "
    "(default: 1).",
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
    help="First reset seed, repeatable for more blocks; demonstrations use seeds below "
    "the default.",
)
@click.option("--target-return", type=float, help="Return to ask for (default: the bundle's).")
@click.option(
    "--device", default="cpu", show_default=True, help="Where the model runs: cpu, cuda or auto."
)
@runtime_option
@precision_option
@workers_option
@ray_option
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
        path, weights = str(bundle.absolute()), weights_of(bundle)
        source = PolicySource(path, device, runtime, precision, suite, weights)
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
            runner_for(ray, suite, cameras),
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
