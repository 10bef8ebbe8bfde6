"""The nodes around a bag player: is the policy ready, who else is there that must not be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from lram_core.errors import CommandError, listed
from lram_ros.recording_scope import RECORDER
from lram_ros.recording_scope import recorded as in_scope
from lram_ros.robot_contract import RobotContract

POLL = 0.05  # seconds between looks at the graph
_TRACE = "policy/tick"
_ASK_AGAIN_S = 2.0
_DISCOVERY_S = 4.0
"""Until a node that is there is surely known of: participants announce themselves every 3 s."""
_MATCH_S = 5.0
_UNKNOWN = "_NODE_NAME_UNKNOWN_"
_DEACTIVATE_S = 5.0


class Peers:
    """What a player must know of the other nodes.

    Args:
        node: the player.
        robot: contract of the policy node.
        spin: serves the player's callbacks for a moment; raises to end everything.
    """

    def __init__(self, node: Node, robot: RobotContract, spin: Callable[[], None]) -> None:
        self._node, self._robot, self._spin = node, robot, spin
        self._since = time.monotonic()
        self._state = "not known"
        self._policy = ""
        self._question: tuple[Any, float] | None = None
        self._client: Any = None

    def wait_ready(
        self, inputs: Mapping[str, Any], recorded: Iterable[str], timeout: float
    ) -> None:
        """Wait until the policy node is active and has subscribed to every input.

        Args:
            inputs: topic → its publisher here.
            recorded: full names of topics that a recorder must have subscribed to, besides those
                of the policy; none: no recorder is waited for.
            timeout: in seconds.

        Raises:
            CommandError: something is still missing; the message says what.
        """
        recorded = list(recorded)
        end = time.monotonic() + timeout
        while missing := self._missing(inputs, recorded):
            if time.monotonic() > end:
                raise CommandError(f"not ready after {timeout:g} s; missing: {listed(missing)}")
            self._spin()
        # Who is in the graph may not have been matched yet, or is there without its name. Who asks
        # for another QoS never is matched. Who is not there may not have been discovered yet.
        while time.monotonic() - self._since < _DISCOVERY_S:
            self._spin()
        end = time.monotonic() + _MATCH_S
        while not self._settled(inputs.values()) and time.monotonic() < end:
            self._spin()

    def refuse_rivals(self, topics: Iterable[str]) -> None:
        """Raises CommandError where another node publishes one of these topics (full names)."""
        for topic in topics:
            others = [
                _name(info)
                for info in self._node.get_publishers_info_by_topic(topic)
                if _name(info) != self._me
            ]
            if others:
                raise CommandError(
                    f"{topic} is published by {listed(others)} too; a bag is not played beside "
                    f"a robot or a simulator: use a ROS_DOMAIN_ID or a namespace of its own"
                )

    def refuse_listeners(self) -> None:
        """Raises CommandError where the commands would reach a robot."""
        for sink in self._robot.sinks:
            topic = self._node.resolve_topic_name(sink.topic)
            takers = [
                _name(info)
                for info in self._node.get_subscriptions_info_by_topic(topic)
                if _name(info) != self._me
                and info.node_name != RECORDER
                and not info.node_name.startswith("_")  # hidden: the ros2 command's
            ]
            if takers:
                raise CommandError(
                    f"{listed(takers)} takes the commands on {topic}: what answers the recording "
                    f"would move it; use a ROS_DOMAIN_ID of its own, or set allow_listeners"
                )

    def deactivate(self) -> None:
        """Ask the policy node to stop before its inputs are missed."""
        if not self._policy:
            return
        client = self._node.create_client(ChangeState, f"{self._policy}/change_state")
        end = time.monotonic() + _DEACTIVATE_S
        try:
            while not client.service_is_ready() and time.monotonic() < end:
                self._spin()
            request = ChangeState.Request()
            request.transition.id = Transition.TRANSITION_DEACTIVATE
            answer = client.call_async(request)
            while not answer.done() and time.monotonic() < end:
                self._spin()
        finally:
            self._node.destroy_client(client)

    def _missing(self, inputs: Mapping[str, Any], recorded: list[str]) -> list[str]:
        trace = self._node.resolve_topic_name(_TRACE)
        policies = self._node.get_publishers_info_by_topic(trace)
        if not policies or not all(map(_named, policies)):
            return [f"a policy node (a publisher of {trace})"]
        if len(policies) > 1:
            return [f"one policy node only; there are {listed(map(_name, policies))}"]
        self._policy = _name(policies[0])
        missing = [
            f"a subscription of {self._policy} to {publisher.topic_name}"
            for publisher in inputs.values()
            if self._policy not in self._listening(publisher.topic_name)
        ]
        if missing:
            return missing
        if self._ask() != State.PRIMARY_STATE_ACTIVE:
            return [f"{self._policy} to be active; its state is {self._state}"]
        if recorded:
            sinks = [self._node.resolve_topic_name(sink.topic) for sink in self._robot.sinks]
            return [
                f"the recorder on {topic}"
                for topic in (*recorded, trace, *sinks)
                if in_scope(topic, self._node.get_namespace())
                and not any(name.rpartition("/")[2] == RECORDER for name in self._listening(topic))
            ]
        return []

    def _ask(self) -> int:
        """The policy's state as far as it has answered; asks again where it has not."""
        if self._client is None:
            self._client = self._node.create_client(GetState, f"{self._policy}/get_state")
        if not self._client.service_is_ready():
            return State.PRIMARY_STATE_UNKNOWN
        now = time.monotonic()
        if self._question is None or now - self._question[1] > _ASK_AGAIN_S:
            self._question = self._client.call_async(GetState.Request()), now
        answer = self._question[0]
        if not answer.done():
            return State.PRIMARY_STATE_UNKNOWN
        self._question = None
        self._state = answer.result().current_state.label
        return int(answer.result().current_state.id)

    def _settled(self, inputs: Iterable[Any]) -> bool:
        node, found = self._node, []
        for publisher in inputs:
            topic = publisher.topic_name
            if publisher.get_subscription_count() < node.count_subscribers(topic):
                return False
            found += node.get_publishers_info_by_topic(topic)
        for sink in self._robot.sinks:
            found += node.get_subscriptions_info_by_topic(node.resolve_topic_name(sink.topic))
        return all(map(_named, found))

    def _listening(self, topic: str) -> set[str]:
        return {_name(info) for info in self._node.get_subscriptions_info_by_topic(topic)}

    @property
    def _me(self) -> str:
        return f"{self._node.get_namespace().rstrip('/')}/{self._node.get_name()}"


def _named(endpoint: Any) -> bool:
    """Whether it is known already whose endpoint it is."""
    return endpoint.node_name != _UNKNOWN


def _name(endpoint: Any) -> str:
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
