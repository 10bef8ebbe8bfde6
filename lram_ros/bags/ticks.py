"""The control ticks of a recording: the messages of each, joined by the code of the live node."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from lram_ros.assembly import InputSet, LatestCollector, StampCollector
from lram_ros.bags.file_order import JUMP
from lram_ros.bags.recording import SECOND, Bag, BagMessage
from lram_ros.bags.survey import Survey, stamp_in
from lram_ros.message_fields import has_header, message_class
from lram_ros.robot_contract import RobotContract


@dataclass(frozen=True)
class RecordedTick:
    """One control tick of a recording.

    Attributes:
        time: when it was, in ns: record time, or ROS time in a clock's simulation.
        inputs: its messages; None where one was missing or too old.
        problem: which, then.
    """

    time: int
    inputs: InputSet | None
    problem: str = ""


def recorded_ticks(
    bag: Bag, robot: RobotContract, found: Survey, max_gap: float = 0.0
) -> Iterator[RecordedTick]:
    """Yield the control ticks of a bag in order.

    With ``tick_source: observation`` a tick is each whole set of one stamp; sets are put in the
    order of their stamps. With ``clock`` the ticks come at the control rate from when every input
    has come once, and see what had arrived by then; a reading older than one that came before it
    is left out.

    Args:
        bag: the bag.
        robot: its contract.
        found: of the bag; left-out readings are added to its notes.
        max_gap: seconds that a reading may be older than the contract's ``max_age``.

    Raises:
        DataError: the bag is damaged.
    """
    if robot.tick_source == "observation":
        yield from _by_stamp(bag, robot, found)
    else:
        yield from _by_clock(bag, robot, found, max_gap)


def _by_stamp(bag: Bag, robot: RobotContract, found: Survey) -> Iterator[RecordedTick]:
    collector = StampCollector(robot.topics)
    index = {found.names[topic.topic]: i for i, topic in enumerate(robot.topics)}
    for stamp, message in _in_order_of_stamps(bag.messages(list(index))):
        # All of a set has one stamp, and when it reached the recorder says nothing about when it
        # reached the node: nothing is old here.
        now = stamp / SECOND
        inputs = collector.add(index[message.topic], bag.decode(message), now)
        if inputs is not None:
            yield RecordedTick(message.time, inputs)


def _in_order_of_stamps(messages: Iterator[BagMessage]) -> Iterator[tuple[int, BagMessage]]:
    """Messages in the order of their stamps, where those are out of order by less than JUMP."""
    waiting: list[tuple[int, int, BagMessage]] = []
    for number, message in enumerate(messages):
        stamp = stamp_in(message)
        heapq.heappush(waiting, (stamp, number, message))
        while waiting[0][0] < stamp - JUMP:
            first, _, oldest = heapq.heappop(waiting)
            yield first, oldest
    while waiting:
        first, _, oldest = heapq.heappop(waiting)
        yield first, oldest


class _Clock:
    """Ticks at the control rate; what came in order, before each."""

    def __init__(self, robot: RobotContract, max_gap: float, begin: int) -> None:
        self._begin = begin  # ages of small numbers are exact; those of dates are not
        self._topics = robot.topics
        self._collector = LatestCollector(robot.topics)
        self._period = SECOND / robot.control_rate
        self._max_gap = max_gap
        self._missing = set(range(len(robot.topics)))
        self._origin = self._count = 0
        self._newest = [0] * len(robot.topics)
        self.left_out = 0

    def add(self, index: int, message: object, time: int, stamp: int) -> None:
        if stamp < self._newest[index]:
            self.left_out += 1
            return
        self._newest[index] = stamp
        self._collector.add(index, message, (time - self._begin) / SECOND)
        if self._missing:
            self._missing.discard(index)
            self._origin = time

    def until(self, time: int) -> Iterator[RecordedTick]:
        """The ticks before ``time``; none before every input has come."""
        while not self._missing and self._next < time:
            tick = self._next
            self._count += 1
            ages = self._collector.ages((tick - self._begin) / SECOND, tick)
            late = [
                f"{topic.topic} {age:.3g} s old (at most {topic.max_age:g})"
                for topic, age in zip(self._topics, ages, strict=True)
                if age > topic.max_age + self._max_gap
            ]
            if late:
                yield RecordedTick(tick, None, "; ".join(late))
            else:
                yield RecordedTick(tick, self._collector.newest(ages, tick))

    @property
    def _next(self) -> int:
        return self._origin + round(self._count * self._period)


def _by_clock(
    bag: Bag, robot: RobotContract, found: Survey, max_gap: float
) -> Iterator[RecordedTick]:
    index = {found.names[topic.topic]: i for i, topic in enumerate(robot.topics)}
    stamped = [has_header(message_class(topic.type)) for topic in robot.topics]
    clock = _Clock(robot, max_gap, 0 if found.ticks_simulated else bag.start)
    time = 0
    for message in bag.messages(list(index)):
        # A clock in simulation goes on in steps; a reading is not from before its own stamp.
        number = index[message.topic]
        decoded = bag.decode(message)
        stamp = 0
        if stamped[number]:
            stamp = decoded.header.stamp.sec * SECOND + decoded.header.stamp.nanosec
        arrived = int(found.ros_time(message.time))
        time = max(time, arrived, stamp if found.ticks_simulated else 0)
        yield from clock.until(time)
        clock.add(number, decoded, time, stamp)
    yield from clock.until(time + 1)
    if clock.left_out:
        found.notes.append(
            f"{clock.left_out} readings came after newer ones of their topic and were left out"
        )
