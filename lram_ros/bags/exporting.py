"""A dataset as a rosbag2 recording: what the robot of a contract would have published."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from lram_core.contract import PolicyContract
from lram_core.data.schema import Episode
from lram_core.data.store import Dataset
from lram_core.errors import ContractError, DataError, listed
from lram_ros.adapters.feedback import find_feedback
from lram_ros.adapters.kinds import make_mappers
from lram_ros.adapters.registry import make_adapters
from lram_ros.bag_types import BagTypes
from lram_ros.bags.messages import TopicWriter, to_bag
from lram_ros.bags.schema import contract_of
from lram_ros.bags.survey import CLOCK, full_name
from lram_ros.contract_check import check_contract, field_readers
from lram_ros.episode_state import EpisodeState
from lram_ros.input_topic import InputTopic
from lram_ros.message_fields import message_class
from lram_ros.message_paths import put
from lram_ros.robot_contract import RobotContract

BAG_VERSION: Final = 8  # read by Humble and everything since
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
CUT_TOPIC = "/lram/task"  # std_msgs/String: a task where an episode begins, empty where it ends
_STRING, _CLOCK = "std_msgs/msg/String", "rosgraph_msgs/msg/Clock"
_SECOND = 1_000_000_000
_BEGIN = 1_600_000_000 * _SECOND  # record time of the first tick: data have none of their own
_PAUSE = 1.0  # seconds between two episodes, beyond what a reading may be old

Array = npt.NDArray[np.float64]
Progress = Callable[[int], None]


def export_bag(
    data: Dataset,
    robot: RobotContract,
    out: Path,
    storage: str = "mcap",
    episodes: Sequence[int] = (),
    namespace: str = "",
    advance: Progress = lambda _: None,
) -> int:
    """Write episodes as a recording; the bag appears whole or not at all.

    Every tick is one message on each input topic of the contract (as many as its ``history``
    asks for), then a command on each sink. An announced episode ends with one more set, which
    repeats the last sensors and carries the last reward. Where the contract announces none, the
    topic ``/lram/task`` says where episodes begin and end.

    Args:
        data: the dataset.
        robot: the contract; must fit the dataset.
        out: folder of the bag; must not exist.
        storage: ``mcap`` or ``sqlite3``.
        episodes: their numbers; all by default.
        namespace: of topics whose names are relative in the contract.
        advance: called with the number of episodes just done.

    Returns:
        The number of messages.

    Raises:
        ContractError: the contract does not fit the dataset.
        DataError: ``out`` exists, or there is no such episode.
    """
    if out.exists():
        raise DataError(f"{out} is there already; a bag is never overwritten")
    policy = contract_of(data.schema)
    check_contract(robot, policy)
    chosen = list(episodes) or list(range(len(data)))
    workplace = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir(parents=True)
    try:
        with Writer(
            workplace / out.name, version=BAG_VERSION, storage_plugin=STORAGES[storage]
        ) as bag:
            export = _Export(bag, robot, policy, namespace)
            for number in chosen:
                export.write(data.episode(number), policy.suite)
                advance(1)
        (workplace / out.name).rename(out)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return export.messages


class _Export:
    def __init__(
        self, bag: Writer, robot: RobotContract, policy: PolicyContract, namespace: str
    ) -> None:
        self.messages = 0
        self._bag, self._robot, self._policy = bag, robot, policy
        self._namespace = namespace
        self._types = BagTypes()
        self._connections: dict[str, Connection] = {}
        self._waiting: list[tuple[int, int, Connection, bytes]] = []
        self._period = _SECOND / robot.control_rate
        self._count = self._episode = 0
        # A simulation's stamps begin at 0; a robot's are of the clock that records.
        self._begin = 0 if robot.tick_source == "observation" else _BEGIN
        self._writers = [TopicWriter(robot, topic, policy) for topic in robot.inputs]
        self._places = _places(policy)
        self._mappers, self._adapters = make_mappers(robot, policy), make_adapters(robot)
        self._feedback = [find_feedback(robot, sink) for sink in robot.sinks]
        if isinstance(robot.reward, InputTopic):
            field_readers(robot, robot.reward)

    def write(self, episode: Episode, suite: str) -> None:
        self._episode += 1
        for mapper in self._mappers:
            mapper.reset()
        rewards = episode.rewards.astype(np.float64)
        total, length = 0.0, len(rewards)
        if self._robot.episode is None:
            self._mark(episode.task)
        for tick in range(length):
            reward = rewards[tick - 1] if tick else 0.0
            total += reward
            status = (episode, suite, tick, EpisodeState.RUNNING, reward, total)
            sets = self._set(episode.observations[tick], status)
            self._command(episode.actions[tick], sets, tick)
            self._count += 1
        if self._robot.episode is not None or isinstance(self._robot.reward, InputTopic):
            reward = rewards[-1]
            state = EpisodeState.SUCCEEDED if episode.success else EpisodeState.TRUNCATED
            self._set(
                episode.observations[-1], (episode, suite, length, state, reward, total + reward)
            )
            self._count += 1
        if self._robot.episode is None:
            self._mark("")
        self._flush(None)
        ages = [t.max_age for t in self._robot.topics if np.isfinite(t.max_age)]
        self._count += int(np.ceil((_PAUSE + max(ages, default=0.0)) * self._robot.control_rate))

    def _set(self, observation: npt.NDArray[np.float32], status: tuple[Any, ...]) -> list[Any]:
        """One message on each topic; returns those of the inputs."""
        stamp = self._stamp()
        self._flush(stamp - round(self._period))
        values = {n: observation[place].astype(np.float64) for n, place in self._places.items()}
        if self._begin == 0:
            clock = message_class(_CLOCK)()
            clock.clock.sec, clock.clock.nanosec = divmod(stamp, _SECOND)
            self._put(CLOCK, _CLOCK, clock, stamp)
        written = []
        for writer in self._writers:
            readings = writer.topic.history
            for reading in range(readings):
                # The readings since the last tick, evenly; the newest one at the tick itself.
                early = round((readings - 1 - reading) * self._period / readings)
                message = writer.make(values, stamp - early, reading)
                self._put(writer.topic.topic, writer.topic.type, message, stamp - early)
            written.append(message)
        if isinstance(self._robot.reward, InputTopic):
            self._put_reward(self._robot.reward, status, stamp)
        if self._robot.episode is not None:
            self._put_status(self._robot.episode, status, stamp)
        return written

    def _command(self, action: npt.NDArray[np.float32], messages: list[Any], tick: int) -> None:
        stamp = self._stamp()
        later = round(min(1e6, self._period / 10))
        for i, (mapper, adapter) in enumerate(zip(self._mappers, self._adapters, strict=True)):
            feedback = self._feedback[i]
            measured = None if feedback is None else feedback.read(messages[feedback.index])
            values = mapper.target(action, measured).values
            mapper.sent(values)
            message = adapter.encode(values, stamp, self._episode, tick)
            sink = self._robot.sinks[i]
            self._put(sink.topic, sink.type, message, stamp + later)

    def _put_reward(self, topic: InputTopic, status: tuple[Any, ...], stamp: int) -> None:
        _, _, tick, _, reward, _ = status
        message = _stamped(topic.type, stamp)
        put(message, topic.fields[0].path, float(reward))
        if hasattr(message, "episode"):
            message.episode, message.tick = self._episode, tick
        self._put(topic.topic, topic.type, message, stamp)

    def _put_status(self, topic: InputTopic, status: tuple[Any, ...], stamp: int) -> None:
        episode, suite, tick, state, reward, total = status
        message = _stamped(topic.type, stamp)
        message.episode, message.tick, message.suite = self._episode, tick, suite
        message.task, message.seed, message.state = episode.task, episode.seed, int(state)
        message.success = state == EpisodeState.SUCCEEDED
        message.reward, message.episode_return = float(reward), float(total)
        self._put(topic.topic, topic.type, message, stamp)

    def _mark(self, task: str) -> None:
        """Half a period before the next tick."""
        stamp = self._stamp() - round(self._period / 2)
        self._put(CUT_TOPIC, _STRING, message_class(_STRING)(data=task), stamp)

    def _stamp(self) -> int:
        return self._begin + round((self._count + 1) * self._period)

    def _put(self, topic: str, kind: str, message: Any, stamp: int) -> None:
        name = full_name(topic, self._namespace)
        if name not in self._connections:
            definition, digest = self._types.definition(kind)
            self._connections[name] = self._bag.add_connection(
                name, kind, msgdef=definition, rihs01=digest
            )
        store = self._types.store
        data = store.serialize_cdr(to_bag(store, kind, message), kind)
        time = stamp - self._begin + _BEGIN
        self._waiting.append((time, self.messages, self._connections[name], bytes(data)))
        self.messages += 1

    def _flush(self, before: int | None) -> None:
        """Write, in the order of their times, what nothing can precede any more."""
        self._waiting.sort(key=lambda item: item[:2])
        while self._waiting and (
            before is None or self._waiting[0][0] < before - self._begin + _BEGIN
        ):
            time, _, connection, data = self._waiting.pop(0)
            self._bag.write(connection, time, data)


def _places(policy: PolicyContract) -> dict[str, slice]:
    """Where the newest value of each sensor stands in the observation vector."""
    places, start = {}, 0
    for field in policy.observation:
        if field.delay == 0:
            places[field.name] = slice(start, start + field.size)
        start += field.size
    missing = [name for name in policy.sensors if name not in places]
    if missing:
        raise ContractError(
            f"{listed(missing)}: only earlier values are in the observation, so there is nothing "
            f"to publish at a tick"
        )
    return places


def _stamped(kind: str, stamp: int) -> Any:
    message = message_class(kind)()
    if hasattr(message, "header"):
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, _SECOND)
    return message
