"""The command ``lram rearm``: let a policy node that has stopped start again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from lram_core.errors import CommandError
from lram_core.signals import StopRequest, run_process


@click.command()
@click.argument("ros_arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--node", default="policy", show_default=True, help="Name of the policy node.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds to wait for the node and its answer.",
)
def rearm(ros_arguments: tuple[str, ...], node: str, timeout: float) -> None:
    """Let a policy node that has stopped start again; look why it stopped before you do.

    Calls its service ~/rearm, as "ros2 service call" does. Ends with 2 where the node refuses,
    which it does while the cause is still there. ROS arguments go behind "--".
    """

    def body(stop: StopRequest) -> None:
        from lram_ros.process import ros

        with ros(["rearm", *ros_arguments]):
            said = ask(f"{node}/rearm", timeout, lambda: bool(stop))
            if said:
                click.echo(f"{node}: accepted: {said}")

    sys.exit(run_process(body))


def ask(service: str, timeout: float, stopped: Callable[[], bool], context: Any = None) -> str:
    """Call a ``std_srvs/Trigger`` and return what it says; empty where ``stopped``.

    Args:
        timeout: seconds to wait for the service and its answer.

    Raises:
        CommandError: nobody offers the service, no answer came, or it was refused.
    """
    from rclpy.node import Node
    from std_srvs.srv import Trigger

    from lram_ros.process import SPIN_S, make_executor

    node = Node("lram_rearm", context=context, start_parameter_services=False)
    client = node.create_client(Trigger, service)
    name = str(client.service_name)
    executor = make_executor(node.context)
    executor.add_node(node)
    deadline, answer = time.monotonic() + timeout, None
    try:
        while not (answer and answer.done()):
            if stopped():
                return ""
            if time.monotonic() > deadline:
                what = "no answer from" if answer else "nobody offers the service"
                raise CommandError(f"{what} {name} after {timeout:g} s")
            if answer is None and client.service_is_ready():
                answer = client.call_async(Trigger.Request())
            executor.spin_once(timeout_sec=SPIN_S)
        result = answer.result()
    finally:
        executor.shutdown()
        node.destroy_node()
    if not result.success:
        raise CommandError(f"{name}: {result.message}")
    return str(result.message)
