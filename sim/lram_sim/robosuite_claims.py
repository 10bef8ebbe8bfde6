"""The robosuite tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes. It can be tried in the others, but it fails too often, or was not
measured, so no demonstrations are collected there.
"""

from __future__ import annotations

CLAIMED: dict[str, tuple[str, ...]] = {
    "robosuite-iiwa": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "pick-place-cereal",
        "nut-assembly-round",
        "door",
    ),
    "robosuite-iiwa-osc": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "pick-place-cereal",
        "nut-assembly-round",
        "door",
    ),
    "robosuite-iiwa-wiper": ("wipe",),
    "robosuite-jaco": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-cereal",
        "door",
    ),
    "robosuite-jaco-osc": (
        "lift",
        "stack",
    ),
    "robosuite-kinova3": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "door",
    ),
    "robosuite-kinova3-osc": (
        "lift",
        "stack",
    ),
    "robosuite-kinova3-wiper": ("wipe",),
    "robosuite-panda": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "pick-place-cereal",
        "nut-assembly-square",
        "nut-assembly-round",
        "door",
    ),
    "robosuite-panda-osc": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "pick-place-cereal",
        "nut-assembly-square",
        "nut-assembly-round",
        "door",
    ),
    "robosuite-panda-wiper": ("wipe",),
    "robosuite-panda-wiper-osc": ("wipe",),
    "robosuite-sawyer": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-cereal",
        "door",
    ),
    "robosuite-sawyer-osc": (
        "lift",
        "stack",
        "pick-place-milk",
        "pick-place-cereal",
        "door",
    ),
    "robosuite-sawyer-wiper": ("wipe",),
    "robosuite-ur5e": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "pick-place-cereal",
        "nut-assembly-round",
        "door",
    ),
    "robosuite-ur5e-osc": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-bread",
        "pick-place-cereal",
        "nut-assembly-square",
        "door",
    ),
    "robosuite-ur5e-wiper": ("wipe",),
}
"""Suite → tasks measured with ``python -m benchmarks.expert_rates``; its report has the figures."""
