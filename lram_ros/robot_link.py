"""The endpoints that join a configured policy node to one robot, and who else is at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node

from lram_core.contract import PolicyContract
from lram_ros.assembly import InputSet
from lram_ros.commander import Commander
from lram_ros.control import Tick
from lram_ros.live_inputs import LiveInputs
from lram_ros.msg import PolicyTick
from lram_ros.qos import RECORDED, command_qos, data_qos
from lram_ros.robot_contract import RobotContract
from lram_ros.runner import Runner
from lram_ros.trace import TickMessages

_FLUSH_S = 0.3  # acknowledgements can take seconds; what was sent is on its way


class RobotLink:
    """Publishes commands and the trace from the start, and the inputs from :meth:`listen` on.

    Args:
        node: whose endpoints they are.
        robot: its contract.
        commander: whose commands are published.

    Attributes:
        inputs: None until :meth:`listen`.
    """

    def __init__(self, node: Node, robot: RobotContract, commander: Commander) -> None:
        self._node, self._robot = node, robot
        self.inputs: LiveInputs | None = None
        self._made: list[Any] = []
        self._commands = [
            self.keep(
                node.create_publisher(
                    adapter.message_type, adapter.sink.topic, command_qos(adapter.sink)
                )
            )
            for adapter in commander.adapters
        ]
        self._trace = self.keep(
            node.create_publisher(PolicyTick, "~/tick", data_qos(depth=RECORDED))
        )

    def keep(self, made: Any) -> Any:
        """Return a publisher, subscription or service, to be destroyed with the link."""
        self._made.append(made)
        return made

    def take(self, policy: PolicyContract) -> None:
        """Trace this policy's ticks from now on."""
        self._messages = TickMessages(self._robot, policy)

    def listen(self, on_set: Callable[[InputSet, float], None]) -> None:
        """Subscribe to the inputs; ``on_set`` as in :class:`LiveInputs`."""
        self.inputs = LiveInputs(self._node, self._robot, on_set)

    def send(self, sink: int, message: Any) -> None:
        """Publish a command to the sink of this number."""
        self._commands[sink].publish(message)

    def send_trace(self, tick: Tick, publish_s: float, total_s: float) -> None:
        """Publish the trace of a tick; arguments as in :meth:`TickMessages.trace`."""
        self._trace.publish(self._messages.trace(tick, publish_s, total_s))

    def flush(self) -> None:
        """Wait until the last commands have arrived, but not for long."""
        for publisher in self._commands:
            publisher.wait_for_all_acked(Duration(seconds=_FLUSH_S))

    def look_at_graph(self, runner: Runner) -> None:
        """Tell the runner who publishes commands and inputs."""
        if runner.lockstep:  # a simulator may be restarted at any time; everything waits for it
            return
        node = self._node
        publishers = [node.count_publishers(command.topic_name) for command in self._commands]
        runner.command_publishers = max(publishers)
        inputs = {
            topic.topic: node.count_publishers(node.resolve_topic_name(topic.topic))
            for topic in self._robot.topics
        }
        runner.lost = tuple(topic for topic, count in inputs.items() if count == 0)
        runner.ambiguous = tuple(topic for topic, count in inputs.items() if count > 1)

    def close(self) -> None:
        """Destroy every endpoint."""
        if self.inputs is not None:
            self.inputs.close()
            self.inputs = None
        node = self._node
        kinds = (node.destroy_subscription, node.destroy_service, node.destroy_publisher)
        for made in reversed(self._made):
            any(destroy(made) for destroy in kinds)  # each takes its own kind alone
        self._made.clear()
        self._commands.clear()
