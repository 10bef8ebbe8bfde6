"""Are the topics of a robot contract being published right now, with the right types and QoS?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from lram_core.errors import ContractError, listed
from lram_ros.adapters.sink import CommandSink
from lram_ros.input_topic import InputTopic
from lram_ros.qos import command_qos, input_qos
from lram_ros.robot_contract import RobotContract

_POLL_S = 0.05
_ENDLESS_NS = 10**18  # some thirty years


def wait_for_topics(
    node: Node,
    robot: RobotContract,
    timeout: float,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait until every input is published, then check types and QoS, of the commands too.

    Args:
        node: whose graph is asked and whose namespace resolves the names. Call before it
            subscribes, so that its own endpoints are not taken for the robot's.
        robot: the contract.
        timeout: seconds to wait for publishers.
        stopped: asked while waiting; True ends it.

    Returns:
        False if ``stopped`` ended the wait.

    Raises:
        ContractError: a topic is still missing after ``timeout`` (the message names those there
            are), has another type, or offers less than the contract asks for, so that nothing
            would arrive; the message names the QoS policy. The same for who takes the commands.
    """
    end = time.monotonic() + timeout
    names = {node.resolve_topic_name(topic.topic): topic for topic in robot.topics}
    while True:
        offered = {name: node.get_publishers_info_by_topic(name) for name in names}
        missing = [name for name, publishers in offered.items() if not publishers]
        for name, publishers in offered.items():
            for publisher in publishers:
                _check_publisher(robot.source, name, names[name], publisher)
        for sink in robot.sinks:
            _check_command(node, robot.source, sink)
        if not missing:
            return True
        if stopped():
            return False
        if time.monotonic() >= end:
            raise ContractError(
                f"{robot.source}: no publisher of {listed(missing)} within {timeout:g} s; "
                f"published are {listed(_published(node))}"
            )
        time.sleep(_POLL_S)


def _published(node: Node) -> list[str]:
    return sorted(
        f"{name} ({', '.join(types)})"
        for name, types in node.get_topic_names_and_types()
        if node.count_publishers(name)
    )


def _check_publisher(source: str, name: str, topic: InputTopic, publisher: Any) -> None:
    if publisher.topic_type != topic.type:
        raise ContractError(
            f"{source}: topic {name} is published as {publisher.topic_type} "
            f"(by {_node_name(publisher)}), the contract expects {topic.type}"
        )
    problem = incompatible(publisher.qos_profile, input_qos(topic))
    if problem is not None:
        policy, offered, wanted = problem
        raise ContractError(
            f"{source}: topic {name} is published as {offered} (by {_node_name(publisher)}), "
            f"the contract subscribes as {wanted} and would receive nothing: QoS policy {policy}"
        )


def _check_command(node: Node, source: str, sink: CommandSink) -> None:
    name = node.resolve_topic_name(sink.topic)
    for subscriber in node.get_subscriptions_info_by_topic(name):
        if subscriber.topic_type != sink.type:
            raise ContractError(
                f"{source}: command topic {name} is subscribed to as "
                f"{subscriber.topic_type} (by {_node_name(subscriber)}), the contract sends "
                f"{sink.type}"
            )
        problem = incompatible(command_qos(sink), subscriber.qos_profile)
        if problem is not None:
            policy, offered, wanted = problem
            raise ContractError(
                f"{source}: command topic {name} is subscribed to as {wanted} (by "
                f"{_node_name(subscriber)}), the contract publishes as {offered} and nothing "
                f"would arrive: QoS policy {policy}"
            )


def incompatible(offered: QoSProfile, wanted: QoSProfile) -> tuple[str, str, str] | None:
    """Return (policy, offered, wanted) of the first QoS policy that keeps messages away.

    None: the publisher's profile offers what the subscriber's wants. Liveliness is not compared:
    a robot contract does not ask for it.
    """
    reliability = offered.reliability, wanted.reliability
    if reliability == (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE):
        return "reliability", "best_effort", "reliable"
    durability = offered.durability, wanted.durability
    if durability == (DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL):
        return "durability", "volatile", "transient_local"
    # Without a deadline a profile says 0, and the middleware the largest number it has.
    ours, theirs = (profile.deadline.nanoseconds for profile in (offered, wanted))
    if 0 < theirs < _ENDLESS_NS and not 0 < ours <= theirs:
        given = f"deadline {ours * 1e-9:g} s" if 0 < ours < _ENDLESS_NS else "no deadline"
        return "deadline", given, f"deadline {theirs * 1e-9:g} s"
    return None


def _node_name(endpoint: Any) -> str:
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
