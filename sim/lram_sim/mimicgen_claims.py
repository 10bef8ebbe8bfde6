"""The MimicGen tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes: ``lram eval --expert``. It can be tried in the others, but it fails
too often, or was not measured, so no demonstrations are collected there.
"""

from __future__ import annotations

CLAIMED: dict[str, tuple[str, ...]] = {
    "mimicgen-panda-osc": (
        "stack-d0",
        "threading-d0",
        "coffee-d0",
        "square-d0",
        "mug-cleanup-d0",
    ),
}
"""Suite → tasks."""
