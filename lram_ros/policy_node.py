"""The policy node: subscribes to what a robot contract names, drives with a policy bundle.

A tick is observe → act → limit → publish. See docs/ros.md for topics and parameters.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node

from lram_core.errors import LramError, listed
from lram_core.pacing import Pacer
from lram_core.policy import Policy
from lram_core.signals import StopRequest
from lram_ros.assembly import InputSet, LatestCollector, StaleInput, StampCollector
from lram_ros.contract_check import check_contract
from lram_ros.control import ControlLoop, Tick
from lram_ros.images import ImageError, ImageWorker
from lram_ros.live_check import wait_for_topics
from lram_ros.message_fields import message_class
from lram_ros.msg import ActionCommand, PolicyTick
from lram_ros.policy_parameters import RUNTIME_IN_USE, PolicyParameters
from lram_ros.process import declare, run_node
from lram_ros.qos import data_qos, input_qos
from lram_ros.robot_contract import RobotContract
from lram_ros.trace import TickMessages

_WATCH_S = 1.0
_LOG_S = 2.0
_FLUSH_S = 0.3  # acknowledgements can take seconds; what was sent is on its way


class PolicyNode(Node):
    """Drives a robot with a policy.

    Args:
        load: how a bundle becomes a policy, :meth:`Policy.load` by default.
        options: passed on to :class:`rclpy.node.Node`.

    Attributes:
        failure: what ended the control thread, if anything did; the node is of no more use then.
    """

    def __init__(self, load: Callable[..., Any] = Policy.load, **options: Any) -> None:
        super().__init__("policy", **options)
        self.failure: Exception | None = None
        self._load = load
        self._loop: ControlLoop | None = None
        self._stamps: StampCollector | None = None
        self._latest: LatestCollector | None = None
        self._lock = threading.Lock()
        self._clock_thread: threading.Thread | None = None
        self._images: list[ImageWorker] = []
        self._stopping = False
        self._last_tick = time.monotonic()

    def configure(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Load and check everything, then subscribe; commands follow from here on.

        Returns:
            False if ``stopped`` ended the wait for the robot's topics.

        Raises:
            LramError: parameters, robot contract, bundle and live topics do not fit together.
        """
        parameters = PolicyParameters(self)
        robot = RobotContract.load(parameters.contract)
        policy = self._load(
            parameters.bundle,
            device=parameters.device,
            runtime=parameters.runtime,
            precision=parameters.precision,
            threads=parameters.threads,
        )
        check_contract(robot, policy.contract)
        first = policy.warm_up()
        declare(self, RUNTIME_IN_USE, policy.runtime.describe(), "What runs the model, and where.")
        self._command = self.create_publisher(ActionCommand, robot.command.topic, data_qos())
        self._trace = self.create_publisher(PolicyTick, "~/tick", data_qos())
        if not wait_for_topics(self, robot, parameters.topic_timeout, stopped):
            return False

        self._messages = TickMessages(robot, policy.contract)
        self._loop = ControlLoop(policy, robot)
        parameters.on_target_return(self._set_target_return)
        self._subscribe(robot)
        # What exists now lives as long as the node: spare the collector looking at it.
        gc.collect()
        gc.freeze()
        self.get_logger().info(
            f"ready: {policy.contract.suite} on {robot.robot} with {robot.gripper}, "
            f"{robot.control_rate:g} Hz, tick from {robot.tick_source}, "
            f"first call took {first * 1e3:.0f} ms; runtime {policy.runtime.describe()}"
        )
        return True

    def stop(self) -> None:
        """Stop ticking and let the last messages out."""
        self._stopping = True
        if self._clock_thread is not None:
            self._clock_thread.join()
        for worker in self._images:
            worker.stop()
        if self._loop is not None:
            self._command.wait_for_all_acked(Duration(seconds=_FLUSH_S))

    def _set_target_return(self, value: float | None) -> None:
        if self._loop is not None:
            self._loop.target_return = value

    def _subscribe(self, robot: RobotContract) -> None:
        if robot.tick_source == "observation":
            self._stamps = StampCollector(robot.topics)
            callback: Callable[..., None] = self._on_stamped
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self.create_timer(_WATCH_S, self._watch, clock=steady)
        else:
            self._latest = LatestCollector(robot.topics)
            callback = self._on_latest
        for index, topic in enumerate(robot.topics):
            receive: Callable[[Any], None] = partial(callback, index)
            # In lockstep the tick waits for its own picture, so it is decoded within the tick.
            if topic.image is not None and self._latest is not None:
                self._images.append(
                    ImageWorker(topic.image, receive, partial(self._refuse_image, topic.topic))
                )
                receive = self._images[-1].submit
            self.create_subscription(
                message_class(topic.type), topic.topic, receive, input_qos(topic)
            )
        if self._latest is not None:
            self._clock_thread = threading.Thread(
                target=self._tick_by_clock, args=(robot.control_rate,), name="control"
            )
            self._clock_thread.start()

    # One stamp a tick: ticks run where messages arrive.

    def _on_stamped(self, index: int, message: Any) -> None:
        assert self._stamps is not None
        start = time.perf_counter()
        inputs = self._stamps.add(index, message, time.monotonic())
        if inputs is not None:
            self._tick(inputs, start)

    def _watch(self) -> None:
        """Say what is missing when a set stays incomplete."""
        assert self._stamps is not None
        now = time.monotonic()
        if now - self._last_tick > _WATCH_S and (problems := self._stamps.problems(now)):
            self.get_logger().warning(
                f"no command: inputs incomplete: {listed(problems)}", throttle_duration_sec=_LOG_S
            )

    # A clock ticks: a thread of its own, so that no callback delays it.

    def _on_latest(self, index: int, message: Any) -> None:
        assert self._latest is not None
        with self._lock:
            self._latest.add(index, message, time.monotonic())

    def _refuse_image(self, topic: str, error: ImageError) -> None:
        self.get_logger().error(f"{topic}: picture refused: {error}", throttle_duration_sec=_LOG_S)

    def _tick_by_clock(self, rate: float) -> None:
        pacer = Pacer(rate)
        try:
            while not self._stopping:
                pacer.wait()
                self._tick_now()
        except Exception as error:  # a thread has nobody to raise to; spin() looks here
            self.failure = error

    def _tick_now(self) -> None:
        assert self._latest is not None
        start = time.perf_counter()
        try:
            with self._lock:
                inputs = self._latest.take(time.monotonic(), self.get_clock().now().nanoseconds)
        except StaleInput as error:
            self.get_logger().warning(
                f"no command: inputs not fresh: {error}", throttle_duration_sec=_LOG_S
            )
            return
        self._tick(inputs, start)

    # Both.

    def _tick(self, inputs: InputSet, start: float) -> None:
        """Answer a set of inputs; ``start`` is when it was complete (``time.perf_counter``)."""
        assert self._loop is not None
        self._last_tick = time.monotonic()
        try:
            tick, fresh = self._loop.tick(inputs, start)
        except LramError as error:
            self.get_logger().error(f"no command: {error}", throttle_duration_sec=_LOG_S)
            return
        if tick is not None:
            self._send(tick, fresh, start)
            self._loop.settle()
        for note in self._loop.take_notes():
            self.get_logger().warning(note)

    def _send(self, tick: Tick, fresh: bool, start: float) -> None:
        if tick.commanded is not None:
            self._command.publish(self._messages.command(tick))
        else:
            self.get_logger().error(
                f"no command: the policy's action is not finite: {tick.raw.tolist()}",
                throttle_duration_sec=_LOG_S,
            )
        published = time.perf_counter()
        if fresh:
            trace = self._messages.trace(tick, published - tick.acted, published - start)
            self._trace.publish(trace)


def start(stop: StopRequest) -> PolicyNode:
    """Return a configured node, or one that a stop request kept from being configured."""
    node = PolicyNode()
    node.configure(lambda: bool(stop))
    return node


def main() -> None:
    """Run the node; exits with 0 after SIGINT or SIGTERM, with 2 if it refuses to start."""
    sys.exit(run_node(start))


if __name__ == "__main__":
    main()
