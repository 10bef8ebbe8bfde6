"""What a bag says besides the inputs' values: commands, traces, and when each message came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import DataError, LramError, listed
from lram_ros.adapters.base import Adapter
from lram_ros.adapters.registry import make_adapters
from lram_ros.assembly import stamp_of
from lram_ros.bag_steps import header_stamp
from lram_ros.bag_tracks import (
    CLOCK,
    Track,
    check_definition,
    check_there,
    full_name,
    has_clock,
    input_tracks,
)
from lram_ros.bags.recording import SECOND, Bag, BagMessage
from lram_ros.contract_check import check_types
from lram_ros.message_fields import Array, InputError, message_class
from lram_ros.replay.bag.checks import StampCheck, at, refuse_two_publishers
from lram_ros.robot_contract import RobotContract

TRACE = "policy/tick"
_DAY = 86_400 * SECOND
Times = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RecordedCommand:
    """A command on one topic.

    Attributes:
        time: when it was recorded, ns.
        values: (fields,) as the sink's adapter reads them.
        stamp: of the observation it answers, ns; None where the message does not say.
    """

    time: int
    values: Array
    stamp: int | None


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
    """

    topic: str
    max_age: float | None
    times: Times
    stamps: Times

    @property
    def system_time(self) -> bool:
        """Whether the stamps are of the clock that the recorder wrote down, not simulated."""
        return len(self.stamps) > 0 and abs(int(self.times[0] - self.stamps[0])) < _DAY


@dataclass(frozen=True)
class BagRecord:
    """Everything about a bag that fits into memory; the inputs' values are read as they are used.

    Attributes:
        tracks: the contract's inputs, in the order of ``RobotContract.topics``.
        streams: of each of them, then of each command topic.
        commands: of each sink.
        traces: of the policy that was recorded; empty where there was none.
        clock: (times, stamps) of ``/clock``, ns; empty where it was not recorded.
        start, end: of the part that is replayed, ns.
        notes: what could not be used.
    """

    tracks: tuple[Track, ...]
    streams: tuple[Stream, ...]
    commands: tuple[list[RecordedCommand], ...]
    traces: list[RecordedTrace]
    clock: tuple[Times, Times]
    start: int
    end: int
    notes: tuple[str, ...]

    @property
    def duration(self) -> float:
        return (self.end - self.start) / SECOND


@dataclass(frozen=True)
class Part:
    """What of a bag is replayed, in seconds since its first message."""

    start: float = 0.0
    end: float = float("inf")

    def holds(self, bag: Bag, time: int) -> bool:
        return self.start <= (time - bag.start) / SECOND <= self.end


def read_record(
    bag: Bag, robot: RobotContract, namespace: str = "/", part: Part | None = None
) -> BagRecord:
    """Read commands, traces and times.

    Args:
        bag: the recording.
        robot: whose inputs and commands are looked for.
        namespace: in which the bag was recorded.
        part: of the bag; all of it by default.

    Raises:
        LramError: a topic is missing, or has another type or definition; a clock jumped; two
            publishers sent commands; a message is damaged. Each names the bag, the topic and,
            where there is one, the time.
    """
    check_types(robot)
    tracks = input_tracks(bag, robot, namespace)
    sinks = {full_name(sink.topic, namespace): sink.type for sink in robot.sinks}
    check_there(bag, sinks, robot.source)
    trace, notes = _trace_topic(bag, namespace)
    reading = _Reading(bag, robot, tracks, list(sinks), trace)
    wanted = [*(track.source for track in tracks), *sinks]
    wanted += [topic for topic in (trace, CLOCK if has_clock(bag) else "") if topic]
    part = part or Part()
    for message in bag.messages(wanted):
        if part.holds(bag, message.time):
            reading.take(message)
    record = reading.finish(notes)
    _check_inputs(bag, robot, record)
    refuse_two_publishers(bag, list(sinks), record.commands, [t.time for t in record.traces])
    return record


def _check_inputs(bag: Bag, robot: RobotContract, record: BagRecord) -> None:
    for stream in record.streams[: len(record.tracks)]:
        if not len(stream.times):
            raise DataError(f"bag {bag.path}: no message of {stream.topic} in the part to replay")
    if record.traces:
        first = record.traces[0]
        theirs, ours = list(first.message.input_name), [topic.topic for topic in robot.topics]
        if theirs != ours:
            raise DataError(
                f"{at(bag, TRACE, first.time)}: recorded with another robot contract: "
                f"its policy read {listed(theirs)}, {robot.source} has {listed(ours)}"
            )


def _trace_topic(bag: Bag, namespace: str) -> tuple[str, tuple[str, ...]]:
    """The topic of the traces, empty where they are of no use; and why."""
    topic = full_name(TRACE, namespace)
    about = bag.topics.get(topic)
    if about is None or not about.count:
        return "", (
            f"No {topic} in the bag: what the recorded policy answered, and how long it took, "
            f"is not known.",
        )
    try:
        check_definition(bag, topic)
    except LramError as error:
        return "", (f"{topic} is not used: {error}.",)
    return topic, ()


class _Reading:
    def __init__(
        self,
        bag: Bag,
        robot: RobotContract,
        tracks: tuple[Track, ...],
        sinks: list[str],
        trace: str,
    ) -> None:
        self._bag, self._tracks, self._trace = bag, tracks, trace
        self._times: dict[str, list[int]] = {t: [] for t in (*(x.source for x in tracks), *sinks)}
        self._stamps: dict[str, list[int]] = {topic: [] for topic in self._times}
        self._stamp_of = {t.source: stamp_reader(bag, t.type) for t in tracks}
        self._checks = {t.source: StampCheck(bag, t.source) for t in tracks}
        self._adapters: dict[str, tuple[int, Adapter]] = {
            topic: (index, adapter)
            for index, (topic, adapter) in enumerate(zip(sinks, make_adapters(robot), strict=True))
        }
        self._limits = {t.source: t.input.max_age for t in tracks if t.input is not None}
        self._commands: list[list[RecordedCommand]] = [[] for _ in sinks]
        self._traces: list[RecordedTrace] = []
        self._clock: list[tuple[int, int]] = []
        self._first = self._last = 0

    def take(self, message: BagMessage) -> None:
        self._first = self._first or message.time
        self._last = message.time
        if message.topic == self._trace:
            found = self._bag.decode(message)
            self._traces.append(RecordedTrace(message.time, stamp_of(found), found))
            return
        if message.topic == CLOCK:
            clock = self._bag.decode(message).clock
            self._clock.append((message.time, clock.sec * SECOND + clock.nanosec))
            return
        self._times[message.topic].append(message.time)
        if message.topic in self._adapters:
            self._command(message)
            return
        read = self._stamp_of[message.topic]
        if read is not None:
            stamp = read(message)
            self._checks[message.topic].see(message.time, stamp)
            self._stamps[message.topic].append(stamp)

    def _command(self, message: BagMessage) -> None:
        index, adapter = self._adapters[message.topic]
        found = self._bag.decode(message)
        try:
            values = adapter.decode(found)
        except InputError as error:
            raise InputError(f"{at(self._bag, message.topic, message.time)}: {error}") from None
        native = adapter.sink.adapter == "native"
        self._commands[index].append(
            RecordedCommand(message.time, values, stamp_of(found) if native else None)
        )

    def finish(self, notes: tuple[str, ...]) -> BagRecord:
        streams = tuple(
            Stream(
                topic,
                self._limits.get(topic),
                np.array(times, dtype=np.int64),
                np.array(self._stamps[topic], dtype=np.int64),
            )
            for topic, times in self._times.items()
        )
        clock = np.array(self._clock, dtype=np.int64).reshape(-1, 2)
        return BagRecord(
            tracks=self._tracks,
            streams=streams,
            commands=tuple(self._commands),
            traces=self._traces,
            clock=(clock[:, 0], clock[:, 1]),
            start=self._first,
            end=self._last,
            notes=notes,
        )


def stamp_reader(bag: Bag, type_name: str) -> Callable[[BagMessage], int] | None:
    """How to read the stamp of a topic's messages; None where they have none."""
    fields = list(message_class(type_name).get_fields_and_field_types())
    if fields[0] == "header":
        return lambda message: _header_stamp(bag, message)
    if "header" in fields:
        return lambda message: stamp_of(bag.decode(message))
    return None


def _header_stamp(bag: Bag, message: BagMessage) -> int:
    try:
        return header_stamp(message.data)
    except DataError as error:
        raise DataError(f"{at(bag, message.topic, message.time)}: {error}") from None
