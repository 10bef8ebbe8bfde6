"""The ticks of a bag: each with the inputs it was made of, by the node's own assembly code.

Which message belongs to which tick is not left to the times of recording where the bag knows
better. Sets of one stamp join by it. Where a clock ticked, the trace of a tick tells the age of
each of its inputs, and with it which readings they were. Where there is no trace, ticks come at
the control rate, from the first moment on at which every input is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from lram_core.errors import LramError
from lram_ros.assembly import InputSet, LatestCollector, StaleInput, StampCollector
from lram_ros.bag_steps import Message, by_message, by_set
from lram_ros.bag_tracks import CLOCK
from lram_ros.bags.recording import SECOND, Bag, BagMessage
from lram_ros.message_fields import Array
from lram_ros.replay.bag.checks import at
from lram_ros.replay.bag.record import (
    BagRecord,
    Part,
    RecordedTrace,
    Stream,
    stamp_reader,
)
from lram_ros.robot_contract import RobotContract
from lram_ros.runner import is_lockstep

_LOOK_BACK = 64  # readings among which a tick's is looked for
_EXACT_S = 2e-9


@dataclass(frozen=True)
class RecordedTick:
    """One tick as it was recorded.

    Attributes:
        inputs: the messages.
        time: when the set was whole, or the clock ticked, by the recorder's clock, ns.
        trace: what the recorded policy saw and answered; None where the bag does not say.
        command: (size,) values of all sinks; None where none was recorded.
        restarts: the recorded policy began anew here, in mid-episode.
    """

    inputs: InputSet
    time: int
    trace: Any | None
    command: Array | None
    restarts: bool


def recorded_ticks(
    bag: Bag, record: BagRecord, robot: RobotContract, part: Part | None = None
) -> Iterator[RecordedTick]:
    """Yield the ticks of a bag in order. Raises DataError where it is damaged."""
    part = part or Part()
    if robot.tick_source == "observation":
        yield from _by_stamp(bag, record, robot, part)
    elif record.traces:
        yield from _by_trace(bag, record, robot, part)
    else:
        yield from _by_clock(bag, record, robot, part)


def _messages(bag: Bag, record: BagRecord, part: Part) -> Iterator[BagMessage]:
    for message in bag.messages([track.source for track in record.tracks]):
        if part.holds(bag, message.time):
            yield message


def _decode(bag: Bag, topic: str, time: int, data: bytes) -> Any:
    return bag.decode(BagMessage(topic, time, data))


# Sets of one stamp


def _by_stamp(
    bag: Bag, record: BagRecord, robot: RobotContract, part: Part
) -> Iterator[RecordedTick]:
    lockstep = is_lockstep(robot)
    places = {track.source: index for index, track in enumerate(record.tracks)}
    readers = {track.source: stamp_reader(bag, track.type) for track in record.tracks}

    def stamp(topic: str, data: bytes) -> int | None:
        reader = readers[topic]
        return None if reader is None else reader(BagMessage(topic, 0, data))

    messages: Iterator[Message] = ((m.time, m.topic, m.data) for m in _messages(bag, record, part))
    steps = by_set(messages, list(places), stamp) if lockstep else by_message(messages)
    collector = StampCollector(robot.topics)
    traces = _Traces(record.traces)
    commands = Commands(record, robot)
    for step in steps:
        for topic, data in step.messages:
            message = _decode(bag, topic, step.time, data)
            inputs = collector.add(places[topic], message, step.time / SECOND)
            if inputs is None:
                continue
            trace, restarts = traces.of_stamp(inputs.stamp)
            if trace is None and not lockstep and record.traces:
                continue  # the policy was not asked: it waited for a start
            command = commands.of_tick(inputs.stamp, step.time, trace)
            yield RecordedTick(
                inputs, step.time, None if trace is None else trace.message, command, restarts
            )


class _Traces:
    """Traces by stamp, and which of them begin anew."""

    def __init__(self, traces: list[RecordedTrace]) -> None:
        self._found = {trace.stamp: trace for trace in reversed(traces)}
        self._begins = restarting(traces)

    def of_stamp(self, stamp: int) -> tuple[RecordedTrace | None, bool]:
        trace = self._found.get(stamp)
        return trace, trace is not None and id(trace) in self._begins


def restarting(traces: list[RecordedTrace]) -> set[int]:
    """Return the ids of traces at which the policy began anew within an episode.

    There the return to go is the whole one again, or the ticks are counted from 0.
    """
    begins = set()
    for before, trace in pairwise(traces):
        a, b = before.message, trace.message
        if a.episode != b.episode:
            continue
        follows = b.tick == a.tick + 1
        if b.tick == 0 or (follows and b.return_to_go != a.return_to_go - b.reward):
            begins.add(id(trace))
    return begins


# Ticks of a clock that were traced


def _by_trace(
    bag: Bag, record: BagRecord, robot: RobotContract, part: Part
) -> Iterator[RecordedTick]:
    collector = LatestCollector(robot.topics)
    places = {track.source: index for index, track in enumerate(record.tracks)}
    chosen = chosen_readings(record)
    messages = _messages(bag, record, part)
    waiting: list[deque[BagMessage]] = [deque() for _ in record.tracks]
    read, given = [0] * len(places), [0] * len(places)
    begins = restarting(record.traces)
    commands = Commands(record, robot)
    for row, trace in enumerate(record.traces):
        wanted = (chosen[row] + 1).tolist()
        while any(have < need for have, need in zip(read, wanted, strict=True)):
            message = next(messages)
            index = places[message.topic]
            waiting[index].append(message)
            read[index] += 1
        if not all(wanted):
            continue  # its inputs came before the part that is replayed
        for index, need in enumerate(wanted):
            for _ in range(need - given[index]):
                found = waiting[index].popleft()
                collector.add(index, bag.decode(found), found.time / SECOND)
            given[index] = max(given[index], need)
        ages = [float(age) for age in trace.message.input_age]
        inputs = collector.newest(ages, trace.stamp)
        command = commands.of_tick(trace.stamp, trace.time, trace)
        yield RecordedTick(inputs, trace.time, trace.message, command, id(trace) in begins)


def chosen_readings(record: BagRecord) -> Any:
    """Return int64 (ticks, inputs): which message of each input a traced tick was made of.

    Found by the age in the trace: the stamp it leads to is exact; a message without a stamp is the
    one recorded nearest to it. -1: before the first one.
    """
    streams = record.streams[: len(record.tracks)]
    chosen = np.empty((len(record.traces), len(streams)), dtype=np.int64)
    for column, stream in enumerate(streams):
        least = -1
        for row, trace in enumerate(record.traces):
            least = chosen[row, column] = max(least, _chosen(stream, trace, column))
    return chosen


def _chosen(stream: Stream, trace: RecordedTrace, column: int) -> int:
    age = float(trace.message.input_age[column])
    began = trace.time - round(trace.message.total_s * SECOND)
    end = int(np.searchsorted(stream.times, trace.time, side="right")) + 2
    start = max(0, end - _LOOK_BACK)
    if len(stream.stamps):
        by_stamp = np.abs((trace.stamp - stream.stamps[start:end]) / SECOND - age)
        if len(by_stamp) and by_stamp.min() <= _EXACT_S:
            return start + int(np.flatnonzero(by_stamp <= _EXACT_S)[-1])
    received = began - round(age * SECOND)
    near = np.abs(stream.times[start:end] - received)
    return start + int(near.argmin()) if len(near) else -1


# Ticks of a clock that nobody traced


def _by_clock(
    bag: Bag, record: BagRecord, robot: RobotContract, part: Part
) -> Iterator[RecordedTick]:
    collector = LatestCollector(robot.topics)
    places = {track.source: index for index, track in enumerate(record.tracks)}
    streams = record.streams[: len(record.tracks)]
    now = max(int(stream.times[0]) for stream in streams if len(stream.times))
    period = round(SECOND / robot.control_rate)
    commands = Commands(record, robot)
    messages = _messages(bag, record, part)
    message = next(messages, None)
    ros = _RosTime(record)
    gap = False
    while now <= record.end:
        while message is not None and message.time <= now:
            collector.add(places[message.topic], bag.decode(message), message.time / SECOND)
            message = next(messages, None)
        try:
            inputs = collector.take(now / SECOND, ros.at(now))
        except StaleInput:
            gap = True  # the node would have stopped the robot: what follows begins anew
        else:
            yield RecordedTick(inputs, now, None, commands.of_tick(None, now, None), gap)
            gap = False
        now += period


class _RosTime:
    """ROS time at a time of recording: the system's, or what ``/clock`` said last."""

    def __init__(self, record: BagRecord) -> None:
        self._times, self._stamps = record.clock
        inputs = record.streams[: len(record.tracks)]
        simulated = any(len(s.stamps) and not s.system_time for s in inputs)
        if simulated and not len(self._times):
            raise LramError(
                f"the stamps are of simulated time, and {CLOCK} was not recorded: "
                f"how old an input was cannot be told"
            )
        self._simulated = simulated

    def at(self, time: int) -> int:
        if not self._simulated:
            return time
        index = int(np.searchsorted(self._times, time, side="right")) - 1
        return int(self._stamps[max(index, 0)])


# The command of a tick


class Commands:
    """Which command was the answer to a tick.

    By the stamp of the command, where it has one; by the trace, which says what was published;
    else by the time: the one recorded nearest to the trace, or the first within a control period
    after the tick.
    """

    def __init__(self, record: BagRecord, robot: RobotContract) -> None:
        self._names = [field.name for sink in robot.sinks for field in sink.fields]
        self._commands = record.commands
        self._times = [np.array([c.time for c in found]) for found in record.commands]
        self._stamped: list[Mapping[int, Array]] = [
            {c.stamp: c.values for c in reversed(found) if c.stamp is not None}
            for found in record.commands
        ]
        self._native = [sink.adapter == "native" for sink in robot.sinks]
        self._period = SECOND / robot.control_rate

    def of_tick(self, stamp: int | None, time: int, trace: RecordedTrace | None) -> Array | None:
        """Return (size,) values of all sinks; None where one of them is not there."""
        if stamp is not None and all(self._native):
            found = [answers.get(stamp) for answers in self._stamped]
        elif trace is not None and set(trace.message.action_name) == set(self._names):
            values = np.asarray(trace.message.commanded_action, dtype=np.float64)
            order = [list(trace.message.action_name).index(name) for name in self._names]
            return values[order] if len(values) else None
        else:
            found = [
                self._by_time(sink, time, traced=trace is not None)
                for sink in range(len(self._native))
            ]
        there = [values for values in found if values is not None]
        return np.concatenate(there) if len(there) == len(found) else None

    def _by_time(self, sink: int, time: int, traced: bool) -> Array | None:
        times = self._times[sink]
        if traced:
            if not len(times):
                return None
            index = int(np.abs(times - time).argmin())
            return (
                self._commands[sink][index].values
                if abs(times[index] - time) <= self._period / 2
                else None
            )
        index = int(np.searchsorted(times, time))
        if index == len(times) or times[index] - time >= self._period:
            return None
        return self._commands[sink][index].values


def refused(bag: Bag, record: BagRecord, tick: RecordedTick, error: LramError) -> str:
    """A line about inputs that the node would refuse."""
    topics = ", ".join(track.source for track in record.tracks)
    return f"{at(bag, topics if len(record.tracks) == 1 else 'inputs', tick.time)}: {error}"
