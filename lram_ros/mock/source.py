"""One input of a contract as a mock robot serves it, faults and a second publisher included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from lram_ros.mock.injector import FaultPlan
from lram_ros.mock.joints import Joints
from lram_ros.mock.sensors import MessageMaker
from lram_ros.qos import input_qos


class TopicSource:
    """One topic: its messages and its publishers.

    Args:
        node: publishes them.
        maker: makes them.
        intruder: returns the node that publishes what another node should not.
    """

    def __init__(self, node: Node, maker: MessageMaker, intruder: Callable[[], Node]) -> None:
        self._node, self._maker, self._intruder = node, maker, intruder
        self._qos = input_qos(maker.topic)  # what the contract asks for can be served with the same
        self._publisher = node.create_publisher(maker.type, maker.topic.topic, self._qos)
        self._second: Any = None

    def make(self, elapsed: float, stamp: int, joints: Joints) -> Any:
        """Return the message of a tick, without a fault.

        Args:
            elapsed: seconds since the first tick.
            stamp: ROS time in nanoseconds.
            joints: where they are.
        """
        return self._maker.make(elapsed, stamp, joints)

    def publish(self, message: Any, plan: FaultPlan, since: float) -> None:
        """Publish what the plan makes of a message, ``since`` seconds after it began."""
        faults = plan.topics[self._maker.topic.topic]
        other = faults.intrusion(message, since)
        for found in faults.apply(message, since):
            self._publisher.publish(found)
        self._intrude(other)

    def release(self, plan: FaultPlan) -> None:
        """Publish what a plan that ends has held back."""
        for message in plan.topics[self._maker.topic.topic].release():
            self._publisher.publish(message)

    def _intrude(self, message: Any) -> None:
        """Publish as another node; None: that node does not publish this topic (any more)."""
        if message is None:
            if self._second is not None:
                self._intruder().destroy_publisher(self._second)
                self._second = None
            return
        if self._second is None:
            name = self._node.resolve_topic_name(self._maker.topic.topic)
            self._second = self._intruder().create_publisher(self._maker.type, name, self._qos)
        self._second.publish(message)
