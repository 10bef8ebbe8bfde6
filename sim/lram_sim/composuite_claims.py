"""The Composuite tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes: ``python -m benchmarks.expert_rates``. It can be tried in the
others, but it fails too often, or was not measured, so no demonstrations are collected there.
"""

from __future__ import annotations

CLAIMED: dict[str, tuple[str, ...]] = {
    "panda": (
        "box-none-pickplace",
        "box-none-push",
        "box-none-shelf",
        "box-none-trashcan",
        "dumbbell-none-pickplace",
        "dumbbell-none-push",
        "dumbbell-none-shelf",
        "dumbbell-none-trashcan",
        "plate-none-pickplace",
        "plate-none-push",
        "plate-none-shelf",
        "plate-none-trashcan",
        "hollowbox-none-pickplace",
        "hollowbox-none-push",
        "hollowbox-none-shelf",
        "hollowbox-none-trashcan",
    ),
    "iiwa": (
        "box-none-pickplace",
        "box-none-push",
        "box-none-shelf",
        "box-none-trashcan",
        "dumbbell-none-pickplace",
        "dumbbell-none-push",
        "dumbbell-none-shelf",
        "dumbbell-none-trashcan",
        "plate-none-pickplace",
        "plate-none-push",
        "plate-none-shelf",
        "plate-none-trashcan",
        "hollowbox-none-pickplace",
        "hollowbox-none-push",
        "hollowbox-none-shelf",
        "hollowbox-none-trashcan",
    ),
    "jaco": (
        "box-none-pickplace",
        "box-none-push",
    ),
}
"""Robot → tasks."""
