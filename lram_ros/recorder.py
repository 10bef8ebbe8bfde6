"""Records the topics of the running graph to a rosbag2 bag (MCAP).

Messages are taken from the middleware as they are, never decoded: what is in the bag is, byte for
byte, what was published. Start: ``python -m lram_ros.recorder --ros-args -p output:=FOLDER``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from lram_core.errors import CommandError, LramError
from lram_ros.bag_types import BagTypes
from lram_ros.message_fields import message_class
from lram_ros.process import declare, run_node
from lram_ros.recording_scope import RECORDER, recorded

BAG_VERSION: Final = 8  # read by Humble and everything since
DEPTH = 1000  # a writer that stalls for a moment must not lose messages
DISCOVERY_PERIOD = 0.1  # seconds between looks at the graph
UNBOUNDED = QosTime(2**31 - 1, 2**32 - 1)
PARAMETERS: Final = {"output": ("", "Folder of the bag; must not exist yet.")}
"""Parameters: default and description."""


def matching_qos(publishers: Iterable[TopicEndpointInfo]) -> QoSProfile:
    """The strongest profile that every publisher of a topic can serve.

    A reliable subscription gets nothing from a best-effort publisher, and a transient-local one
    nothing from a volatile publisher; so each holds only where all publishers offer it.
    """
    offered = [info.qos_profile for info in publishers]
    reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
    kept = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
    )


def bag_qos(profile: QoSProfile) -> Qos:
    """The profile as a bag's metadata has it, for a player to publish with."""
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=profile.depth,
        reliability=QosReliability[profile.reliability.name],
        durability=QosDurability[profile.durability.name],
        deadline=UNBOUNDED,
        lifespan=UNBOUNDED,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=UNBOUNDED,
        avoid_ros_namespace_conventions=False,
    )


@dataclass
class _Recorded:
    """A topic in the bag."""

    type_name: str
    profile: QoSProfile
    connection: Connection
    subscription: Subscription


class Recorder(Node):
    """Subscribes to every topic of its namespace as it appears, and to ``/clock``.

    Parameters:
        output (string): folder of the bag; must not exist yet.

    Raises:
        CommandError: ``output`` is missing, no text, or exists already.
    """

    def __init__(self) -> None:
        super().__init__(RECORDER)
        output = declare(self, "output", *PARAMETERS["output"])
        if not output:
            raise CommandError("recorder: parameter 'output' (folder of the bag) is not set")
        self.path = Path(output)
        if self.path.exists():
            raise CommandError(f"recorder: {output} exists already; a bag is never overwritten")
        self._types = BagTypes()
        self._topics: dict[str, _Recorded] = {}
        self._given_up: set[tuple[str, str]] = set()
        self._bag = Writer(self.path, version=BAG_VERSION, storage_plugin=StoragePlugin.MCAP)
        self._bag.open()
        self.messages = 0
        self.create_timer(DISCOVERY_PERIOD, self.discover)
        self.discover()

    def discover(self) -> None:
        """Look at the graph once: record new topics, follow changed publishers."""
        for topic, type_names in self.get_topic_names_and_types():
            if not recorded(topic, self.get_namespace()):
                continue
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers:
                continue
            profile = matching_qos(publishers)
            for type_name in type_names:
                entry = self._topics.get(topic)
                if entry is None:
                    self._start(topic, type_name, profile, publishers)
                elif entry.type_name != type_name:
                    self._give_up(topic, type_name, f"is recorded as {entry.type_name}")
                elif entry.profile != profile:
                    self.destroy_subscription(entry.subscription)
                    entry.profile = profile
                    entry.subscription = self._subscribe(topic, entry.connection, profile)

    def stop(self) -> None:
        """Finish the bag: after this it is complete and readable."""
        for entry in self._topics.values():
            self._drain(entry)
            self.destroy_subscription(entry.subscription)
        self._bag.close()
        self.get_logger().info(
            f"{self.messages} messages on {len(self._topics)} topics in {self.path}"
        )

    def _start(
        self,
        topic: str,
        type_name: str,
        profile: QoSProfile,
        publishers: Sequence[TopicEndpointInfo],
    ) -> None:
        if (topic, type_name) in self._given_up:
            return
        try:
            definition, type_hash = self._types.definition(type_name)
            message_class(type_name)
        except LramError as error:
            self._give_up(topic, type_name, str(error))
            return
        connection = self._bag.add_connection(
            topic,
            type_name,
            msgdef=definition,
            rihs01=type_hash,
            # One a publisher, as every recorder does: who reads the bag can count them.
            offered_qos_profiles=[bag_qos(matching_qos([info])) for info in publishers],
        )
        subscription = self._subscribe(topic, connection, profile)
        self._topics[topic] = _Recorded(type_name, profile, connection, subscription)

    def _subscribe(self, topic: str, connection: Connection, profile: QoSProfile) -> Subscription:
        write = partial(self._write, connection)
        message_type = message_class(connection.msgtype)
        return self.create_subscription(message_type, topic, write, profile, raw=True)

    def _drain(self, entry: _Recorded) -> None:
        """Write what has arrived and was not handed out yet: a stop must not lose the end."""
        subscription = entry.subscription
        with subscription.handle:
            while taken := subscription.handle.take_message(subscription.msg_type, True):
                self._write(entry.connection, taken[0])

    def _write(self, connection: Connection, data: bytes) -> None:
        self._bag.write(connection, time.time_ns(), data)
        self.messages += 1

    def _give_up(self, topic: str, type_name: str, reason: str) -> None:
        if (topic, type_name) not in self._given_up:
            self._given_up.add((topic, type_name))
            self.get_logger().warning(f"{topic} ({type_name}) is not recorded: {reason}")


def main() -> None:
    """Record until SIGINT or SIGTERM."""
    sys.exit(run_node(lambda _stop: Recorder()))


if __name__ == "__main__":
    main()
