"""Kernels that start before the one before them is done (programmatic dependent launch).

A kernel of a tick asks for its weights, which nobody writes, and only then waits for what the
kernel before it makes. So memory is never idle between two launches, and most of what a launch
costs is hidden. Compute capability 9.0 or later.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl


def options(device: torch.device) -> dict[str, Any]:
    """Return the launch options of a kernel that has ``early`` and calls :func:`wait` once."""
    early = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 9
    return {"early": early, "launch_pdl": early}


@triton.jit
def wait(early: tl.constexpr):  # type: ignore[no-untyped-def]
    """Let the next kernel start, then wait until the one before is done, all memory written."""
    if early:
        tl.extra.cuda.gdc_launch_dependents()
        tl.extra.cuda.gdc_wait()
