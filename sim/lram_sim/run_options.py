"""Options that ``lram collect`` and ``lram eval`` share: which tasks, and what runs them."""

from __future__ import annotations

import click

from lram_sim.cameras import Cameras
from lram_sim.workers import Runner, run_parallel

TASKS = "Comma-separated tasks and splits, e.g. ml45-train or reach-v3,push-v3."
workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=None,
    help="Processes (default: the number of processors).",
)
ray_option = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Run on a Ray cluster: auto, HOST:PORT, or local for one of this machine.",
)


def runner_for(ray: str | None, suite: str, cameras: Cameras | None) -> Runner:
    """Return what runs the work of a command: processes here, or the cluster at ``ray``.

    Args:
        ray: address as the option takes it; None for processes of this machine.
        suite: name of the suite, whose packages each machine must have.
        cameras: what has to be drawn; None for nothing.
    """
    if ray is None:
        return run_parallel
    from lram_sim.ray_workers import RayCluster

    return RayCluster(ray, suite, cameras.gl) if cameras else RayCluster(ray, suite)
