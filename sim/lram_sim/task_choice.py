"""Which tasks of a suite: its splits and tasks by name, and those whose experts are claimed.

python -m lram_sim.task_choice metaworld mt10
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence

from lram_core.errors import LramError, TaskError, listed, near_names
from lram_sim.suite import Suite

_STANDARD_SPLITS = {
    "train": ("train", "ml45-train"),
    "heldout": ("heldout", "test", "ml45-test"),
}
"""What is learnt from and what never is → the names that suites have for it."""


def split_name(suite: Suite, wanted: str) -> str:
    """Return what the suite calls a split: ``train`` and ``heldout`` of any, or one of its own.

    Raises:
        TaskError: it has none of that name; lists those there are.
    """
    for name in _STANDARD_SPLITS.get(wanted, (wanted,)):
        if name in suite.splits:
            return name
    raise TaskError(
        f"suite '{suite.name}' has no split '{wanted}'; available: {listed(suite.splits)}"
    )


def resolve_tasks(suite: Suite, spec: str) -> list[str]:
    """Turn a comma-separated list of tasks and splits into task names, each once, in order.

    Raises:
        TaskError: a name is neither a task nor a split, or the list is empty.
    """
    known = suite.tasks()
    chosen: dict[str, None] = {}
    for item in (part.strip() for part in spec.split(",")):
        if not item:
            continue
        if item in suite.splits:
            chosen.update(dict.fromkeys(suite.splits[item]))
        elif item in known:
            chosen[item] = None
        else:
            raise unknown_task(item, suite.name, known, suite.splits)
    if not chosen:
        raise TaskError(f"no task given; splits of suite '{suite.name}': {listed(suite.splits)}")
    return list(chosen)


def unknown_task(task: str, suite: str, tasks: Sequence[str], splits: Collection[str]) -> TaskError:
    """Return the error that names what is near to ``task``, and the splits and tasks there are."""
    return TaskError(
        f"unknown task '{task}' of suite '{suite}'; {near_names(task, [*splits, *tasks])}"
        f"splits: {listed(splits)}; tasks: {listed(tasks)}"
    )


def check_experts(suite: Suite, tasks: Sequence[str]) -> None:
    """Raises TaskError if a task has no expert, or none that :func:`check_claimed` lets pass.

    Those that have one are the suite's optional attribute ``claimed``; without it, all.
    """
    claimed: Sequence[str] | None = getattr(suite, "claimed", None)
    for task in tasks if claimed is not None else ():
        check_claimed(task, suite.name, claimed or ())


def check_claimed(task: str, suite: str, claimed: Sequence[str]) -> None:
    """Raises TaskError if a task's expert was not measured to succeed; lists those that were."""
    if task not in claimed:
        raise TaskError(
            f"task '{task}' of suite '{suite}' has no expert that was measured to succeed "
            f"reliably; tasks with one: {listed(claimed)}"
        )


def main() -> None:
    """Write the tasks of a suite, of a list as :func:`resolve_tasks` takes it, a line each."""
    from lram_sim.suite_registry import get_suite

    if len(sys.argv) != 3:
        sys.exit("usage: python -m lram_sim.task_choice SUITE TASK,SPLIT,…")
    try:
        print(*resolve_tasks(get_suite(sys.argv[1]), sys.argv[2]), sep="\n")
    except LramError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
