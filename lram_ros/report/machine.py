"""What a run ran on, for its report."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from lram_core.machine import processor_name

PACKAGES = ("torch", "mujoco", "rclpy")


def describe_machine(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Processor, system, Python and the versions of the packages that are installed."""
    machine = {
        "processor": processor_name(),
        "system": platform.platform(terse=True),
        "Python": platform.python_version(),
    }
    for package in packages:
        try:
            machine[package] = version(package)
        except PackageNotFoundError:
            continue
    return machine
