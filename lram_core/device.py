"""Where the model runs."""

from __future__ import annotations

import torch

from lram_core.errors import CommandError


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``: ``cpu``, ``cuda``, ``cuda:N``, or ``auto`` (CUDA where
    there is one).

    Raises:
        CommandError: an unknown name, or no such CUDA device here.
    """
    count = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if count else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise CommandError(f"unknown device {name!r}; available: auto, cpu, cuda, cuda:N")
    if kind == "cuda" and int(number or 0) >= count:
        raise CommandError(f"device {name!r} asked for, {count} CUDA device(s) found; use 'cpu'")
    return torch.device(name)
