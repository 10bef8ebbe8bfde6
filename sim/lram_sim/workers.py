"""A pool of worker processes that shares nothing, dies with its parent and never hangs.

Workers are spawned, not forked: simulators and torch keep threads and locks that a fork would copy
in an unknown state.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from lram_core.errors import CommandError
from lram_sim.cameras import Cameras
from lram_sim.drawing import NOTHING, VARIABLE
from lram_sim.suite import Task
from lram_sim.suite_registry import get_suite

Item = TypeVar("Item")
Result = TypeVar("Result")

# Each worker is one core's worth of work, and draws only what its work asks for.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    VARIABLE: NOTHING,
}

_stop: Any = None


class Abandoned(Exception):
    """The run was stopped before this item of work was complete."""


def stopping() -> bool:
    """Tell a worker whether the run has been abandoned; ask it between episodes."""
    return bool(_stop is not None and _stop.is_set())


@lru_cache(maxsize=4)
def cached_task(suite: str, task: str, cameras: Cameras | None = None) -> Task:
    """Build a task once for the work items of this process; the last few are kept."""
    return cameras.make(suite, task) if cameras else get_suite(suite).make(task)


def default_workers() -> int:
    """Return the number of processors this process may run on."""
    return len(os.sched_getaffinity(0))


class Runner(Protocol):
    """What runs the work items: :func:`run_parallel`, or a cluster."""

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item], workers: int | None
    ) -> Generator[Result, None, None]:
        """Yield ``function(item)`` for each item, once, in the order of completion."""
        ...


def run_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None
) -> Generator[Result, None, None]:
    """Yield ``function(item)`` for each item, in the order of completion.

    Both must be picklable. ``workers`` is the number of processes, None for one a processor. When
    the caller leaves early, or an item raises, they end at their next call of :func:`stopping`.

    Raises:
        CommandError: a worker process died (out of memory, killed).
    """
    workers = workers or default_workers()
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with (
        _environment(WORKER_ENVIRONMENT),
        ProcessPoolExecutor(workers, context, _initialise, (stop,)) as pool,
    ):
        queue = iter(items)
        pending = set()
        try:
            # A short queue: what has not begun need not be cancelled, and pickles stay few.
            for item in queue:
                pending.add(pool.submit(function, item))
                if len(pending) < 2 * workers:
                    continue
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise CommandError(
                f"a worker process died (out of memory?); {workers} were running, "
                "fewer may fit (--workers)"
            ) from None
        finally:
            stop.set()
            for future in pending:
                future.cancel()


def _initialise(stop: Any) -> None:
    global _stop
    _stop = stop
    # Ctrl-C reaches the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables that spawned processes inherit, and put the old ones back."""
    old = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
