"""What a policy node tells of itself: status on /diagnostics, faults in log and black box."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from lram_ros.black_box import Recording
from lram_ros.diagnostics import loop_status, runtime_status, safety_status
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.policy_parameters import PolicyParameters
from lram_ros.qos import data_qos
from lram_ros.runner import Runner
from lram_ros.safety import Fault, Reason

_LOG_S = 2.0


class PolicyReports:
    """Stays over all transitions of the node, some of which it tells about.

    Args:
        node: the policy node.
        given: its parameters.
    """

    def __init__(self, node: Node, given: PolicyParameters) -> None:
        self._node, self._given = node, given
        self._diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", data_qos())
        self._reported = 0
        # One thread for all files, from the start on: a new one each time takes a new piece of
        # memory each time.
        self._writer = ThreadPoolExecutor(1, "black box")
        self._writer.submit(int)

    def begin(self) -> None:
        """Count from nothing: a new activation."""
        self._reported = 0

    def status(self, state: str, loaded: LoadedPolicy | None, runner: Runner | None) -> None:
        """Publish on /diagnostics how the node is, and what ticks it missed since the last time.

        Args:
            state: of the lifecycle.
            loaded: what it drives with, if anything.
            runner: of the present activation, if there is one.
        """
        name = self._node.get_name()
        found = [runtime_status(name, state, loaded, self._given["device"])]
        if runner is not None:
            now = time.monotonic()
            loop, stages = runner.notes.loop.summary(now), runner.notes.stages.summary(now)
            found.append(loop_status(name, loop, stages, self._reported))
            found.append(safety_status(name, runner.mode, runner.fault, runner.waiting_for))
            self._reported = loop.missed + loop.late
        message = DiagnosticArray(status=found)
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def say(self, severity: str, text: str) -> None:
        """Log; an error that repeats itself every tick only now and then."""
        if severity == "error":
            self._node.get_logger().error(text, throttle_duration_sec=_LOG_S)
        else:
            self._node.get_logger().warning(text)

    def fault(self, fault: Fault, loaded: LoadedPolicy | None, runner: Runner | None) -> None:
        """From any thread: tell, and keep the ticks before it."""
        again = "" if fault.reason is Reason.RUNNER_FAILED else "; re-arm by the service ~/rearm"
        self._node.get_logger().error(f"stopped: {fault}{again}")
        if runner is not None:
            recording = runner.notes.box.snapshot(str(fault), _about(loaded))
            self._writer.submit(self._save, recording)

    def close(self) -> None:
        """Wait for the files that are being written."""
        self._writer.shutdown()

    def _save(self, recording: Recording) -> None:
        try:
            path = recording.save(self._given.black_box)
            self._node.get_logger().info(f"black box: {path}")
        except Exception as error:  # a thread has nobody to raise to
            self._node.get_logger().error(str(error))


def _about(loaded: LoadedPolicy | None) -> dict[str, str]:
    if loaded is None:
        return {}
    return {"bundle": loaded.bundle, "runtime": loaded.policy.runtime.describe()}
