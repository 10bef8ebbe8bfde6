"""A node as a process: arguments, parameters, an executor that stops on a signal, exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.context import Context
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
    ParameterUninitializedException,
)
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from lram_core.errors import CommandError, LramError, one_line
from lram_core.signals import StopRequest, run_process

SPIN_S = 0.1
"""Longest wait inside the executor: how late a signal may be noticed while nothing arrives."""


@contextmanager
def ros(arguments: Sequence[str] | None = None) -> Iterator[None]:
    """The process's ROS 2 context, shut down at the end.

    rclpy's own signal handlers are left out: they end the context in the middle of a callback,
    so that nothing more could be published.

    Args:
        arguments: command line with ROS arguments, the process's own by default.

    Raises:
        CommandError: the ROS arguments are malformed.
    """
    given = list(sys.argv if arguments is None else arguments)
    try:
        rclpy.init(args=given, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        raise CommandError(f"ROS arguments: {one_line(error)}") from None
    try:
        yield
    finally:
        rclpy.try_shutdown()


def declare(
    node: Node,
    name: str,
    default: Any,
    description: str = "",
    read_only: bool = True,
    bounds: tuple[float, float] | None = None,
) -> Any:
    """Declare a parameter and return its value, of the type of ``default``.

    Args:
        bounds: smallest and largest value of a number.

    Raises:
        CommandError: it was given a value of another type, or out of bounds.
    """
    descriptor = ParameterDescriptor(description=description, read_only=read_only)
    if bounds is not None and isinstance(default, float):
        ends = FloatingPointRange(from_value=float(bounds[0]), to_value=float(bounds[1]))
        descriptor.floating_point_range = [ends]
    elif bounds is not None:
        whole = IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]), step=1)
        descriptor.integer_range = [whole]
    try:
        return node.declare_parameter(name, default, descriptor).value
    except InvalidParameterValueException as error:
        allowed = "" if bounds is None else f"expected {bounds[0]:g} to {bounds[1]:g}: "
        raise CommandError(f"parameter {name}: {allowed}{one_line(error)}") from None
    except (InvalidParameterTypeException, ParameterUninitializedException) as error:
        raise CommandError(f"parameter {name}: {error}") from None


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

    Raises:
        LramError: a callback raised one.
        CommandError: a callback raised anything else, or a thread of the node did and left it in
            the node's attribute ``failure``. The traceback goes to the log, at level debug.
    """
    executor = make_executor(node.context)
    executor.add_node(node)
    try:
        while not stopped() and node.context.ok():
            executor.spin_once(timeout_sec=SPIN_S)
            failure = getattr(node, "failure", None)
            if failure is not None:
                raise failure
    except LramError:
        raise
    except Exception as error:
        node.get_logger().debug(traceback.format_exc())
        raise CommandError(f"{node.get_name()} failed: {one_line(repr(error))}") from error
    finally:
        executor.remove_node(node)
        executor.shutdown()


def run_node(start: Callable[[StopRequest], Node], argv: Sequence[str] | None = None) -> int:
    """Run a node until SIGINT or SIGTERM.

    Args:
        start: builds the node; may look at the stop request while it waits, and raises LramError
            to refuse. The node's ``stop()``, if it has one, is called at the end, while
            publishing still works.
        argv: command line with ROS arguments, the process's own by default.

    Returns:
        Exit code: 0 after a signal, 2 when the node refused to start, failed while it ran, or
        the ROS arguments are malformed (printed in one line).
    """

    def body(stop: StopRequest) -> None:
        with ros(argv):
            node = start(stop)
            try:
                spin(node, lambda: bool(stop))
            finally:
                if hasattr(node, "stop"):
                    node.stop()
                node.destroy_node()

    return run_process(body)
