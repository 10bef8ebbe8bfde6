"""Real processes for the fault campaign: a mock robot, a policy node, and a node that looks on."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from benchmarks import fault_arm
from benchmarks.fault_arm import COMMANDS, Patience
from benchmarks.fault_motion import Array, MotionLimits
from lram_core.errors import CommandError
from lram_ros.children import Children, ros_arguments
from lram_ros.domain import isolation, reserved_domain
from lram_ros.msg import ActionCommand, PolicyTick
from lram_ros.process import make_executor
from lram_ros.srv import ResetEpisode
from lram_ros.surroundings import environment

CLOCKS = ("wall", "sim")
LIMITS = MotionLimits(
    -fault_arm.REACH,
    fault_arm.REACH,
    fault_arm.VELOCITY,
    fault_arm.ACCELERATION,
    1.0 / fault_arm.RATE,
)
WAIT_S = 60.0  # for anything to happen on a busy machine
_CALL_S = 3.0
POLL_S = 0.005
_QOS = QoSProfile(depth=5000, reliability=ReliabilityPolicy.RELIABLE)
_LINE = re.compile(r"\[(\w+)\] \[(\d+\.\d+)\] \[([\w.]+)\]: (.*)")
_STOPPED = re.compile(r"stopped: (\w+)(?:: (.*?))?(?:; re-arm by the service ~/rearm)?$")


def wait_until(done: Callable[[], Any], what: str, timeout: float = WAIT_S) -> Any:
    """Return what ``done`` returned. Raises CommandError if that was not true in time."""
    end = time.monotonic() + timeout
    while not (found := done()):
        if time.monotonic() > end:
            raise CommandError(f"not within {timeout:g} s: {what}")
        time.sleep(POLL_S)
    return found


def kill(pid: int) -> float:
    """End a process by SIGKILL; returns when, by the system time."""
    at = time.time()
    os.kill(pid, signal.SIGKILL)
    return at


class Log:
    """What a node has written to its log file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mark(self) -> int:
        """Return where the file ends now."""
        return self.path.stat().st_size

    def lines(self, since: int) -> list[tuple[float, str]]:
        """Return (system time in s, text) of the lines after a mark."""
        text = self.path.read_bytes()[since:].decode(errors="replace")
        return [(float(m[2]), m[4]) for m in map(_LINE.match, text.splitlines()) if m]

    def find(self, since: int, words: str) -> float | None:
        """Return when the first line with ``words`` was written; None: there is none."""
        return next((at for at, text in self.lines(since) if words in text), None)

    def stop(self, since: int) -> tuple[str, str] | None:
        """Return (reason, detail) of the first stop after a mark; None: there was none."""
        for _, text in self.lines(since):
            if match := _STOPPED.search(text):
                return match[1], match[2] or ""
        return None


class Observer:
    """A node of this process that notes what it hears, with the system time; a thread serves it.

    Attributes:
        commands, traces: (time, values) of the arm's commands, and of those that the policy was
            asked for.
        states: (time, positions) of the arm's joints.
        received: times at which the mock robot had understood a command.
        hands: (time, position) of the simulated robot's hand.
        reset: client of the simulated robot's service.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[float, Array]] = []
        self.traces: list[tuple[float, Array]] = []
        self.states: list[tuple[float, Array]] = []
        self.received: list[float] = []
        self.hands: list[tuple[float, Array]] = []
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("fault_observer", context=self.context)
        listen = self.node.create_subscription
        listen(Float64MultiArray, COMMANDS, self._on_command, _QOS)
        listen(PolicyTick, "policy/tick", self._on_trace, _QOS)
        listen(JointState, "joint_states", self._on_state, _QOS)
        listen(ActionCommand, "mock_robot/received", self._on_received, _QOS)
        listen(PoseStamped, "end_effector/pose", self._on_hand, _QOS)
        self._rearm = self.node.create_client(Trigger, "policy/rearm")
        self.reset = self.node.create_client(ResetEpisode, "reset_episode")
        self._set = self.node.create_client(SetParameters, "mock_robot/set_parameters")
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="observer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping = True
        self._thread.join()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)
        # A traceback may keep this object until the interpreter ends, which is too late for these.
        del self.node, self.context, self.reset, self._rearm, self._set

    def rearm(self) -> tuple[bool, str]:
        """Ask for a re-arm once."""
        answer = self._call(self._rearm, Trigger.Request())
        return (False, "no answer") if answer is None else (answer.success, answer.message)

    def set_faults(self, text: str) -> None:
        """Set the mock robot's faults.

        Raises:
            CommandError: it refuses them, or does not answer.
        """
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name="faults", value=value)])
        answer = wait_until(lambda: self._call(self._set, request), "the mock robot's answer")
        if not answer.results[0].successful:
            raise CommandError(f"faults '{text}': {answer.results[0].reason}")

    def call(self, client: Any, request: Any) -> Any:
        """Call a service of ``node`` and wait for the answer, for as long as it takes."""
        return wait_until(lambda: self._call(client, request), f"answer of {client.srv_name}")

    def _call(self, client: Any, request: Any) -> Any:
        if not client.service_is_ready():
            return None
        future = client.call_async(request)
        end = time.monotonic() + _CALL_S
        while not future.done():
            if time.monotonic() > end:
                client.remove_pending_request(future)
                return None
            time.sleep(POLL_S)
        return future.result()

    def _serve(self) -> None:
        executor = make_executor(self.context)
        executor.add_node(self.node)
        while not self._stopping:
            executor.spin_once(timeout_sec=0.1)
        executor.remove_node(self.node)
        executor.shutdown()

    def _on_command(self, message: Any) -> None:
        self.commands.append((time.time(), np.array(message.data)))

    def _on_trace(self, message: Any) -> None:
        self.traces.append((time.time(), np.array(message.commanded_action)))

    def _on_state(self, message: Any) -> None:
        self.states.append((time.time(), np.array(message.position)))

    def _on_received(self, message: Any) -> None:
        self.received.append(time.time())

    def _on_hand(self, message: Any) -> None:
        at = message.pose.position
        self.hands.append((time.time(), np.array([at.x, at.y, at.z])))


class Rig:
    """A mock robot and a policy node as processes, in a ROS 2 domain of their own.

    Attributes:
        observer: see :class:`Observer`.
        policy, mock: process ids.
        policy_log, mock_log: what they wrote.
        heard: mark in the policy's log up to which its stops are accounted for.
    """

    def __init__(
        self,
        folder: Path,
        children: Children,
        observer: Observer,
        clock: str,
        patience: Patience,
        motion: str = "position",
    ) -> None:
        self.observer, self.clock, self.patience = observer, clock, patience
        self._folder, self._children = folder, children
        self._contract, bundle = fault_arm.write(folder, patience, motion)
        self._count = 0
        self.heard = 0
        self.start_mock()
        parameters = {
            "bundle": str(bundle),
            "contract": str(self._contract),
            "use_sim_time": clock == "sim",
            "proof_time": 0.3,
            "blend_time": 0.3,
            "watchdog": patience.watchdog,
            "late_after": patience.late,
            "topic_timeout": WAIT_S,
            "activation_timeout": WAIT_S,
            "black_box": str(folder / "boxes"),
        }
        self.policy = children.start("policy", "lram_ros.policy_node", ros_arguments(parameters))
        self.policy_log = Log(folder / "logs" / "policy.log")

    def start_mock(self) -> None:
        """Start a mock robot; the one before has to be gone."""
        self._count += 1
        name = f"mock-{self._count}"
        arguments = ["mock-robot", str(self._contract)]
        if self.clock == "sim":
            arguments.append("--sim-time")
        self.mock = self._children.start(name, "lram_core.cli", arguments)
        self.mock_log = Log(self._folder / "logs" / f"{name}.log")
        self.mock_started = time.monotonic()

    def usage(self) -> tuple[int, float]:
        """Return (threads, resident memory in MB) of the policy node."""
        text = Path(f"/proc/{self.policy}/status").read_text()
        found = dict(line.split(":", 1) for line in text.splitlines())
        return int(found["Threads"]), int(found["VmRSS"].split()[0]) * 1024 / 1e6


@contextmanager
def rig(folder: Path, clock: str, patience: Patience, motion: str = "position") -> Iterator[Rig]:
    """Processes that end with the block."""
    with (
        reserved_domain() as domain,
        environment(isolation(domain)),
        Children(folder / "logs", {**isolation(domain), "OMP_NUM_THREADS": "1"}) as children,
    ):
        observer = Observer()
        try:
            yield Rig(folder, children, observer, clock, patience, motion)
        finally:
            observer.close()
