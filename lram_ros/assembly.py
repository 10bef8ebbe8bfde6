"""From messages on topics to the inputs of one control tick.

Two ways to join topics, by the contract's ``tick_source``: :class:`StampCollector` waits for a
complete set of one stamp, :class:`LatestCollector` takes the newest message of each topic. Both
refuse readings older than the contract allows. Free of rclpy: live nodes and bag replay feed them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from lram_core.checks import finite32
from lram_core.contract import PolicyContract
from lram_core.errors import LramError
from lram_ros.contract_check import field_readers
from lram_ros.episode_state import EpisodeState
from lram_ros.input_topic import InputTopic
from lram_ros.message_fields import Array, FieldReader, InputError
from lram_ros.robot_contract import RobotContract

END_OF_TIME = 2**31 * 1_000_000_000
"""First stamp in ns that a message cannot carry: its seconds are int32."""

_PENDING_SETS = 16
_MOST = 2**63 - 1  # of an episode's number and ticks: they are noted and compared as int64
_ENDLESS = SimpleNamespace(episode=0, tick=0, task="", seed=0, state=EpisodeState.RUNNING)


class StaleInput(LramError):
    """An input is missing or too old; the message names each with its age."""


@dataclass(frozen=True)
class InputSet:
    """The messages of one control tick.

    Attributes:
        stamp: ROS time of the tick in nanoseconds: the set's common stamp, or now in clock mode.
        messages: one of each topic, in the order of ``RobotContract.topics``.
        ages: age of each at the time of the tick, in seconds.
        recent: of each topic the readings that its ``history`` asks for, oldest first; empty
            where no topic asks for more than the newest.
    """

    stamp: int
    messages: tuple[Any, ...]
    ages: tuple[float, ...]
    recent: tuple[tuple[Any, ...], ...] = ()


def stamp_of(message: Any) -> int:
    """Return the header's stamp in nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec * 1_000_000_000 + stamp.nanosec)


class _Pending:
    __slots__ = ("messages", "missing", "received")

    def __init__(self, topics: int) -> None:
        self.messages: list[Any] = [None] * topics
        self.received = [-math.inf] * topics
        self.missing = topics


class StampCollector:
    """Joins topics by stamp: for lockstep, and wherever one publisher stamps a whole set.

    A set that comes again (same stamp) is handed out again: the publisher repeats it when an
    answer was lost.
    """

    def __init__(self, topics: Sequence[InputTopic]) -> None:
        self._topics = topics
        self._limits = [topic.max_age for topic in topics]
        self._sets: dict[int, _Pending] = {}

    def add(self, index: int, message: Any, now: float) -> InputSet | None:
        """Take one message; return the set it completes.

        Args:
            index: position of its topic in ``topics``.
            message: a message with a header.
            now: steady time of its arrival, in seconds.

        Returns:
            The inputs when all of this stamp are there and young enough; else None. Older sets
            are forgotten then.
        """
        stamp = stamp_of(message)
        pending = self._sets.get(stamp)
        if pending is None:
            pending = self._sets[stamp] = _Pending(len(self._limits))
            if len(self._sets) > _PENDING_SETS:
                del self._sets[next(iter(self._sets))]
        if pending.messages[index] is None:
            pending.missing -= 1
        pending.messages[index] = message
        pending.received[index] = now
        if pending.missing:
            return None
        ages = tuple(now - received for received in pending.received)
        if any(age > limit for age, limit in zip(ages, self._limits, strict=True)):
            return None  # a repeated set will replace the old messages
        self._sets = {key: value for key, value in self._sets.items() if key > stamp}
        return InputSet(stamp, tuple(pending.messages), ages)

    def problems(self, now: float) -> list[str]:
        """Say what the newest incomplete set lacks: ``<topic> missing`` or ``<topic> … s old``."""
        if not self._sets:
            return []
        pending = next(reversed(self._sets.values()))
        ages = [now - received for received in pending.received]
        return _late(self._topics, ages)


class LatestCollector:
    """Keeps the newest message of each topic: for a tick from a clock."""

    def __init__(self, topics: Sequence[InputTopic]) -> None:
        self._topics = topics
        self._messages: list[Any] = [None] * len(topics)
        self._received = [-math.inf] * len(topics)
        self._stamps: list[int | None] = [None] * len(topics)
        self._recent: list[deque[Any]] = []
        if any(topic.history > 1 for topic in topics):
            self._recent = [deque(maxlen=topic.history) for topic in topics]

    def add(self, index: int, message: Any, now: float) -> None:
        """Take one message that arrived at the steady time ``now`` (seconds)."""
        self._stamps[index] = stamp_of(message) if hasattr(message, "header") else None
        self._messages[index] = message
        self._received[index] = now
        if self._recent:
            self._recent[index].append(message)

    def ages(self, now: float, ros_now: int) -> list[float]:
        """Return the age of each topic's newest reading in seconds; infinite where none came.

        A reading is as old as its stamp or its arrival says, whichever is older. One that is
        stamped further ahead than it may be old has no age that could be told: it gets a negative
        one, by how much.

        Args:
            now: steady time in seconds. A frozen ROS clock cannot make old readings look young.
            ros_now: ROS time in nanoseconds, compared with the stamps.
        """
        ages = []
        for topic, received, stamp in zip(self._topics, self._received, self._stamps, strict=True):
            by_stamp = 0.0 if stamp is None else (ros_now - stamp) * 1e-9
            ahead = by_stamp < -topic.max_age
            ages.append(by_stamp if ahead else max(now - received, by_stamp))
        return ages

    def newest(self, ages: Sequence[float], ros_now: int) -> InputSet:
        """Return the newest readings, however old; None stands for a message that never came."""
        recent = tuple(tuple(messages) for messages in self._recent)
        return InputSet(ros_now, tuple(self._messages), tuple(ages), recent)

    def take(self, now: float, ros_now: int) -> InputSet:
        """Return the newest inputs; the arguments are those of :meth:`ages`.

        Raises:
            StaleInput: an input never came or is older than the contract allows, by its arrival
                or by its stamp, or is stamped as far ahead.
        """
        ages = self.ages(now, ros_now)
        late = _late(self._topics, ages)
        if late:
            raise StaleInput("; ".join(late))
        return self.newest(ages, ros_now)


def _late(topics: Sequence[InputTopic], ages: Sequence[float]) -> list[str]:
    found = []
    for topic, age in zip(topics, ages, strict=True):
        if math.isinf(age):
            found.append(f"{topic.topic} missing")
        elif age > topic.max_age:
            found.append(f"{topic.topic} {age:.3g} s old (at most {topic.max_age:g})")
        elif age < -topic.max_age:
            found.append(f"{topic.topic} stamped {-age:.3g} s ahead (at most {topic.max_age:g})")
    return found


class InputReader:
    """Reads named observation values and the reward out of an :class:`InputSet`.

    With the bundle's contract, values come in the bundle's units; without, in the robot's.
    """

    def __init__(self, robot: RobotContract, policy: PolicyContract | None = None) -> None:
        self._readers = [
            (index, reader.source.name, reader)
            for index, topic in enumerate(robot.inputs)
            for reader in field_readers(robot, topic, policy)
        ]
        reward = robot.reward
        self._constant = reward if isinstance(reward, float) else None
        self._reward = None if isinstance(reward, float) else field_readers(robot, reward)[0]
        self._reward_index = len(robot.inputs)
        self._scale = policy.reward.scale if policy is not None else 1.0
        self._announced = robot.episode is not None
        self._status = f"{robot.source}: {robot.episode.topic}" if robot.episode else ""

    def sensors(self, inputs: InputSet) -> dict[str, Array]:
        """Return observation field → values, float64.

        Raises:
            InputError: a message is malformed or a value is not finite; names topic and field.
        """
        return {name: _read(reader, index, inputs) for index, name, reader in self._readers}

    def status(self, inputs: InputSet) -> Any:
        """Return the EpisodeStatus; without such a topic, one of an episode that never ends.

        Raises:
            InputError: its counts are beyond what anybody counts to.
        """
        if not self._announced:
            return _ENDLESS
        status = inputs.messages[-1]
        if max(status.episode, status.tick) > _MOST:
            raise InputError(
                f"{self._status}: episode {status.episode}, tick {status.tick}: at most {_MOST}"
            )
        return status

    def reward(self, inputs: InputSet) -> float:
        """Return the reward of the command before: of its topic, or the contract's constant.

        Raises:
            InputError: it is not finite in float32, or belongs to another episode than the status.
        """
        if self._reward is None:
            assert self._constant is not None
            return self._constant
        message, status = inputs.messages[self._reward_index], self.status(inputs)
        episode = getattr(message, "episode", status.episode)
        if episode != status.episode:
            raise InputError(
                f"{self._reward.where}: of episode {episode}, the status is of {status.episode}"
            )
        value = float(self._reward.read(message)[0])
        if not finite32(value, self._scale):
            raise InputError(f"{self._reward.where}: {value:g} is too large for the model")
        return value


def _read(reader: FieldReader, index: int, inputs: InputSet) -> Array:
    count = reader.source.history
    if count == 1:
        return reader.read(inputs.messages[index])
    messages = inputs.recent[index] if inputs.recent else (inputs.messages[index],)
    values = [reader.read(message) for message in messages[-count:]]
    # Too few yet: the past is taken to equal the oldest reading, as at an episode's start.
    return np.concatenate([values[0]] * (count - len(values)) + values)
