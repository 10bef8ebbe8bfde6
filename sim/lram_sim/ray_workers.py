"""Work over the processes of a Ray cluster, in the place of the pool of :mod:`lram_sim.workers`.

Ray runs an item again when its process or machine died. An item gives one result, whatever it took
to get it, and results do not depend on where they were made: so none is lost or counted twice.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from lram_core.errors import CommandError, LramError, one_line
from lram_sim.drawing import VARIABLE
from lram_sim.suite import package_versions
from lram_sim.suite_registry import get_suite
from lram_sim.workers import WORKER_ENVIRONMENT, Item, Result

LOCAL = "local"
"""Address that stands for a cluster of this machine, which lives as long as the run."""
RETRIES = 3
"""Times that an item is run again because a worker died with it."""
CONNECT_S = 10.0
_STORE_BYTES = 256 * 2**20  # results of a local cluster on their way; the rest is Ray's minimum


@dataclass(frozen=True)
class RayCluster:
    """Where the workers are; called as :func:`lram_sim.workers.run_parallel` is.

    Attributes:
        address: ``local``; ``auto`` for the cluster this machine belongs to; or where to find one:
            ``HOST:PORT``, or ``ray://HOST:PORT`` from outside of it.
        suite: whose packages, and ours, every worker must have in the versions of this process.
        gl: what MuJoCo draws with on the workers.
    """

    address: str
    suite: str
    gl: str = WORKER_ENVIRONMENT[VARIABLE]

    def __call__(
        self, function: Callable[[Item], Result], items: Iterable[Item], workers: int | None
    ) -> Generator[Result, None, None]:
        """Yield ``function(item)`` for each item, in the order of completion.

        Args:
            function: must be importable on the cluster.
            items: what it takes, picklable.
            workers: items at a time; None for as many as the cluster has processors.

        Raises:
            CommandError: Ray is not installed, the cluster cannot be reached or has other
                versions or fails, or an item's worker died again and again.
            LramError: as ``function``.
        """
        ray = _import_ray(self.address)
        versions = _versions(self.suite)
        mine = not ray.is_initialized()  # a caller's own connection is used, and left open
        if mine:
            _connect(ray, self.address, workers, self.gl)
        pending: list[Any] = []
        try:
            remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_run)
            count = workers or int(ray.cluster_resources().get("CPU", 1))
            for item in items:
                pending.append(remote.remote(function, item, self.suite, versions))
                if len(pending) >= 2 * count:
                    done, pending = ray.wait(pending)
                    yield from map(ray.get, done)
            while pending:
                done, pending = ray.wait(pending)
                yield from map(ray.get, done)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, LramError):
                raise error.cause from None
            raise
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
            raise CommandError(
                f"a Ray worker died {RETRIES + 1} times with the same item (out of memory?): "
                f"{one_line(error, 300)}"
            ) from None
        except ray.exceptions.RayError as error:
            raise CommandError(f"the Ray cluster failed: {one_line(error, 300)}") from None
        finally:
            for each in pending:
                ray.cancel(each, force=True)
            if mine:
                ray.shutdown()


def _import_ray(address: str) -> Any:
    # Ray reads its settings when it is imported; what the user has set stays.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # says nothing to anybody outside
    # Else an item that needs more memory than a machine has is run again without end.
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
    if address != LOCAL:
        # Else a quarter of an hour passes at the address of a cluster that has ended.
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "2")
        os.environ.setdefault("RAY_py_gcs_connect_timeout_s", str(int(CONNECT_S)))
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        raise CommandError(
            f"--ray needs the Python module '{error.name}', which is not installed: "
            "pip install 'lram_ros[ray]'"
        ) from None
    return ray


def _connect(ray: Any, address: str, workers: int | None, gl: str) -> None:
    options: dict[str, Any] = {"address": address}
    expected = (
        "'auto', 'local', or HOST:PORT of a cluster that 'ray start' has started, with its token "
        "if it has one (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN)"
    )
    if address == LOCAL:
        count = workers or len(os.sched_getaffinity(0))
        options |= {"num_cpus": count, "object_store_memory": _STORE_BYTES}
        options["include_dashboard"] = False
        expected = "a start within 30 s, which a busy machine may not manage"
    try:
        _knock(address)
        ray.init(
            **options,
            log_to_driver=False,
            logging_level="CRITICAL",
            runtime_env={"env_vars": {**WORKER_ENVIRONMENT, VARIABLE: gl}},
        )
    except Exception as error:  # Ray raises nothing more special where a start fails
        raise CommandError(
            f"no Ray cluster at '{address}': {one_line(error, 300)}; expected {expected}"
        ) from None


def _knock(address: str) -> None:
    """Raises OSError if nobody listens at ``HOST:PORT``: Ray itself waits there for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()


@lru_cache(maxsize=4)
def _versions(suite: str) -> dict[str, str]:
    return {**get_suite(suite).versions(), **package_versions("lram_ros", "torch")}


def _run(
    function: Callable[[Item], Result], item: Item, suite: str, versions: dict[str, str]
) -> Result:
    """Run on a worker. Other versions would give other numbers: they are refused."""
    if (found := _versions(suite)) != versions:
        different = ", ".join(
            f"{name} {found.get(name)} (here {versions[name]})"
            for name in versions
            if found.get(name) != versions[name]
        )
        raise CommandError(f"a machine of the Ray cluster has other versions: {different}")
    return function(item)
