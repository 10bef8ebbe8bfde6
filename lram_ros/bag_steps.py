"""In which portions a bag is played: message by message, or a whole set at a time. No rclpy."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from lram_core.errors import DataError

Message = tuple[int, str, bytes]
"""Time of recording (ns), topic in the bag, serialized message."""

_WINDOW = 16
"""Newer sets that may be seen before an incomplete one is given up."""


@dataclass(frozen=True)
class Step:
    """What is published at once.

    Attributes:
        time: of recording, in nanoseconds.
        messages: (topic in the bag, serialized message), in the order of publishing.
        stamp: common stamp of a complete set in nanoseconds; None for anything else.
    """

    time: int
    messages: tuple[tuple[str, bytes], ...]
    stamp: int | None = None


def by_message(messages: Iterable[Message]) -> Iterator[Step]:
    """Each message by itself, as it was recorded."""
    for time, topic, data in messages:
        yield Step(time, ((topic, data),))


def by_set(
    messages: Iterable[Message],
    topics: Sequence[str],
    stamp_of: Callable[[str, bytes], int | None],
) -> Iterator[Step]:
    """Sets of one stamp, each a step; a set that was recorded twice comes once.

    A recorder may write the topics of two sets in any order, although the second was sent only
    when the first had been answered; here each set is whole again before the next one begins.

    Args:
        topics: of a complete set, in the order in which it is published.
        stamp_of: takes topic and serialized message, returns the stamp in nanoseconds, or None
            for a message that belongs to no set and is a step by itself.
    """
    waiting: deque[_Set] = deque()
    newest: dict[int, _Set] = {}
    last: int | None = None

    def done(given_up: bool = False) -> Iterator[Step]:
        nonlocal last
        while waiting and (waiting[0].complete or given_up or len(waiting) > _WINDOW):
            first = waiting.popleft()
            if newest.get(first.stamp) is first:
                del newest[first.stamp]
            if first.complete:
                repeated, last = first.stamp == last, first.stamp
                if repeated:  # because an answer was lost then
                    continue
            yield first.step()

    for time, topic, data in messages:
        stamp = stamp_of(topic, data)
        if stamp is None:
            yield from done()
            yield Step(time, ((topic, data),))
            continue
        found = newest.get(stamp)
        if found is None or topic in found.messages:
            found = newest[stamp] = _Set(stamp, topics)
            waiting.append(found)
        found.add(time, topic, data)
        yield from done()
    yield from done(given_up=True)


class _Set:
    def __init__(self, stamp: int, topics: Sequence[str]) -> None:
        self.stamp = stamp
        self.messages: dict[str, bytes] = {}
        self._topics = topics
        self._time = 0

    def add(self, time: int, topic: str, data: bytes) -> None:
        self.messages[topic] = data
        self._time = max(self._time, time)

    @property
    def complete(self) -> bool:
        return len(self.messages) == len(self._topics)

    def step(self) -> Step:
        there = tuple((t, self.messages[t]) for t in self._topics if t in self.messages)
        return Step(self._time, there, self.stamp if self.complete else None)


def header_stamp(data: bytes) -> int:
    """The stamp (ns) of a serialized message that begins with a ``std_msgs/Header``.

    Raises:
        DataError: the message is too short, or is not encoded as CDR.
    """
    if len(data) < 12 or data[0] != 0 or data[1] not in (0, 1):
        raise DataError(f"a message of the bag is damaged: it begins with {data[:12].hex()}")
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
    return int(seconds * 1_000_000_000 + nanoseconds)
