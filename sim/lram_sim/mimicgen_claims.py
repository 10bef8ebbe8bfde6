"""The MimicGen tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes: ``python -m benchmarks.expert_rates``. It can be tried in the
others, but it fails too often, or was not measured, so no demonstrations are collected there.
"""

from __future__ import annotations

CLAIMED: dict[str, tuple[str, ...]] = {
    "mimicgen-panda-osc": (
        "stack-d0",
        "stack-d1",
        "stack-three-d0",
        "stack-three-d1",
        "square-d0",
        "square-d1",
        "square-d2",
        "threading-d0",
        "threading-d1",
        "threading-d2",
        "three-piece-assembly-d0",
        "three-piece-assembly-d1",
        "coffee-d0",
        "coffee-d1",
        "coffee-d2",
        "mug-cleanup-d0",
        "mug-cleanup-d1",
        "nut-assembly-d0",
    ),
    "mimicgen-panda": (
        "stack-d0",
        "stack-d1",
        "stack-three-d0",
        "square-d0",
        "threading-d0",
        "threading-d1",
        "threading-d2",
        "coffee-d0",
        "coffee-d1",
        "coffee-d2",
        "mug-cleanup-d0",
        "mug-cleanup-d1",
    ),
}
"""Suite → tasks."""
