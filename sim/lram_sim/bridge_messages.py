"""Snapshots of the simulated robot as ROS messages: one set of topics a control tick."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from lram_core.contract import ActionField, sensor_sizes
from lram_core.errors import ContractError, listed
from lram_ros.msg import ActionCommand, EpisodeStatus, Reward
from lram_sim.bridge_episode import Snapshot, State
from lram_sim.suite import Array, Suite

FRAME = "world"
QOS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Reliable: lockstep must not lose a message."""

# topic → (sensor with a position, sensor with an orientation or None)
_POSES = {
    "end_effector/pose": ("ee_position", None),
    "object_1/pose": ("object_1_position", "object_1_orientation"),
    "object_2/pose": ("object_2_position", "object_2_orientation"),
}
_POINTS = {"goal": "goal_position"}
_OPENINGS = {"gripper/state": ("gripper", "gripper_opening")}


class SnapshotPublisher:
    """Publishes snapshots; message objects are built once and refilled.

    Every sensor of the suite must have its topic above.

    Raises:
        ContractError: the suite has a sensor that no topic carries.
    """

    def __init__(self, node: Node, suite: Suite) -> None:
        self._suite = suite
        self._stamp = Time()
        self._last: Snapshot | None = None
        self._fillers: list[tuple[Any, Any, Callable[[Any, Snapshot], None]]] = []
        sensors = set(sensor_sizes(suite.observation_fields))
        carried: set[str] = set()
        self._clock = node.create_publisher(Clock, "/clock", QOS)
        self._clock_message = Clock(clock=self._stamp)

        def add(kind: Any, topic: str, fill: Callable[[Any, Snapshot], None], *names: str) -> None:
            if not set(names) <= sensors:
                return
            carried.update(names)
            message = kind()
            message.header.stamp = self._stamp
            message.header.frame_id = FRAME
            self._fillers.append((node.create_publisher(kind, topic, QOS), message, fill))

        for topic, (position, orientation) in _POSES.items():
            names = [position] if orientation is None else [position, orientation]
            add(PoseStamped, topic, _pose_filler(position, orientation), *names)
        for topic, point in _POINTS.items():
            add(PointStamped, topic, _point_filler(point), point)
        for topic, (joint, sensor) in _OPENINGS.items():
            add(JointState, topic, _opening_filler(joint, sensor), sensor)
        add(JointState, "joint_states", _fill_joints)
        add(Reward, "reward", _fill_reward)
        add(EpisodeStatus, "episode", self._fill_status)
        left = sorted(sensors - carried)
        if left:
            raise ContractError(f"suite '{suite.name}': no topic for the sensors {listed(left)}")

    def publish(self, snapshot: Snapshot) -> None:
        """Publish /clock, then every topic with the snapshot's stamp; the episode comes last.

        A running episode that is replaced by another one is announced as aborted first.
        """
        if self._last is not None and self._last.episode != snapshot.episode:
            self.abort()
        self._last = snapshot
        self._stamp.sec, self._stamp.nanosec = divmod(snapshot.stamp, 1_000_000_000)
        self._clock.publish(self._clock_message)
        for publisher, message, fill in self._fillers:
            fill(message, snapshot)
            publisher.publish(message)

    def abort(self) -> None:
        """Announce the end of a running episode, with the stamp of its last set."""
        if self._last is None or self._last.state is not State.RUNNING:
            return
        self._last = replace(self._last, state=State.ABORTED)
        publisher, message, fill = self._fillers[-1]
        fill(message, self._last)
        publisher.publish(message)

    def flush(self, timeout_s: float = 0.3) -> None:
        """Wait a moment until every subscriber has everything.

        Acknowledgements may take seconds (they come with the middleware's next heartbeat), or
        never come from who died; what was published is on its way in any case.
        """
        end = time.monotonic() + timeout_s
        for publisher, _, _ in self._fillers:
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, end - time.monotonic())))

    def _fill_status(self, message: Any, snapshot: Snapshot) -> None:
        message.episode = snapshot.episode
        message.tick = snapshot.tick
        message.suite = self._suite.name
        message.task = snapshot.task
        message.seed = snapshot.seed
        message.state = int(snapshot.state)
        message.success = snapshot.success
        message.reward = snapshot.reward
        message.episode_return = snapshot.episode_return


class CommandReader:
    """Reads an action out of an ActionCommand by field name."""

    def __init__(self, fields: tuple[ActionField, ...]) -> None:
        self._names = [field.name for field in fields]
        self._low = np.array([field.low for field in fields])
        self._high = np.array([field.high for field in fields])

    def read(self, message: ActionCommand) -> Array:
        """Return the action, float64 (action_size,), clipped to the suite's limits.

        Raises:
            ContractError: names and values do not pair up, a field is missing, unknown or
                doubled, or a value is not finite.
        """
        names, values = list(message.name), np.array(message.value, dtype=np.float64)
        if len(names) != len(values):
            raise ContractError(f"command: {len(names)} names, but {len(values)} values")
        if names != self._names:
            if sorted(names) != sorted(self._names):
                raise ContractError(
                    f"command: fields {listed(names)}, expected {listed(self._names)}"
                )
            values = values[[names.index(name) for name in self._names]]
        if not np.isfinite(values).all():
            raise ContractError(f"command: not finite: {values.tolist()}")
        return np.clip(values, self._low, self._high)


def _pose_filler(position: str, orientation: str | None) -> Callable[[Any, Snapshot], None]:
    def fill(message: Any, snapshot: Snapshot) -> None:
        point = message.pose.position
        point.x, point.y, point.z = snapshot.sensors[position].tolist()
        if orientation is not None:
            turn = message.pose.orientation
            turn.x, turn.y, turn.z, turn.w = snapshot.sensors[orientation].tolist()

    return fill


def _point_filler(sensor: str) -> Callable[[Any, Snapshot], None]:
    def fill(message: Any, snapshot: Snapshot) -> None:
        point = message.point
        point.x, point.y, point.z = snapshot.sensors[sensor].tolist()

    return fill


def _opening_filler(joint: str, sensor: str) -> Callable[[Any, Snapshot], None]:
    def fill(message: Any, snapshot: Snapshot) -> None:
        message.name = [joint]
        message.position = array("d", snapshot.sensors[sensor].tobytes())

    return fill


def _fill_joints(message: Any, snapshot: Snapshot) -> None:
    names, position, velocity = snapshot.joints
    message.name = list(names)
    message.position = array("d", position.tobytes())
    message.velocity = array("d", velocity.tobytes())


def _fill_reward(message: Any, snapshot: Snapshot) -> None:
    message.episode = snapshot.episode
    message.tick = snapshot.tick
    message.value = snapshot.reward
