"""Running one node as a process: an executor that can be stopped by a signal, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lram_core.errors import LramError
from lram_core.signals import StopRequest

SPIN_S = 0.1
"""Longest wait inside the executor: how late a signal may be noticed while nothing arrives."""


def make_executor(context: Context | None = None) -> Executor:
    """Return rclpy's EventsExecutor, or where there is none (before Jazzy's) the standard one."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def run_node(start: Callable[[StopRequest], Any], argv: Sequence[str] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM.

    rclpy's own signal handlers are left out: they end the context in the middle of a callback.

    Args:
        start: builds the node; it is given the stop request, may look at it while it waits, and
            raises LramError to refuse. The node's ``stop()``, if it has one, is called before
            its publishers go.
        argv: command line with ROS arguments, the process's own by default.

    Returns:
        Exit code: 0 after a signal, 2 when LramError was raised (printed in one line).
    """
    stop = StopRequest()
    rclpy.init(
        args=None if argv is None else list(argv), signal_handler_options=SignalHandlerOptions.NO
    )
    node: Node | None = None
    try:
        node = start(stop)
        spin(node, stop)
        return 0
    except LramError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2
    finally:
        if node is not None:
            if hasattr(node, "stop"):
                node.stop()
            node.destroy_node()
        rclpy.try_shutdown()


def spin(node: Node, stop: StopRequest) -> None:
    """Serve the node's callbacks until ``stop``.

    One event at a time: ``EventsExecutor.spin()`` itself does not return on a signal.
    """
    executor = make_executor(node.context)
    executor.add_node(node)
    try:
        while not stop and node.context.ok():
            executor.spin_once(timeout_sec=SPIN_S)
    except ExternalShutdownException:
        pass
    finally:
        executor.remove_node(node)
        executor.shutdown()
