"""What a bag says besides the inputs' values: commands, traces, and when each message came."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.errors import DataError, LramError, listed
from lram_ros.assembly import stamp_of
from lram_ros.bag_tracks import check_definition
from lram_ros.bags.recording import SECOND, Bag, BagMessage
from lram_ros.bags.survey import Survey, Times, full_name, survey
from lram_ros.contract_check import check_types
from lram_ros.control import input_names
from lram_ros.replay.bag.checks import at, refuse_doubled
from lram_ros.robot_contract import RobotContract

TRACE = "policy/tick"


@dataclass(frozen=True)
class RecordedTrace:
    """A ``PolicyTick``: ``time`` of recording and ``stamp`` of its inputs, ns."""

    time: int
    stamp: int
    message: Any


@dataclass(frozen=True)
class Stream:
    """When the messages of a topic came.

    Attributes:
        topic: full name.
        max_age: s, as the contract has it; None for a topic that is no input.
        times: (N,) of recording, ns.
        stamps: (N,) of the headers, ns; empty where there is no header.
        system_time: whether the stamps are of the recorder's clock, not simulated.
    """

    topic: str
    max_age: float | None
    times: Times
    stamps: Times
    system_time: bool


@dataclass(frozen=True)
class BagRecord:
    """Everything about a bag that fits into memory; the inputs' values are read as they are used.

    Attributes:
        survey: topics, times and commands; its clocks were checked.
        inputs: full names of the contract's inputs, in the order of ``RobotContract.topics``.
        streams: of each of them, then of each command topic.
        traces: of the policy that was recorded; empty where there was none.
        start: of the bag, ns: where its time is counted from.
        first, last: message of an input or a command, ns.
        notes: what could not be used.
    """

    survey: Survey
    inputs: tuple[str, ...]
    streams: tuple[Stream, ...]
    traces: list[RecordedTrace]
    start: int
    first: int
    last: int
    notes: tuple[str, ...]

    @property
    def duration(self) -> float:
        return (self.last - self.first) / SECOND


@dataclass(frozen=True)
class Part:
    """What of a bag is replayed, in seconds since its first message."""

    start: float = 0.0
    end: float = float("inf")


class BagPart(Bag):
    """A bag of which only a part is read.

    Raises:
        DataError: as :class:`Bag`.
    """

    def __init__(self, path: Path | str, part: Part) -> None:
        super().__init__(path)
        self._part = part
        if part == Part():
            return
        counts = dict.fromkeys(self.topics, 0)
        for message in self.messages(list(self.topics)):
            counts[message.topic] += 1
        for name, topic in self.topics.items():
            topic.count = counts[name]

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Yield the messages of some topics that are in the part."""
        for message in super().messages(topics):
            if self._part.start <= (message.time - self.start) / SECOND <= self._part.end:
                yield message


def read_record(bag: Bag, robot: RobotContract, namespace: str = "/") -> BagRecord:
    """Read commands, traces and times.

    Args:
        bag: the recording, or a part of it.
        robot: whose inputs and commands are looked for.
        namespace: in which the bag was recorded.

    Raises:
        LramError: a topic is missing, or has another type or definition; a clock jumped; two
            publishers sent commands; a message is damaged; the bag was recorded with another
            contract. Each names the bag, the topic and the time.
    """
    check_types(robot)
    found = survey(bag, robot, namespace, commanded=True, cutter=None)
    traces, notes = _traces(bag, robot, namespace)
    for track in found.commands:
        refuse_doubled(bag, track, np.array([trace.time for trace in traces], dtype=np.int64))
    inputs = tuple(found.names[topic.topic] for topic in robot.topics)
    nothing = np.empty(0, dtype=np.int64)
    streams = [
        Stream(
            name,
            topic.max_age,
            found.times[name],
            found.stamps.get(name, nothing),
            not found.simulated,
        )
        for name, topic in zip(inputs, robot.topics, strict=True)
    ]
    streams += [Stream(t.topic, None, t.times, nothing, False) for t in found.commands]
    return BagRecord(
        survey=found,
        inputs=inputs,
        streams=tuple(streams),
        traces=traces,
        start=bag.start,
        first=min(int(stream.times[0]) for stream in streams),
        last=max(int(stream.times[-1]) for stream in streams),
        notes=(*found.notes, *notes),
    )


def _traces(
    bag: Bag, robot: RobotContract, namespace: str
) -> tuple[list[RecordedTrace], tuple[str, ...]]:
    """The traces, none where they are of no use; and why.

    Raises:
        DataError: they are of another contract.
    """
    topic = full_name(TRACE, namespace)
    about = bag.topics.get(topic)
    if about is None or not about.count:
        return [], (
            f"No {topic} in the bag: what the recorded policy answered, and how long it took, "
            f"is not known.",
        )
    try:
        check_definition(bag, topic)
    except LramError as error:
        return [], (f"{topic} is not used: {error}.",)
    traces = []
    for message in bag.messages([topic]):
        found = bag.decode(message)
        traces.append(RecordedTrace(message.time, stamp_of(found), found))
    first = traces[0]
    theirs, ours = list(first.message.input_name), list(input_names(robot))
    if theirs != ours:
        raise DataError(
            f"{at(bag, topic, first.time)}: recorded with another robot contract: its policy "
            f"read {listed(theirs)}, {robot.source} has {listed(ours)}"
        )
    return traces, ()
