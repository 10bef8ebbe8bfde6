"""Applies faults to the messages and the clock of a mock robot."""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from lram_core.errors import CommandError, listed
from lram_ros.mock.faults import Fault
from lram_ros.mock.sensors import MessageMaker


class TopicFaults:
    """The faults of one topic, applied to one message after the other.

    Raises:
        CommandError: the topic's messages cannot have such a fault.
    """

    def __init__(self, maker: MessageMaker, faults: Iterable[Fault]) -> None:
        self._maker = maker
        self._faults = [fault for fault in faults if fault.topic == maker.topic.topic]
        for fault in self._faults:
            _check(fault, maker)
        self._random = random.Random(0)
        self._counts = [0] * len(self._faults)
        self._last: Any = None
        self._queues: list[deque[tuple[float, Any]]] = [deque() for _ in self._faults]

    def release(self) -> list[Any]:
        """Return what is still held back, in order: it comes at once where the faults end."""
        held = sorted((entry for queue in self._queues for entry in queue), key=lambda e: e[0])
        for queue in self._queues:
            queue.clear()
        return [message for _, message in held]

    def apply(self, message: Any, elapsed: float) -> list[Any]:
        """Return what to publish instead of ``message``: nothing, one message, or overdue ones.

        Args:
            message: new, of the topic; may be changed.
            elapsed: seconds since the robot's first message.
        """
        messages = [message]
        for number, fault in enumerate(self._faults):
            active = fault.active(elapsed)
            if fault.kind == "delay":
                messages = self._delayed(number, messages, elapsed, fault.value if active else 0.0)
            elif active:
                changed = [self._changed(number, found) for found in messages]
                messages = [found for found in changed if found is not None]
        if messages:
            self._last = messages[-1]
        return messages

    def intrusion(self, message: Any, elapsed: float) -> Any:
        """Return what the second publisher sends beside ``message``; None while there is none."""
        active = (f.kind == "second_publisher" and f.active(elapsed) for f in self._faults)
        if not any(active):
            return None
        other = copy.deepcopy(message)
        self._maker.shift(other, 0.5)
        return other

    def _delayed(self, number: int, messages: list[Any], elapsed: float, delay: float) -> list[Any]:
        queue = self._queues[number]
        queue.extend((elapsed + delay, message) for message in messages)
        due = []
        while queue and queue[0][0] <= elapsed:
            due.append(queue.popleft()[1])
        return due

    def _changed(self, number: int, message: Any) -> Any:
        """The message with a fault in it; None when it is lost."""
        fault = self._faults[number]
        self._counts[number] += 1
        if fault.kind == "stale":
            return None
        if fault.kind == "drop":
            return None if self._counts[number] % fault.value == 0 else message
        if fault.kind == "frozen":
            return self._last if self._last is not None else message
        if fault.kind == "nan":
            self._maker.overwrite(message, float("nan"))
        elif fault.kind == "extreme":
            self._maker.overwrite(message, fault.value)
        elif fault.kind == "reorder":
            order = list(range(len(self._maker.names)))
            self._random.shuffle(order)
            self._permute(message, order)
        elif fault.kind == "duplicate_names":
            self._permute(message, [0, 0, *range(2, len(self._maker.names))])
        elif fault.kind == "wrong_size":
            for path in self._maker.arrays:
                parent, name = _owner(message, path)
                setattr(parent, name, getattr(parent, name)[:-1])
        return message

    def _permute(self, message: Any, order: Sequence[int]) -> None:
        """Entry ``i`` becomes what entry ``order[i]`` was, in the names and all beside them."""
        size = len(self._maker.names)
        for path in self._maker.named:
            parent, name = _owner(message, path)
            values = list(getattr(parent, name))
            if len(values) == size:
                setattr(parent, name, [values[i] for i in order])


class FaultPlan:
    """All faults of a robot, and when they come.

    Attributes:
        topics: topic → its faults.
        clock: those of the clock.
        kill_at: when the process is to kill itself, in seconds; None: never.
        second_publisher: whether another publisher will be needed.

    Raises:
        CommandError: a topic's messages cannot have such a fault.
    """

    def __init__(self, faults: Sequence[Fault], makers: Iterable[MessageMaker]) -> None:
        self.topics = {maker.topic.topic: TopicFaults(maker, faults) for maker in makers}
        self.clock = ClockFaults(faults)
        self.kill_at = kill_at(faults)
        self.second_publisher = any(fault.kind == "second_publisher" for fault in faults)
        begins = [(fault.start, f"mock: fault begins: {fault}") for fault in faults]
        ends = [(fault.start + fault.duration, f"mock: fault ends: {fault}") for fault in faults]
        self._announcements = sorted(begins + ends)

    def announcements(self, elapsed: float) -> list[str]:
        """Return, once each, what has begun or ended."""
        due = [text for at, text in self._announcements if at <= elapsed]
        del self._announcements[: len(due)]
        return due


class ClockFaults:
    """The robot's clock, in nanoseconds, with its faults."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self._faults = [fault for fault in faults if fault.kind in ("freeze_clock", "jump_clock")]
        self._frozen: int | None = None

    def read(self, clock: int, elapsed: float) -> int:
        """Return what the clock shows when it should show ``clock``; never below 0."""
        if any(f.kind == "freeze_clock" and f.active(elapsed) for f in self._faults):
            self._frozen = clock if self._frozen is None else self._frozen
            clock = self._frozen
        else:
            self._frozen = None
        jumps = sum(f.value for f in self._faults if f.kind == "jump_clock" and f.active(elapsed))
        return max(0, clock + round(jumps * 1e9))


def kill_at(faults: Iterable[Fault]) -> float | None:
    """When the process is to kill itself, in seconds; None: never."""
    return min((fault.start for fault in faults if fault.kind == "kill"), default=None)


def _check(fault: Fault, maker: MessageMaker) -> None:
    needs = {
        "reorder": (bool(maker.names), "names"),
        "duplicate_names": (bool(maker.names), "names"),
        "wrong_size": (bool(maker.arrays), "arrays without a fixed size"),
        "nan": (maker.floats, "floating-point numbers"),
        "extreme": (maker.numbers, "numbers"),
    }
    fits, what = needs.get(fault.kind, (True, ""))
    if not fits:
        fields = listed(field.path or field.name for field in maker.topic.fields)
        raise CommandError(
            f"fault '{fault}': {maker.topic.topic} ({maker.topic.type}) has no {what}; "
            f"the contract reads {fields}"
        )


def _owner(message: Any, path: str) -> tuple[Any, str]:
    *parents, name = path.split(".")
    for part in parents:
        message = getattr(message, part)
    return message, name
