"""Helpers of the ROS tests: child processes, a node that listens, a robot made of publishers."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import rclpy
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

from lram_ros.msg import EpisodeStatus, Reward
from lram_ros.process import make_executor
from lram_ros.qos import data_qos

CONTRACT = Path(__file__).parents[1] / "config" / "metaworld.yaml"
SECOND = 1_000_000_000
# The listener may be starved for a while; it must not lose a message then.
LISTEN_QOS = QoSProfile(depth=5000, reliability=ReliabilityPolicy.RELIABLE)


def default_signals() -> None:
    """In a child before it runs: whatever the test run's parent ignored, the child does not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


class Process:
    """A node as a child process; its output is collected in a file."""

    def __init__(self, log: Path, module: str, **parameters: object) -> None:
        self.log = log
        command = [sys.executable, "-m", module, "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=default_signals,
            )

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, timeout: float = 60) -> None:
        """Wait until ``text`` is in the output."""
        deadline = time.monotonic() + timeout
        while text not in self.output:
            assert self.process.poll() is None, f"ended early:\n{self.output}"
            assert time.monotonic() < deadline, f"no {text!r} in:\n{self.output}"
            time.sleep(0.02)

    def wait(self, timeout: float = 30) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(timeout)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal; returns the exit code."""
        self.process.send_signal(number)
        return self.wait()


@contextmanager
def processes(folder: Path) -> Iterator[Callable[..., Process]]:
    """Gives a function that starts a Process by module name; none of them survives the block."""
    started: list[Process] = []

    def start(module: str, **parameters: object) -> Process:
        log = folder / f"{module.rpartition('.')[2]}-{len(started)}.log"
        started.append(Process(log, module, **parameters))
        return started[-1]

    try:
        yield start
    finally:
        for child in started:
            if child.process.poll() is None:
                child.process.kill()
            child.process.wait()


class Peer:
    """A node of the test with an executor of its own; use as a context manager."""

    def __init__(self, name: str = "peer") -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, context=self.context)
        self._nodes = [self.node]
        self._executor = make_executor(self.context)
        self._executor.add_node(self.node)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        for node in reversed(self._nodes):
            self._executor.remove_node(node)
            node.destroy_node()
        self._executor.shutdown()
        rclpy.shutdown(context=self.context)

    def add(self, node: Any) -> None:
        """Serve another node of the same context too."""
        self._nodes.append(node)
        self._executor.add_node(node)

    def listen(self, kind: Any, topic: str) -> list[Any]:
        """Return a list that every message of the topic is appended to."""
        found: list[Any] = []
        self.node.create_subscription(kind, topic, found.append, LISTEN_QOS)
        return found

    def spin(self, seconds: float) -> None:
        self.until(lambda: False, seconds, must=False)

    def until(self, done: Callable[[], Any], timeout: float = 30, must: bool = True) -> None:
        """Spin until ``done()``; fails after ``timeout`` seconds if it ``must``."""
        deadline = time.monotonic() + timeout
        while not done():
            left = deadline - time.monotonic()
            if left <= 0:
                assert not must, "what was waited for did not happen"
                return
            self._executor.spin_once(timeout_sec=min(left, 0.02))

    def call(self, kind: Any, service: str, **fields: object) -> Any:
        """Call a service and return its answer."""
        client = self.node.create_client(kind, service)
        self.until(client.service_is_ready)
        answer = client.call_async(kind.Request(**fields))
        self.until(answer.done)
        self.node.destroy_client(client)
        return answer.result()


def parameters(**values: object) -> list[Parameter]:
    """Parameter overrides for a node made in this process."""
    return [Parameter(name, value=value) for name, value in values.items()]


class Robot:
    """The topics of config/metaworld.yaml, published by hand; every reading can be changed."""

    kinds: ClassVar[dict[str, Any]] = {
        "end_effector/pose": PoseStamped,
        "gripper/state": JointState,
        "object_1/pose": PoseStamped,
        "object_2/pose": PoseStamped,
        "goal": PointStamped,
        "reward": Reward,
        "episode": EpisodeStatus,
    }

    def __init__(self, node: Any, **kinds: Any) -> None:
        """``kinds`` replaces a topic's type (``/`` written as ``__``), or leaves it out (None)."""
        chosen = {**self.kinds, **{name.replace("__", "/"): k for name, k in kinds.items()}}
        self.publishers = {
            topic: node.create_publisher(kind, topic, data_qos())
            for topic, kind in chosen.items()
            if kind is not None
        }

    def messages(self, tick: int, episode: int = 1, stamp: int | None = None) -> dict[str, Any]:
        """Return a full set of messages of one stamp (ns), to change and publish."""
        return robot_messages(tick, episode, stamp)

    def publish(self, messages: dict[str, Any]) -> None:
        for topic, message in messages.items():
            self.publishers[topic].publish(message)

    def wait_for_subscribers(self, peer: Peer) -> None:
        peer.until(lambda: all(p.get_subscription_count() for p in self.publishers.values()))


def robot_messages(tick: int, episode: int = 1, stamp: int | None = None) -> dict[str, Any]:
    """Return one message for each topic of the Meta-World contract, running episode."""
    messages = {topic: kind() for topic, kind in Robot.kinds.items()}
    at = (tick + 1) * 12_500_000 if stamp is None else stamp
    for message in messages.values():
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(at, SECOND)
    position = messages["end_effector/pose"].pose.position
    position.x, position.y, position.z = 0.1, 0.2 + 0.001 * tick, 0.3
    messages["gripper/state"].name = ["gripper"]
    messages["gripper/state"].position = [0.5]
    for name in ("reward", "episode"):
        messages[name].episode = episode
        messages[name].tick = tick
    messages["reward"].value = 0.25
    messages["episode"].task = "reach-v3"
    messages["episode"].state = EpisodeStatus.RUNNING
    return messages
