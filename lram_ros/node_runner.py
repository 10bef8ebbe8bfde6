"""Runs a node as a process: clean start and stop, one clear line for an error."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Protocol

import rclpy
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.signals import SignalHandlerOptions

from lram_core.errors import LramError

POLL = 0.1  # seconds; a signal is noticed within this time


class ClosableNode(Protocol):
    """A node with something to finish while its publishers still work."""

    def close(self) -> None: ...

    def destroy_node(self) -> None: ...


def run_node(make_node: Callable[[], ClosableNode]) -> None:
    """Spin a node until SIGINT or SIGTERM, close it, then leave ROS; exits 2 on a LramError.

    rclpy's own signal handlers end the context in the middle of a callback, so that the node could
    not finish; here a signal sets a flag and the loop ends between two callbacks.
    """
    stopping: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopping.append(number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = make_node()
        try:
            executor = EventsExecutor()
            executor.add_node(node)
            while not stopping and rclpy.ok():
                executor.spin_once(timeout_sec=POLL)  # spin() of this executor may not return
        finally:
            node.close()
            node.destroy_node()
    except LramError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        rclpy.try_shutdown()
