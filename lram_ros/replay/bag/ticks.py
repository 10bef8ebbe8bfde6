"""The ticks of a bag: each with the inputs it was made of, by the node's own assembly code.

Sets of one stamp join by it. Where a clock ticked, the trace of a tick tells the age of each of its
inputs, and with it which readings they were. Where there is no trace, ticks come at the control
rate, as when a bag is imported as demonstrations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import LramError
from lram_ros.assembly import InputSet, LatestCollector
from lram_ros.bags.recording import SECOND, Bag, BagMessage
from lram_ros.bags.ticks import recorded_ticks as assembled_ticks
from lram_ros.message_fields import Array
from lram_ros.replay.bag.checks import at
from lram_ros.replay.bag.record import BagRecord, RecordedTrace, Stream
from lram_ros.robot_contract import RobotContract

HOLD_S = 0.25
"""Seconds that a command stands for where its topic says nothing new."""
_LOOK_BACK = _LOOK_AHEAD = 64
"""Readings recorded before and after a tick's trace among which the tick's is looked for by its
stamp. After it as well: a recorder that was kept waiting takes one topic's backlog before the
other's."""
_EXACT_S = 2e-9


@dataclass(frozen=True)
class ReplayTick:
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


def replay_ticks(bag: Bag, record: BagRecord, robot: RobotContract) -> Iterator[ReplayTick]:
    """Yield the ticks of a bag in order. Raises DataError where it is damaged."""
    if robot.tick_source == "clock" and record.traces:
        yield from traced_ticks(bag, record, robot, chosen_readings(record))
    else:
        yield from _assembled(bag, record, robot)


def _assembled(bag: Bag, record: BagRecord, robot: RobotContract) -> Iterator[ReplayTick]:
    """Sets of one stamp, or the ticks of a clock that nobody traced."""
    by_stamp, lockstep = robot.tick_source == "observation", robot.lockstep
    traces = {trace.stamp: trace for trace in reversed(record.traces)}
    begins, commands = restarting(record.traces), Commands(record, robot)
    gap = False
    for tick in assembled_ticks(bag, robot, record.survey):
        if tick.inputs is None:
            gap = True  # the node would have stopped the robot: what follows begins anew
            continue
        if not by_stamp:
            command = commands.in_effect(tick.time)
            yield ReplayTick(tick.inputs, record_time(record, tick.time), None, command, gap)
            gap = False
            continue
        trace = traces.get(tick.inputs.stamp)
        if trace is None and record.traces and not lockstep:
            continue  # the policy was not asked: it waited for a start
        command = commands.answer(tick.inputs.stamp, tick.time, trace)
        restarts = trace is not None and id(trace) in begins
        message = None if trace is None else trace.message
        yield ReplayTick(tick.inputs, tick.time, message, command, restarts)


def record_time(record: BagRecord, time: int) -> int:
    """The recorder's time at a time of the clock that ticks."""
    recorded, simulated = record.survey.clock
    if not record.survey.simulated or not len(recorded):
        return time
    return int(np.interp(time, simulated, recorded))


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


def traced_ticks(
    bag: Bag, record: BagRecord, robot: RobotContract, chosen: npt.NDArray[np.int64]
) -> Iterator[ReplayTick]:
    """Yield the ticks of ``record.traces``, of a robot that ticks by the clock.

    Args:
        bag, record, robot: as for :func:`replay_ticks`.
        chosen: (ticks, inputs) the readings of each, see :func:`chosen_readings`.
    """
    collector = LatestCollector(robot.topics)
    places = {name: index for index, name in enumerate(record.inputs)}
    messages = bag.messages(list(record.inputs))
    waiting: list[deque[BagMessage]] = [deque() for _ in record.inputs]
    read, given = [0] * len(places), [0] * len(places)
    begins, commands = restarting(record.traces), Commands(record, robot)
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
        command = commands.answer(None, trace.time, trace)
        yield ReplayTick(inputs, trace.time, trace.message, command, id(trace) in begins)


def chosen_readings(record: BagRecord) -> npt.NDArray[np.int64]:
    """Return (ticks, inputs): which message of each input a traced tick was made of.

    Found by the age in the trace: the stamp it leads to is exact; a message without a stamp is the
    one recorded nearest to it. -1: before the first one.
    """
    streams = record.streams[: len(record.inputs)]
    chosen = np.empty((len(record.traces), len(streams)), dtype=np.int64)
    for column, stream in enumerate(streams):
        least = -1
        for row, trace in enumerate(record.traces):
            least = chosen[row, column] = max(least, _chosen(stream, trace, column))
    return chosen


def _chosen(stream: Stream, trace: RecordedTrace, column: int) -> int:
    age = float(trace.message.input_age[column])
    began = trace.time - round(trace.message.total_s * SECOND)
    came = int(np.searchsorted(stream.times, trace.time, side="right"))
    start, end = max(0, came - _LOOK_BACK), came + 2
    if len(stream.stamps):
        stamps = stream.stamps[start : came + _LOOK_AHEAD]
        by_stamp = np.abs((trace.stamp - stamps) / SECOND - age)
        if len(by_stamp) and by_stamp.min() <= _EXACT_S:
            return start + int(np.flatnonzero(by_stamp <= _EXACT_S)[-1])
    near = np.abs(stream.times[start:end] - (began - round(age * SECOND)))
    return start + int(near.argmin()) if len(near) else -1


# The command of a tick


class Commands:
    """Which command belongs to a tick."""

    def __init__(self, record: BagRecord, robot: RobotContract) -> None:
        self._names = [field.name for sink in robot.sinks for field in sink.fields]
        self._tracks = record.survey.commands
        self._ticked = [record.survey.ros_time(track.times) for track in self._tracks]
        self._native = all(sink.adapter == "native" for sink in robot.sinks)
        self._answers = [
            {stamp: row for row, stamp in reversed(list(enumerate(track.stamps.tolist())))}
            for track in self._tracks
        ]
        self._period = round(SECOND / robot.control_rate)

    def answer(self, stamp: int | None, time: int, trace: RecordedTrace | None) -> Array | None:
        """Return what the recorded policy, or whoever it was, answered; None: nothing.

        By the stamp of the command, where it has one; by the trace, which says what was
        published; else the command recorded nearest to the tick.

        Args:
            stamp: of the inputs, ns, where commands answer a stamp.
            time: of the tick by the recorder's clock, ns.
            trace: of the tick.
        """
        if stamp is not None and self._native:
            return self._joined([answers.get(stamp, -1) for answers in self._answers])
        if trace is not None and set(trace.message.action_name) == set(self._names):
            values = np.asarray(trace.message.commanded_action, dtype=np.float64)
            order = [list(trace.message.action_name).index(name) for name in self._names]
            return values[order] if len(values) else None
        return self._joined([self._nearest(track.times, time) for track in self._tracks])

    def in_effect(self, time: int) -> Array | None:
        """Return the newest command before the next tick, for one at ``time`` of the clock, ns."""
        rows = []
        for ticked in self._ticked:
            row = int(np.searchsorted(ticked, time + self._period)) - 1
            rows.append(row if row >= 0 and time - ticked[row] <= HOLD_S * SECOND else -1)
        return self._joined(rows)

    def _nearest(self, times: npt.NDArray[np.int64], time: int) -> int:
        if not len(times):
            return -1
        row = int(np.abs(times - time).argmin())
        return row if abs(int(times[row]) - time) <= self._period // 2 else -1

    def _joined(self, rows: list[int]) -> Array | None:
        """(size,) values of all sinks, by the row of each; None where one is -1."""
        if min(rows) < 0:
            return None
        return np.concatenate([t.values[row] for t, row in zip(self._tracks, rows, strict=True)])


def refused(bag: Bag, record: BagRecord, tick: ReplayTick, error: LramError) -> str:
    """A line about inputs that the node would refuse."""
    topic = record.inputs[0] if len(record.inputs) == 1 else "inputs"
    return f"{at(bag, topic, tick.time)}: {error}"
