"""Commands on topics: ActionCommand as an action, those of controllers as targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from lram_core.contract import ActionField
from lram_core.errors import ContractError, LramError, listed
from lram_ros.msg import ActionCommand
from lram_sim.bridge_messages import QOS
from lram_sim.drive import Targets
from lram_sim.suite import Array

_LOG_S = 2.0


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


def subscribe_controllers(node: Node, targets: Targets) -> None:
    """Listen to the topics of ros2_control's controllers and fill ``targets``.

    What does not fit the suite is refused with an error in the log.
    """

    def listen(kind: Any, topic: str, take: Callable[[Any], None]) -> None:
        def on_message(message: Any) -> None:
            try:
                take(message)
            except LramError as error:
                node.get_logger().error(
                    f"{topic}: command ignored: {error}", throttle_duration_sec=_LOG_S
                )

        node.create_subscription(kind, topic, on_message, QOS)

    if targets.drive.joints:
        listen(
            Float64MultiArray,
            "forward_position_controller/commands",
            lambda message: targets.positions(np.array(message.data)),
        )
        listen(
            Float64MultiArray,
            "forward_velocity_controller/commands",
            lambda message: targets.velocities(np.array(message.data)),
        )
        listen(
            JointTrajectory,
            "joint_trajectory_controller/joint_trajectory",
            lambda message: targets.positions(*_last_point(message)),
        )
    else:
        listen(TwistStamped, "twist", lambda message: targets.twist(_twist(message.twist)))
    listen(
        Float64MultiArray,
        "gripper_controller/commands",
        lambda message: targets.gripper(_one(message.data)),
    )


def _last_point(message: Any) -> tuple[Array, list[str]]:
    """Where a trajectory ends: the arm follows at its own speed, not at the trajectory's."""
    if not message.points:
        raise ContractError("a trajectory without points")
    values = np.array(message.points[-1].positions)
    if len(values) != len(message.joint_names):
        raise ContractError(f"{len(message.joint_names)} joints, but {len(values)} positions")
    return values, list(message.joint_names)


def _twist(twist: Any) -> Array:
    parts = (twist.linear, twist.angular)
    return np.array([getattr(part, axis) for part in parts for axis in "xyz"])


def _one(values: Any) -> float:
    if len(values) != 1:
        raise ContractError(f"{len(values)} values, expected one")
    return float(values[0])
