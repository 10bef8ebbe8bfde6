"""The package's own messages cross DDS between two nodes, every field of them."""

from __future__ import annotations

import time

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor

from lram_ros.msg import ActionCommand, EpisodeStatus, PolicyTick, Reward
from lram_ros.srv import ResetEpisode


@pytest.fixture
def context(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context)
    yield context
    rclpy.shutdown(context=context)


def filled(message_type, number=1):
    """A message with a value of its own in every field, so that no field can go lost unseen."""
    message = message_type()
    for name, kind in message_type.get_fields_and_field_types().items():
        number += 1
        if name == "header":
            message.header.stamp.sec, message.header.stamp.nanosec = number, number + 1
        elif kind.startswith("sequence"):
            element = kind.removeprefix("sequence<").removesuffix(">")
            value = {"string": f"text{number}", "boolean": True}.get(element, float(number))
            setattr(message, name, [value, value])
        elif kind == "string":
            setattr(message, name, f"text{number}")
        elif kind == "boolean":
            setattr(message, name, True)
        else:
            integral = "int" in kind or kind == "octet"
            setattr(message, name, number if integral else float(number))
    return message


@pytest.mark.parametrize("message_type", [ActionCommand, EpisodeStatus, PolicyTick, Reward])
def test_every_field_crosses_dds(context, message_type):
    sender = rclpy.create_node("sender", context=context)
    receiver = rclpy.create_node("receiver", context=context)
    got = []
    receiver.create_subscription(message_type, "message", got.append, 10)
    publisher = sender.create_publisher(message_type, "message", 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(receiver)
    sent = filled(message_type)
    assert sent != message_type()
    deadline = time.monotonic() + 20
    while not got and time.monotonic() < deadline:
        if publisher.get_subscription_count():
            publisher.publish(sent)
        executor.spin_once(timeout_sec=0.05)
    assert got
    assert got[0] == sent


def test_reset_service_crosses_dds(context):
    server = rclpy.create_node("server", context=context)
    client_node = rclpy.create_node("client", context=context)

    def reset(request, response):
        response.success = request.max_steps == 7
        response.message = f"{request.task} {request.seed}"
        response.stamp.nanosec = 5
        return response

    server.create_service(ResetEpisode, "reset_episode", reset)
    client = client_node.create_client(ResetEpisode, "reset_episode")
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(server)
    executor.add_node(client_node)
    assert client.wait_for_service(timeout_sec=20)
    future = client.call_async(ResetEpisode.Request(task="reach-v3", seed=-3, max_steps=7))
    executor.spin_until_future_complete(future, timeout_sec=20)
    answer = future.result()
    assert answer.success
    assert answer.message == "reach-v3 -3"
    assert answer.stamp.nanosec == 5
