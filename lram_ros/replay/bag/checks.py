"""Commands of which nobody can say who sent them."""

from __future__ import annotations

import numpy as np

from lram_core.errors import DataError
from lram_ros.bags.recording import Bag
from lram_ros.bags.survey import CommandTrack, Times


def refuse_doubled(bag: Bag, track: CommandTrack, ticks: Times) -> None:
    """Refuse about two commands for each tick of the policy that was recorded.

    Two publishers whose commands carry no stamp show in this alone.

    Args:
        bag: the recording.
        track: the commands of one topic.
        ticks: when the traces of the policy were recorded, ns.

    Raises:
        DataError: names bag, topic and time.
    """
    if len(ticks) < 3:
        return
    times = track.times
    counts = np.diff(np.searchsorted(times, ticks))
    doubled = np.flatnonzero(counts >= 2)
    if len(doubled) * 2 <= len(counts):
        return
    first = int(np.searchsorted(times, ticks[doubled[0]]))
    raise DataError(
        f"{at(bag, track.topic, int(times[first + 1]))}: two publishers: "
        f"{int(counts.sum())} commands came in {len(counts)} ticks of the policy"
    )


def at(bag: Bag, topic: str, time: int) -> str:
    """Bag, topic and time, as every complaint about a message begins."""
    return f"bag {bag.path}: {topic} at {bag.when(time)}"
