"""What a run ran on, for its report."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "mujoco", "rclpy")


def describe_machine(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Processor, system, Python and the versions of the packages that are installed."""
    cores = len(os.sched_getaffinity(0))
    machine = {
        "processor": f"{_processor()} ({cores} {'core' if cores == 1 else 'cores'})",
        "system": platform.platform(terse=True),
        "Python": platform.python_version(),
    }
    for package in packages:
        try:
            machine[package] = version(package)
        except PackageNotFoundError:
            continue
    return machine


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
