"""The subscriptions of a robot contract: messages into a collector, pictures by way of a worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node

from lram_core.errors import listed
from lram_ros.assembly import (
    END_OF_TIME,
    InputSet,
    LatestCollector,
    StampCollector,
    stamp_of,
)
from lram_ros.images import ImageError, ImageWorker
from lram_ros.message_fields import message_class
from lram_ros.qos import input_qos
from lram_ros.robot_contract import RobotContract

_INCOMPLETE_S = 1.0
_LOG_S = 2.0


class LiveInputs:
    """Subscribes to every input of a robot.

    Args:
        node: subscribes.
        robot: the contract.
        on_set: called in the executor with each complete set of one stamp, and when it was
            complete by ``time.perf_counter``; never where a clock ticks.

    Attributes:
        latest: the newest readings, where a clock ticks; else None.
        lock: of ``latest``.
    """

    def __init__(
        self, node: Node, robot: RobotContract, on_set: Callable[[InputSet, float], None]
    ) -> None:
        by_stamp = robot.tick_source == "observation"
        self.latest = None if by_stamp else LatestCollector(robot.topics)
        self.lock = threading.Lock()
        self._stamps = StampCollector(robot.topics) if by_stamp else None
        self._node, self._on_set = node, on_set
        self._workers: list[ImageWorker] = []
        self._subscriptions: list[Any] = []
        self._last_set = time.monotonic()
        self._topics = [topic.topic for topic in robot.topics]
        for index, topic in enumerate(robot.topics):
            callback = self._on_stamped if by_stamp else self._on_latest
            receive: Callable[[Any], None] = partial(callback, index)
            # In lockstep the tick waits for its own picture, so it is decoded within the tick.
            if topic.image is not None and not by_stamp:
                refuse = partial(self._refuse_image, topic.topic)
                self._workers.append(ImageWorker(topic.image, receive, refuse))
                receive = self._workers[-1].submit
            kind = message_class(topic.type)
            self._subscriptions.append(
                node.create_subscription(kind, topic.topic, receive, input_qos(topic))
            )

    def close(self) -> None:
        """Subscribe to nothing any more."""
        for worker in self._workers:
            worker.stop()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def tell_incomplete(self) -> None:
        """Warn of what the newest set lacks, if none has been whole for a while."""
        now = time.monotonic()
        if self._stamps is None or now - self._last_set < _INCOMPLETE_S:
            return
        if problems := self._stamps.problems(now):
            self._node.get_logger().warning(
                f"no command: inputs incomplete: {listed(problems)}", throttle_duration_sec=_LOG_S
            )

    def _on_stamped(self, index: int, message: Any) -> None:
        assert self._stamps is not None
        start = time.perf_counter()
        if not 0 <= (stamp := stamp_of(message)) < END_OF_TIME:  # no answer could carry it
            self._node.get_logger().error(
                f"{self._topics[index]}: message refused: its stamp is {stamp * 1e-9:.9g} s",
                throttle_duration_sec=_LOG_S,
            )
            return
        inputs = self._stamps.add(index, message, time.monotonic())
        if inputs is not None:
            self._last_set = time.monotonic()
            self._on_set(inputs, start)

    def _on_latest(self, index: int, message: Any) -> None:
        assert self.latest is not None
        with self.lock:
            self.latest.add(index, message, time.monotonic())

    def _refuse_image(self, topic: str, error: ImageError) -> None:
        self._node.get_logger().error(
            f"{topic}: picture refused: {error}", throttle_duration_sec=_LOG_S
        )
