"""Snapshots of the simulated robot as ROS messages: one set of topics a control tick."""

from __future__ import annotations

import importlib
import time
from array import array
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from lram_core.errors import ContractError
from lram_ros.msg import EpisodeStatus, Reward
from lram_sim.bridge_episode import Snapshot, State
from lram_sim.suite import Suite
from lram_sim.topics import JOINT_STATES, WORLD, SensorField, SensorTopic, check_topics

QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Reliable: lockstep must not lose a message."""
SENSOR_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE
)
"""Of what is published: lockstep waits for the policy, but not for a recorder that is slower."""

Filler = Callable[[Any, Snapshot], None]


class SnapshotPublisher:
    """Publishes snapshots on the suite's topics; message objects are built once and refilled.

    Raises:
        ContractError: the suite's topics do not carry its sensors, or a message type is unknown or
            has no such field.
    """

    def __init__(self, node: Node, suite: Suite) -> None:
        self._suite = suite
        self._stamp = Time()
        self._last: Snapshot | None = None
        self._fillers: list[tuple[Any, Any, Filler]] = []
        check_topics(suite.name, suite.topics, suite.observation_fields)
        self._clock = node.create_publisher(Clock, "/clock", SENSOR_QOS)
        self._clock_message = Clock(clock=self._stamp)

        def add(kind: Any, topic: str, fill: Filler, frame: str = WORLD) -> None:
            message = kind()
            message.header.stamp = self._stamp
            message.header.frame_id = frame
            self._fillers.append((node.create_publisher(kind, topic, SENSOR_QOS), message, fill))

        for topic in suite.topics:
            kind = message_class(topic.type)
            add(kind, topic.topic, _topic_filler(topic, kind), topic.reference)
        add(Reward, "reward", _fill_reward)
        add(EpisodeStatus, "episode", self._fill_status)

    def publish(self, snapshot: Snapshot) -> None:
        """Publish /clock, then every topic with the snapshot's stamp; the episode comes last.

        A running episode that is replaced by another one is announced as aborted first.
        """
        if self._last is not None and self._last.episode != snapshot.episode:
            self.abort()
        self._last = snapshot
        self._stamp.sec, self._stamp.nanosec = divmod(snapshot.stamp, 1_000_000_000)
        self._clock.publish(self._clock_message)
        for publisher, message, fill in self._fillers:
            fill(message, snapshot)
            publisher.publish(message)

    def abort(self) -> None:
        """Announce the end of a running episode, with the stamp of its last set."""
        if self._last is None or self._last.state is not State.RUNNING:
            return
        self._last = replace(self._last, state=State.ABORTED)
        publisher, message, fill = self._fillers[-1]
        fill(message, self._last)
        publisher.publish(message)

    def flush(self, timeout_s: float = 0.3) -> None:
        """Wait a moment until every subscriber has everything.

        Acknowledgements may take seconds (they come with the middleware's next heartbeat), or
        never come from who died; what was published is on its way in any case.
        """
        end = time.monotonic() + timeout_s
        for publisher, _, _ in self._fillers:
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, end - time.monotonic())))

    def _fill_status(self, message: Any, snapshot: Snapshot) -> None:
        message.episode = snapshot.episode
        message.tick = snapshot.tick
        message.suite = self._suite.name
        message.task = snapshot.task
        message.seed = snapshot.seed
        message.state = int(snapshot.state)
        message.success = snapshot.success
        message.reward = snapshot.reward
        message.episode_return = snapshot.episode_return


def message_class(type_name: str) -> Any:
    """Return the class of ``package/msg/Name``. Raises ContractError where it is not installed."""
    package, _, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ModuleNotFoundError, AttributeError):
        raise ContractError(f"message type {type_name} is not installed") from None


def _topic_filler(topic: SensorTopic, kind: Any) -> Filler:
    if topic.topic == JOINT_STATES:
        return _fill_joints
    parts = [_field_filler(field, topic, kind()) for field in topic.fields]
    names = list(dict.fromkeys(name for field in topic.fields for name in field.names))

    def fill(message: Any, snapshot: Snapshot) -> None:
        if names:
            message.name = names
        for part in parts:
            part(message, snapshot)

    return fill


def _field_filler(field: SensorField, topic: SensorTopic, sample: Any) -> Filler:
    """What writes a sensor into its place: an array, a number, or a message of numbers."""
    sensor, (holder, _, leaf) = field.sensor, field.path.rpartition(".")
    try:
        found = attrgetter(field.path)(sample)
    except AttributeError:
        raise ContractError(f"{topic.topic}: {topic.type} has no field '{field.path}'") from None
    parent: Callable[[Any], Any] = attrgetter(holder) if holder else lambda message: message
    if hasattr(found, "get_fields_and_field_types"):
        leaves = list(found.get_fields_and_field_types())
        place = attrgetter(field.path)

        def fill_parts(message: Any, snapshot: Snapshot) -> None:
            target = place(message)
            for name, value in zip(leaves, snapshot.sensors[sensor].tolist(), strict=True):
                setattr(target, name, value)

        return fill_parts
    if isinstance(found, float):

        def fill_number(message: Any, snapshot: Snapshot) -> None:
            setattr(parent(message), leaf, float(snapshot.sensors[sensor][0]))

        return fill_number

    def fill_array(message: Any, snapshot: Snapshot) -> None:
        setattr(parent(message), leaf, array("d", snapshot.sensors[sensor].tobytes()))

    return fill_array


def _fill_joints(message: Any, snapshot: Snapshot) -> None:
    names, position, velocity = snapshot.joints
    message.name = list(names)
    message.position = array("d", position.tobytes())
    message.velocity = array("d", velocity.tobytes())


def _fill_reward(message: Any, snapshot: Snapshot) -> None:
    message.episode = snapshot.episode
    message.tick = snapshot.tick
    message.value = snapshot.reward
