"""The robosuite tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes. It can be tried in the others, but it fails too often, or was not
measured, so no demonstrations are collected there.
"""

from __future__ import annotations

BY_EVAL: dict[str, tuple[str, ...]] = {
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
    "robosuite-sawyer": (
        "lift",
        "stack",
    ),
    "robosuite-iiwa": (
        "lift",
        "stack",
        "pick-place-can",
    ),
    "robosuite-ur5e": (
        "lift",
        "stack",
        "pick-place-can",
    ),
}
"""Suite → tasks measured with ``lram eval --expert``; the manual has the figures."""
BY_RATES: dict[str, tuple[str, ...]] = {
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
    "robosuite-ur5e-osc": ("door",),
    "robosuite-kinova3": (
        "lift",
        "stack",
        "pick-place-can",
    ),
    "robosuite-jaco": (
        "lift",
        "stack",
        "pick-place-can",
        "pick-place-milk",
        "pick-place-cereal",
    ),
    "robosuite-panda-wiper": ("wipe",),
    "robosuite-sawyer-wiper": ("wipe",),
    "robosuite-iiwa-wiper": ("wipe",),
    "robosuite-ur5e-wiper": ("wipe",),
    "robosuite-kinova3-wiper": ("wipe",),
}
"""Suite → tasks measured with ``python -m benchmarks.expert_rates``; its report has the figures."""


def claimed(suite: str) -> frozenset[str]:
    """Return the tasks of a suite whose expert succeeds reliably."""
    return frozenset((*BY_EVAL.get(suite, ()), *BY_RATES.get(suite, ())))
