"""Are the topics of a robot contract being published right now, with the right types and QoS?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy

from lram_core.errors import ContractError, listed
from lram_ros.robot_contract import InputTopic, RobotContract

_POLL_S = 0.05


def wait_for_topics(
    node: Node,
    robot: RobotContract,
    timeout: float,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait until every input is published, then check types and reliability.

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
            are), has another type, or is offered as best effort where the contract wants
            reliable (a reliable subscriber would receive nothing).
    """
    end = time.monotonic() + timeout
    names = {node.resolve_topic_name(topic.topic): topic for topic in robot.topics}
    while True:
        offered = {name: node.get_publishers_info_by_topic(name) for name in names}
        missing = [name for name, publishers in offered.items() if not publishers]
        for name, publishers in offered.items():
            for publisher in publishers:
                _check_publisher(robot.source, name, names[name], publisher)
        _check_command(node, robot)
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
    offered = publisher.qos_profile.reliability
    if topic.reliability == "reliable" and offered == ReliabilityPolicy.BEST_EFFORT:
        raise ContractError(
            f"{source}: topic {name} is published as best_effort (by {_node_name(publisher)}), "
            f"the contract subscribes as reliable and would receive nothing"
        )


def _check_command(node: Node, robot: RobotContract) -> None:
    name = node.resolve_topic_name(robot.command.topic)
    for subscriber in node.get_subscriptions_info_by_topic(name):
        if subscriber.topic_type != robot.command.type:
            raise ContractError(
                f"{robot.source}: command topic {name} is subscribed to as "
                f"{subscriber.topic_type} (by {_node_name(subscriber)}), the contract sends "
                f"{robot.command.type}"
            )


def _node_name(endpoint: Any) -> str:
    return f"{endpoint.node_namespace.rstrip('/')}/{endpoint.node_name}"
