"""What makes a bag unfit to be judged by: clocks that jumped, two publishers of the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lram_core.errors import DataError
from lram_ros.bags.recording import SECOND, Bag

if TYPE_CHECKING:
    from lram_ros.replay.bag.record import RecordedCommand

JUMP_S = 1.0
"""Difference between the way of two clocks from one message to the next that is a jump."""
_DAY = 86_400 * SECOND
_PART = "--from and --to replay a part of the bag"


class StampCheck:
    """Follows the stamps of one topic. Simulated time may stand still, but does not go back."""

    def __init__(self, bag: Bag, topic: str) -> None:
        self._bag, self._topic = bag, topic
        self._last: tuple[int, int] | None = None

    def see(self, time: int, stamp: int) -> None:
        """Take a message's time of recording and its stamp, ns.

        Raises:
            DataError: the stamps went back; or one of the clocks jumped, where both are system
                time; names bag, topic and time.
        """
        before, self._last = self._last, (time, stamp)
        if before is None:
            return
        if stamp < before[1]:
            raise DataError(
                f"{at(self._bag, self._topic, time)}: clock jump: the stamps go back by "
                f"{(before[1] - stamp) / SECOND:.3f} s; {_PART}"
            )
        recorded, stamped = (time - before[0]) / SECOND, (stamp - before[1]) / SECOND
        if abs(time - stamp) < _DAY and abs(recorded - stamped) > JUMP_S:
            raise DataError(
                f"{at(self._bag, self._topic, time)}: clock jump: the stamps go on by "
                f"{stamped:.3f} s while the recorder's clock goes on by {recorded:.3f} s; {_PART}"
            )


def refuse_two_publishers(
    bag: Bag,
    topics: Sequence[str],
    commands: Sequence[Sequence[RecordedCommand]],
    ticks: Sequence[int],
) -> None:
    """Refuse commands of which nobody can say who sent them.

    Args:
        bag: the recording.
        topics: full names of the command topics.
        commands: of each.
        ticks: when the traces of the policy were recorded, ns; empty where there are none.

    Raises:
        DataError: one observation has two answers; there are about two commands for each tick of
            the policy; or the recorder saw two publishers. Names bag, topic and time.
    """
    for topic, found in zip(topics, commands, strict=True):
        answers: dict[int, RecordedCommand] = {}
        for command in found:
            first = command if command.stamp is None else answers.setdefault(command.stamp, command)
            if not np.array_equal(first.values, command.values):
                raise DataError(
                    f"{at(bag, topic, command.time)}: two publishers: a second answer to the "
                    f"inputs of stamp {(command.stamp or 0) / SECOND:.3f} s, with other values"
                )
        _refuse_doubled(bag, topic, found, ticks)
        if bag.topics[topic].publishers > 1:
            raise DataError(
                f"{at(bag, topic, found[0].time if found else bag.start)}: two publishers: the "
                f"recorder saw {bag.topics[topic].publishers} of this topic"
            )


def _refuse_doubled(
    bag: Bag, topic: str, commands: Sequence[RecordedCommand], ticks: Sequence[int]
) -> None:
    if len(ticks) < 3:
        return
    times = np.array([command.time for command in commands], dtype=np.int64)
    counts = np.diff(np.searchsorted(times, np.asarray(ticks, dtype=np.int64)))
    doubled = np.flatnonzero(counts >= 2)
    if len(doubled) * 2 <= len(counts):
        return
    first = int(np.searchsorted(times, ticks[doubled[0]]))
    raise DataError(
        f"{at(bag, topic, int(times[first + 1]))}: two publishers: {int(counts.sum())} commands "
        f"came in {len(counts)} ticks of the policy"
    )


def at(bag: Bag, topic: str, time: int) -> str:
    """Bag, topic and time, as every complaint about a message begins."""
    return f"bag {bag.path}: {topic} at {bag.when(time)}"
