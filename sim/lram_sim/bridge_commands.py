"""Commands on topics: ActionCommand as an action, those of controllers as targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
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
    if targets.drive.joints:
        _listen(
            node,
            Float64MultiArray,
            "forward_position_controller/commands",
            lambda message: targets.positions(np.array(message.data)),
        )
        _listen(
            node,
            Float64MultiArray,
            "forward_velocity_controller/commands",
            lambda message: targets.velocities(np.array(message.data)),
        )
        _listen(
            node,
            JointTrajectory,
            "joint_trajectory_controller/joint_trajectory",
            lambda message: targets.positions(*_last_point(message)),
        )
    else:
        _listen(node, TwistStamped, "twist", lambda message: targets.twist(_twist(message.twist)))
    _listen(
        node,
        Float64MultiArray,
        "gripper_controller/commands",
        lambda message: targets.gripper(_one(message.data)),
    )


def subscribe_stamped(node: Node, targets: Targets, complete: Callable[[int], None]) -> None:
    """Listen to joint positions in messages that say which set they answer, for lockstep.

    Args:
        node: listens, and logs what is refused.
        targets: of a suite that moves joints; filled.
        complete: called with the stamp (ns) when arm and gripper both have a target for it.
    """
    # A tool that does not move has no command to wait for.
    newest = dict.fromkeys(["arm", *(["gripper"] if targets.drive.gripper_joint else [])], -1)

    def answered(part: str, message: Any) -> None:
        stamp = message.header.stamp
        newest[part] = stamp.sec * 1_000_000_000 + stamp.nanosec
        if len(set(newest.values())) == 1:
            complete(newest[part])

    def on_arm(message: Any) -> None:
        targets.positions(*_paired(list(message.name), message.position))
        answered("arm", message)

    def on_gripper(message: Any) -> None:
        targets.gripper(_one(message.position))
        answered("gripper", message)

    _listen(node, JointState, "joint_commands", on_arm)
    if "gripper" in newest:
        _listen(node, JointState, "gripper_commands", on_gripper)


def _listen(node: Node, kind: Any, topic: str, take: Callable[[Any], None]) -> None:
    def on_message(message: Any) -> None:
        try:
            take(message)
        except LramError as error:
            node.get_logger().error(
                f"{topic}: command ignored: {error}", throttle_duration_sec=_LOG_S
            )

    node.create_subscription(kind, topic, on_message, QOS)


def _paired(names: list[str], positions: Any) -> tuple[Array, list[str]]:
    if len(positions) != len(names):
        raise ContractError(f"{len(names)} joints, but {len(positions)} positions")
    return np.array(positions), names


def _last_point(message: Any) -> tuple[Array, list[str]]:
    """Where a trajectory ends: the arm follows at its own speed, not at the trajectory's."""
    if not message.points:
        raise ContractError("a trajectory without points")
    return _paired(list(message.joint_names), message.points[-1].positions)


def _twist(twist: Any) -> Array:
    parts = (twist.linear, twist.angular)
    return np.array([getattr(part, axis) for part in parts for axis in "xyz"])


def _one(values: Any) -> float:
    if len(values) != 1:
        raise ContractError(f"{len(values)} values, expected one")
    return float(values[0])
