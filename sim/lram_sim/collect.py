"""``lram collect``: demonstrations of many tasks, in parallel, resumable, as one dataset.

Each work item (a task and a range of its episodes) becomes one part on disk beside the dataset. A
run that was killed at any moment goes on where it was, and ends with the same dataset as an
uninterrupted one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lram_core.data.parts import merge_parts, pack_part
from lram_core.errors import CommandError, LramError, listed
from lram_sim.cameras import Cameras, draw_once, with_cameras
from lram_sim.collection_parts import finished_tallies, keep_part, open_parts, read_tally
from lram_sim.demonstrate import STARTS, Demonstrator, Recipe, Tally, by_expert, demonstrate
from lram_sim.generate import Sources, described, read_sources
from lram_sim.policy_source import PolicySource, cached_policy, weights_of
from lram_sim.roll_in import check_sees_the_same
from lram_sim.suite import EVALUATION_SEED, Suite, dataset_schema
from lram_sim.task_choice import check_experts
from lram_sim.workers import (
    Runner,
    cached_task,
    default_workers,
    run_parallel,
    stopping,
)

CHUNK, CHUNK_SEEN = 20, 4
"""Episodes of one task in a work item, a second or two of work; and of those with pictures."""
FORMAT = 1
_REPLAYED = (
    "segments of demonstrations, moved with their objects and replayed, perturbed; labels are the "
    "clipped actions towards the moved paths"
)


@dataclass(frozen=True)
class Work:
    """One item: episodes ``start`` … ``stop - 1`` of a task, to be written to ``part``."""

    suite: str
    task: str
    start: int
    stop: int
    recipe: Recipe
    roll_in: PolicySource | None
    part: Path
    demonstrator: Demonstrator = by_expert
    cameras: Cameras | None = None


def collect(
    suite: Suite,
    tasks: list[str],
    recipe: Recipe,
    out: Path,
    workers: int | None,
    bundle: Path | None = None,
    selection: str = "",
    sources: Sources | None = None,
    on_progress: Callable[[int, int], None] = lambda episodes, steps: None,
    run: Runner = run_parallel,
    cameras: Cameras | None = None,
) -> dict[str, Tally]:
    """Collect a dataset of demonstrations.

    Args:
        suite: whose tasks.
        tasks: names of the tasks.
        recipe: what determines the episodes.
        out: folder of the dataset; it appears when everything is collected.
        workers: number of processes; None for one a processor.
        bundle: policy that begins some episodes; needed if ``recipe.roll_in_fraction`` > 0.
        selection: how the tasks were asked for, e.g. ``ml45-train``; kept with the dataset.
        sources: demonstrations whose segments are replayed; None for the tasks' experts.
        on_progress: called with the number of episodes just dealt with and the ticks they took.
        run: what runs the work items: processes of this machine, or a cluster. The dataset is the
            same, bit for bit.
        cameras: whose pictures go behind the observation.

    Returns:
        Task → tally. If the dataset is there already, of the same parameters, nothing is run.

    Raises:
        CommandError: the parameters make no sense, or an expert fails (what the others gave is
            kept in ``out``).
        DataError: ``out`` or its parts were made with other parameters, or ``sources`` cannot be
            replayed here.
        CommandError: a camera is unknown, or nothing can be drawn.
        TaskError: a task has no expert; or ``sources`` are given and it has no subtasks.
        BundleError: ``bundle`` is none, or a worker's machine has it not.
        ContractError: ``bundle`` is not of this suite, or looks at other pictures.
    """
    parameters = _parameters(suite, tasks, recipe, bundle, sources, cameras)
    if bundle is not None:
        check_sees_the_same(bundle, suite, cameras)
    driver = "the expert" if sources is None else "the generation from demonstrations"
    if out.exists():
        tallies = finished_tallies(out, parameters)
        _check_complete(tallies, recipe.episodes, out, driver)
        return tallies
    demonstrators: dict[str, Demonstrator] = dict.fromkeys(tasks, by_expert)
    if sources is None:
        check_experts(suite, tasks)
    else:
        demonstrators = read_sources(suite, tasks, sources, workers or default_workers())
    if cameras is not None:
        with closing(run(draw_once, [(suite.name, tasks[0], cameras)], 1)) as drawn:
            list(drawn)
    parts = open_parts(out, parameters)
    roll_in = None
    if bundle is not None:
        weights = parameters["roll_in_weights"]
        roll_in = PolicySource(str(bundle.absolute()), suite=suite.name, weights=weights)
    works = _works(suite, demonstrators, recipe, parts, roll_in, cameras)
    try:
        tallies = _make_parts(works, workers, run, on_progress)
    except LramError:
        if not any(work.part.exists() for work in works):
            shutil.rmtree(parts)  # else another command with the same --out would be refused
        raise

    made = [work.part for work in works if work.part.exists()]
    if any(tally.collected for tally in tallies.values()):
        provenance = _provenance(parameters, tallies, bundle, selection)
        if sources is not None:
            provenance["source"] = _REPLAYED
            provenance["demonstrations"] = described(sources, demonstrators)
        merge_parts(made, out, dataset_schema(with_cameras(suite, cameras)), provenance)
        shutil.rmtree(parts)
    _check_complete(tallies, recipe.episodes, out, driver)
    return tallies


def _works(
    suite: Suite,
    demonstrators: dict[str, Demonstrator],
    recipe: Recipe,
    parts: Path,
    roll_in: PolicySource | None,
    cameras: Cameras | None,
) -> list[Work]:
    """Return all work items, task by task."""
    chunk = CHUNK if cameras is None else CHUNK_SEEN
    return [
        Work(
            suite.name,
            task,
            start,
            min(start + chunk, recipe.episodes),
            recipe,
            roll_in,
            parts / f"{index:03d}-{start:06d}.npz",
            demonstrator,
            cameras,
        )
        for index, (task, demonstrator) in enumerate(demonstrators.items())
        for start in range(0, recipe.episodes, chunk)
    ]


def _make_parts(
    works: list[Work],
    workers: int | None,
    run: Runner,
    on_progress: Callable[[int, int], None],
) -> dict[str, Tally]:
    """Run the work items that have no part yet; returns task → tally of all there are.

    Raises LramError: as :func:`collect`; the parts made before it are kept.
    """
    tallies = {work.task: Tally() for work in works}
    broken: set[str] = set()

    def finished(work: Work, tally: Tally, ticks: int) -> None:
        tallies[work.task].add(tally)
        if tally.given_up and not tally.collected:
            broken.add(work.task)
        on_progress(work.stop - work.start, ticks)

    todo = []
    for work in works:
        if work.part.exists():
            finished(work, read_tally(work.part), 0)
        else:
            todo.append(work)

    def items() -> Iterator[Work]:
        for work in todo:
            # A chunk without a single success: trying the task's other chunks would take long.
            if work.task not in broken:
                yield work

    if workers is not None:
        workers = min(workers, max(1, len(todo)))
    with closing(run(_run_work, items(), workers)) as results:
        for work, tally, part in results:
            keep_part(work.part, tally, part)
            finished(work, tally, tally.steps)
    return tallies


def _run_work(work: Work) -> tuple[Work, Tally, bytes]:
    """Run on a worker, which need not have the folder of the parts; returns the part's content."""
    begin = time.perf_counter()
    task = cached_task(work.suite, work.task, work.cameras)
    episodes, tally = demonstrate(
        task,
        range(work.start, work.stop),
        work.recipe,
        cached_policy(work.roll_in) if work.roll_in else None,
        stopping,
        work.demonstrator,
    )
    tally.seconds = time.perf_counter() - begin
    return work, tally, pack_part(episodes, task.observation_fields)


def _parameters(
    suite: Suite,
    tasks: list[str],
    recipe: Recipe,
    bundle: Path | None,
    sources: Sources | None,
    cameras: Cameras | None,
) -> dict[str, Any]:
    """Check the parameters and return all that determine the dataset, as plain data."""
    if recipe.episodes < 1:
        raise CommandError(f"episodes must be at least 1, found {recipe.episodes}")
    last = recipe.seed + STARTS * recipe.episodes - 1
    if recipe.seed < 0 or last >= EVALUATION_SEED:
        raise CommandError(
            f"seeds {recipe.seed} … {last} would be used; demonstrations use "
            f"0 … {EVALUATION_SEED - 1}, evaluation the seeds from {EVALUATION_SEED}"
        )
    if not 0 <= recipe.noise <= 1:
        raise CommandError(f"noise must be between 0 and 1, found {recipe.noise}")
    if not 0 <= recipe.roll_in_fraction <= 1:
        raise CommandError(
            f"the roll-in fraction must be between 0 and 1, found {recipe.roll_in_fraction}"
        )
    if (bundle is None) != (recipe.roll_in_fraction == 0):
        raise CommandError("a roll-in needs both a bundle and a fraction above 0")
    if bundle is not None and sources is not None:
        raise CommandError(
            "a roll-in needs an expert that takes over anywhere; segments of demonstrations do not"
        )
    if cameras is not None and sources is not None:
        raise CommandError("cameras show episodes of experts, not segments of demonstrations")
    weights = None if bundle is None else weights_of(bundle)
    parameters = {
        "format": FORMAT,
        "suite": suite.name,
        "tasks": tasks,
        **asdict(recipe),
        "roll_in_weights": weights,
        "versions": suite.versions(),
        "demonstrations": None if sources is None else sources.parameters(),
    }
    if cameras is not None:  # else as in releases that had none: their parts are still taken up
        parameters["cameras"] = cameras.parameters()
    return parameters


def _provenance(
    parameters: dict[str, Any], tallies: dict[str, Tally], bundle: Path | None, selection: str
) -> dict[str, Any]:
    return {
        "selection": selection or ",".join(parameters["tasks"]),
        "roll_in_bundle": str(bundle) if bundle else None,
        "source": "the suite's experts, perturbed; labels are the experts' own clipped actions",
        "parameters": parameters,
        "tasks": {task: asdict(tally) for task, tally in tallies.items()},
    }


def _check_complete(tallies: dict[str, Tally], episodes: int, out: Path, driver: str) -> None:
    """Raises CommandError if a task gave less than half of what was asked for."""
    failed = [
        f"{task} ({tally.collected} of {episodes} episodes after {tally.tries} tries"
        f"{f'; {tally.told_failures()}' if tally.failures else ''})"
        for task, tally in tallies.items()
        if 2 * tally.collected < episodes
    ]
    if failed:
        kept = f"; the other episodes are kept in {out}" if out.exists() else ""
        raise CommandError(f"{driver} fails in: {listed(failed)}{kept}")
