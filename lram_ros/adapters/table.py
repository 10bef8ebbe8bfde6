"""The command adapters that exist and what each takes. Plain data: the contract is read with it."""

from __future__ import annotations

from dataclasses import dataclass

FLOATS = "std_msgs/msg/Float64MultiArray"
FLOAT = "std_msgs/msg/Float64"
JOINT_STATE = "sensor_msgs/msg/JointState"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
TWIST = "geometry_msgs/msg/TwistStamped"
ACTION_COMMAND = "lram_ros/msg/ActionCommand"

AXES = ("x", "y", "z", "rx", "ry", "rz")
# Quantity of a sink → dimension of its fields' units. A native field may have any.
DIMENSIONS = {
    "position": ("angle", "length"),
    "velocity": ("angular velocity", "velocity"),
    "effort": ("torque", "force", "current"),
    "twist": ("velocity", "angular velocity"),
}
# Quantity of a sink → what can be done when no new motion is allowed, the default first.
SAFE = {
    "position": ("hold", "decelerate", "none"),
    "velocity": ("zero", "decelerate", "none"),
    "twist": ("zero", "decelerate", "none"),
    "effort": ("zero", "none"),
    "native": ("none",),
}


@dataclass(frozen=True)
class AdapterSpec:
    """What an adapter takes.

    Attributes:
        types: message types it writes, the default first.
        quantities: what its fields command, the default first.
        options: keys of the contract's sink that only some adapters have.
        single: whether it takes exactly one field.
    """

    types: tuple[str, ...]
    quantities: tuple[str, ...]
    options: tuple[str, ...] = ()
    single: bool = False


ADAPTERS: dict[str, AdapterSpec] = {
    # position_controllers, velocity_controllers, effort_controllers; forward_command_controller
    "forward_position": AdapterSpec((FLOATS,), ("position",)),
    "forward_velocity": AdapterSpec((FLOATS,), ("velocity",)),
    "forward_effort": AdapterSpec((FLOATS,), ("effort",)),
    # joint_trajectory_controller
    "joint_trajectory": AdapterSpec((TRAJECTORY,), ("position",), ("time_from_start",)),
    # drivers that take a JointState, topic_based_ros2_control
    "joint_state_command": AdapterSpec(
        (JOINT_STATE,), ("position", "velocity", "effort"), ("quantity", "frame")
    ),
    # servoing, mobile bases
    "twist": AdapterSpec((TWIST,), ("twist",), ("frame",)),
    # a gripper's one joint, on a topic
    "gripper": AdapterSpec(
        (FLOATS, FLOAT, JOINT_STATE),
        ("position", "effort"),
        ("quantity", "max_effort"),
        single=True,
    ),
    # lram_ros/msg/ActionCommand, by name
    "native": AdapterSpec((ACTION_COMMAND,), ("native",)),
}
