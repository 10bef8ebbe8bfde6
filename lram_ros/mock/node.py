"""The mock robot as a node: publishes a contract's inputs, takes its commands. No hardware moves.

One tick publishes every topic with one stamp, at the contract's rate, and moves the joints on.
Commands are echoed, as understood, on ``~/received``. The parameter ``faults`` sets other faults
while it runs.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock as ClockMessage

from lram_core.errors import LramError
from lram_ros.adapters.base import Adapter
from lram_ros.adapters.registry import make_adapters
from lram_ros.contract_check import check_types
from lram_ros.episode_state import EpisodeState
from lram_ros.mock.faults import parse_fault
from lram_ros.mock.injector import FaultPlan
from lram_ros.mock.joints import Joints
from lram_ros.mock.options import MockOptions
from lram_ros.mock.sensors import MessageMaker
from lram_ros.mock.source import TopicSource
from lram_ros.msg import ActionCommand
from lram_ros.process import declare
from lram_ros.qos import data_qos
from lram_ros.robot_contract import RobotContract
from lram_ros.srv import ResetEpisode
from lram_ros.ticker import Ticker, TickTime

NAME, INTRUDER = "mock_robot", "mock_second_publisher"
_SIM_START_NS = 1_000_000_000
_REPORT_S = 5.0
_LOG_S = 2.0
PARAMETERS = {
    "faults": (
        "",
        "Faults with spaces between; their times count from when they are set. Empty: none.",
    )
}
"""Parameters: default and description. All can be changed while the node runs."""


class MockRobot(Node):
    """A stand-in for the robot of a contract.

    Args:
        contract: what it publishes and takes.
        options: see :class:`MockOptions`.
        node: passed on to :class:`rclpy.node.Node`.

    Attributes:
        joints: where the joints are.
        failure: what ended the publishing, if anything did.

    Raises:
        LramError: a message type is not installed, or a fault does not fit the contract.
    """

    def __init__(
        self, contract: RobotContract, options: MockOptions | None = None, **node: Any
    ) -> None:
        options = options or MockOptions()
        check_types(contract)
        self._topics = [topic.topic for topic in contract.topics]
        size = max((len(sink.fields) for sink in contract.sinks), default=1)
        self._makers = [MessageMaker(topic, options.sizes, size) for topic in contract.topics]
        self._plan = self._planned(options.faults)
        super().__init__(NAME, **node)
        self.failure: Exception | None = None
        rate = options.rate or contract.control_rate
        self.joints = Joints(contract, 1.0 / rate, options.lag)
        self._options = options
        self._lock = threading.Lock()
        self._episode, self._tick_number = 1, 0
        self._begin, self._start_ns = 0.0, 0
        self._next_plan: FaultPlan | None = None
        self._plan_begin = 0.0
        self._last_command: float | None = None
        self._holding = True
        self._published = self._commands = 0
        self._intruder: Node | None = None
        self._sources = [TopicSource(self, maker, self._intruding) for maker in self._makers]
        given = " ".join(options.faults)
        text = PARAMETERS["faults"][1]
        if (texts := declare(self, "faults", given, text, read_only=False)) != given:
            self._plan = self._planned(texts.split())
        self.add_on_set_parameters_callback(self._on_parameters)
        if self._plan.second_publisher:
            self._intruding()
        self._clock_publisher = None
        if options.sim_time:
            self._clock_publisher = self.create_publisher(ClockMessage, "/clock", data_qos())
        self._echo = self.create_publisher(ActionCommand, "~/received", data_qos())
        for adapter in make_adapters(contract):
            self.create_subscription(
                adapter.message_type,
                adapter.sink.topic,
                partial(self._on_command, adapter),
                data_qos(adapter.sink.reliability),
            )
        if contract.episode is not None:
            self.create_service(ResetEpisode, "reset_episode", self._on_reset)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_REPORT_S, self._report, clock=steady)
        self._ticker = Ticker(rate, self._tick, self._on_failure, name="mock robot")
        self._say(f"MOCK ROBOT, no hardware: {contract.robot} of {contract.source} at {rate:g} Hz")
        self._ticker.start()

    def stop(self) -> None:
        """Stop publishing; from any thread."""
        self._ticker.stop()
        if self._intruder is not None:
            self._intruder.destroy_node()
            self._intruder = None

    @property
    def ticks(self) -> int:
        """Sets of messages published so far."""
        return self._published

    def _tick(self, when: TickTime) -> None:
        if self._published == 0:
            self._begin = when.deadline
            # A first tick that came late must not put every stamp ahead of its time.
            late = round((time.monotonic() - when.deadline) * 1e9)
            now = self.get_clock().now().nanoseconds - late
            self._start_ns = _SIM_START_NS if self._options.sim_time else now
        elapsed = round(when.deadline - self._begin, 6)  # 0.6 s, not 0.5999999
        self._take_plan(elapsed)
        plan, since = self._plan, round(elapsed - self._plan_begin, 6)
        for text in plan.announcements(since):
            self.get_logger().warning(text)
        if plan.kill_at is not None and since >= plan.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        # From when the tick was due, not from when it began: stamps as even as the deadlines.
        stamp = plan.clock.read(self._start_ns + round(elapsed * 1e9), since)
        if self._clock_publisher is not None:
            time_now = ClockMessage()
            time_now.clock.sec, time_now.clock.nanosec = divmod(stamp, 1_000_000_000)
            self._clock_publisher.publish(time_now)
        with self._lock:
            self._hold_without_commands()
            self.joints.step()
            messages = [source.make(elapsed, stamp, self.joints) for source in self._sources]
            for message in messages:
                self._describe(message)
            self._tick_number += 1
        for source, made in zip(self._sources, messages, strict=True):
            source.publish(made, plan, since)
        self._published += 1

    def _describe(self, message: Any) -> None:
        """Fill in what a message says of the episode."""
        if hasattr(message, "episode"):
            message.episode, message.tick = self._episode, self._tick_number
        if hasattr(message, "suite"):
            message.suite, message.task = NAME, self._options.task
            message.state = int(EpisodeState.RUNNING)

    def _hold_without_commands(self) -> None:
        if self._holding or self._last_command is None:
            return
        age = time.monotonic() - self._last_command
        if age > self._options.command_timeout:
            self.joints.hold()
            self._holding = True
            self.get_logger().warning(f"mock: no command for {age:.2f} s; holding")

    def _on_command(self, adapter: Adapter, message: Any) -> None:
        try:
            values = adapter.decode(message)
        except LramError as error:
            self.get_logger().error(f"mock: command refused: {error}", throttle_duration_sec=_LOG_S)
            return
        with self._lock:
            if self._holding:
                self._say("mock: commands arrive")
            self._holding = False
            self._last_command = time.monotonic()
            self._commands += 1
            self.joints.command(adapter.sink, values.tolist())
        echo = ActionCommand(name=adapter.sink.wire_names, value=values.tolist())
        echo.header.stamp = self.get_clock().now().to_msg()
        echo.header.frame_id = adapter.sink.topic
        self._echo.publish(echo)

    def _on_reset(self, request: Any, response: Any) -> Any:
        with self._lock:
            self._episode += 1
            self._tick_number = 0
        response.success, response.episode = True, self._episode
        response.message = "a mock robot has no tasks: the episode is counted, nothing else"
        return response

    def _planned(self, texts: Iterable[str]) -> FaultPlan:
        return FaultPlan([parse_fault(text, self._topics) for text in texts], self._makers)

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name != "faults":
                continue
            try:
                plan = self._planned(str(parameter.value).split())
            except LramError as error:
                return SetParametersResult(successful=False, reason=str(error))
            if plan.second_publisher:
                self._intruding()
            with self._lock:
                self._next_plan = plan
        return SetParametersResult(successful=True)

    def _take_plan(self, elapsed: float) -> None:
        """Go over to the faults that were set since the last tick."""
        with self._lock:
            plan, self._next_plan = self._next_plan, None
        if plan is None:
            return
        for source in self._sources:
            source.release(self._plan)
        self._plan, self._plan_begin = plan, elapsed
        self._say("mock: faults are set anew")

    def _report(self) -> None:
        moving = ", ".join(
            f"{name} {joint.position:.3f}"
            for name, joint in self.joints.by_name.items()
            if joint.position or joint.velocity
        )
        self._say(
            f"mock: {self._published} sets published ({self._ticker.missed} left out), "
            f"{self._commands} commands; at {moving or 'rest'}"
        )

    def _intruding(self) -> Node:
        """The node that publishes what another node should not."""
        if self._intruder is None:
            self._intruder = rclpy.create_node(INTRUDER, context=self.context)
        return self._intruder

    def _say(self, text: str) -> None:
        self.get_logger().info(text)

    def _on_failure(self, error: BaseException) -> None:
        self.failure = error if isinstance(error, Exception) else RuntimeError(repr(error))
