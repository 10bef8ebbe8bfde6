"""A node as a process: an executor that stops on a signal, and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.context import Context
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lram_core.errors import CommandError
from lram_core.signals import StopRequest, run_process

SPIN_S = 0.1
"""Longest wait inside the executor: how late a signal may be noticed while nothing arrives."""


def make_executor(context: Context | None = None) -> Executor:
    """Return rclpy's EventsExecutor, or the standard one where rclpy has none yet."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def spin(node: Node, stopped: Callable[[], bool]) -> None:
    """Serve the node's callbacks until ``stopped`` says so.

    One event at a time: ``EventsExecutor.spin()`` itself does not return on a signal.
    """
    executor = make_executor(node.context)
    executor.add_node(node)
    while not stopped() and node.context.ok():
        executor.spin_once(timeout_sec=SPIN_S)
    executor.remove_node(node)
    executor.shutdown()


def run_node(start: Callable[[StopRequest], Node], argv: Sequence[str] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM.

    rclpy's own signal handlers are left out: they end the context in the middle of a callback,
    so that nothing more could be published.

    Args:
        start: builds the node; may look at the stop request while it waits, and raises LramError
            to refuse. The node's ``stop()``, if it has one, is called at the end, while
            publishing still works.
        argv: command line with ROS arguments, the process's own by default.

    Returns:
        Exit code: 0 after a signal, 2 when LramError was raised or the ROS arguments are
        malformed (printed in one line).
    """

    def body(stop: StopRequest) -> None:
        arguments = list(sys.argv if argv is None else argv)
        try:
            rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:
            raise CommandError(f"ROS arguments: {' '.join(str(error).split())}") from None
        try:
            node = start(stop)
            try:
                spin(node, lambda: bool(stop))
            finally:
                if hasattr(node, "stop"):
                    node.stop()
                node.destroy_node()
        finally:
            rclpy.try_shutdown()

    return run_process(body)
