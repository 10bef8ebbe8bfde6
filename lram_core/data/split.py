"""Which episodes are held out: a function of the episode itself, not of the run.

Whether an episode is held out follows from a hash of its suite, task and seed. So a run that
continues an earlier one, with the same data or with more, never validates on an episode that the
earlier one was trained on, and the same episode in two datasets is on one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def episode_hash(suite: str, task: str, seed: int) -> float:
    """Return a number in [0, 1) that is the same for the same episode everywhere, for ever."""
    digest = hashlib.blake2b(f"{suite}\0{task}\0{seed}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def hold_out(suite: str, tasks: Sequence[str], seeds: Sequence[int], fraction: float) -> list[bool]:
    """Return for each episode whether it is held out.

    Episodes whose hash is below ``fraction`` are; of a task without any, the one with the lowest
    hash is. More data can only bring a lower one that is new itself, so the promise above holds
    for these, too. A task of which nothing would remain is trained on, and not validated.

    Args:
        suite: of all the episodes.
        tasks, seeds: of each.
        fraction: to hold out, e.g. the paper's 0.025; 0 for none.
    """
    hashes = [episode_hash(suite, task, seed) for task, seed in zip(tasks, seeds, strict=True)]
    if not fraction:
        return [False] * len(hashes)
    held: set[int] = set()
    by_task: dict[str, list[int]] = {}
    for number, task in enumerate(tasks):
        by_task.setdefault(task, []).append(number)
    for numbers in by_task.values():
        lowest = min(hashes[n] for n in numbers)
        below = [n for n in numbers if hashes[n] < fraction or hashes[n] == lowest]
        if len(below) < len(numbers):
            held.update(below)
    return [number in held for number in range(len(hashes))]
