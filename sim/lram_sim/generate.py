"""Source demonstrations of ``lram collect --from-demos``: read once, handed to every process."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lram_core.data.store import Dataset
from lram_sim.demonstrate import Demonstrator
from lram_sim.suite import Expert, Suite, Task
from lram_sim.workers import cached_task, run_parallel, stopping

# What cuts and replays is imported where it is needed: it brings robosuite's parts along, which
# a collection from the experts of another suite does without.
if TYPE_CHECKING:
    from lram_sim.segments import Library

SELECTIONS = ("nearest", "random")
"""How a source demonstration is chosen: by where the objects lie, or any."""


@dataclass(frozen=True)
class Sources:
    """A dataset of source demonstrations and how their segments are chosen.

    Attributes:
        path: the dataset.
        selection: one of :data:`SELECTIONS`.
        mixed: choose anew for each segment, instead of once an episode.
    """

    path: Path
    selection: str = "nearest"
    mixed: bool = False

    def parameters(self) -> dict[str, Any]:
        """Return what determines the generated episodes, as plain data."""
        return {
            "dataset": Dataset.open(self.path).checksums,
            "selection": self.selection,
            "mixed": self.mixed,
        }


@dataclass(frozen=True)
class Replays:
    """Makes what drives an episode; see :class:`lram_sim.demonstrate.Demonstrator`."""

    suite: str
    library: Library
    sources: Sources

    def __call__(self, task: Task, rng: np.random.Generator) -> Expert:
        from lram_sim.replay_segments import SegmentReplay
        from lram_sim.segments import segmented

        found, nearest = segmented(task, self.suite), self.sources.selection == "nearest"
        return SegmentReplay(found, self.library, nearest, rng, self.sources.mixed)


def read_sources(
    suite: Suite, tasks: list[str], sources: Sources, workers: int
) -> dict[str, Demonstrator]:
    """Cut the demonstrations for each task, in parallel.

    Raises:
        DataError: there are none of a task, or they cannot be replayed here.
        TaskError: a task has no subtasks.
    """
    from lram_sim.segments import source_suite, source_task

    dataset = Dataset.open(sources.path)
    origin = source_suite(dataset, suite)
    items = [(sources, suite.name, task, origin.name, source_task(dataset, task)) for task in tasks]
    with closing(run_parallel(_read, items, min(workers, len(items)))) as results:
        found = dict(results)
    return {task: found[task] for task in tasks}


def _read(item: tuple[Sources, str, str, str, str]) -> tuple[str, Replays]:
    from lram_sim.replay_segments import check_subtasks
    from lram_sim.segments import read_library, segmented

    sources, suite, task, origin, original = item
    target = segmented(cached_task(suite, task), suite)
    source = segmented(cached_task(origin, original), origin)
    dataset = Dataset.open(sources.path)
    library = read_library(dataset, source, stopping)
    check_subtasks(target, library)
    return task, Replays(suite, library, sources)


def described(sources: Sources, demonstrators: dict[str, Demonstrator]) -> dict[str, Any]:
    """Return which demonstrations a dataset was made from, as plain data."""
    libraries = {
        task: found.library for task, found in demonstrators.items() if isinstance(found, Replays)
    }
    return {
        "path": str(sources.path),
        "suite": Dataset.open(sources.path).schema.suite,
        "tasks": {
            task: {
                "task": library.task,
                "episodes": [d.number for d in library.demonstrations],
                "left_out": library.left_out,
            }
            for task, library in libraries.items()
        },
    }
