"""Which machine a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def processor_name() -> str:
    """Return the processor's model name and the number of cores this process may use."""
    name = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0))
    return f"{name} ({cores} {'core' if cores == 1 else 'cores'})"


def machine_name(device: torch.device | str = "cpu") -> str:
    """Return the name of the GPU where ``device`` is one, of the processor otherwise."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name()
    return processor_name()
