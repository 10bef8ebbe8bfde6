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
        use: which controller or driver it is for, in a few words.
    """

    types: tuple[str, ...]
    quantities: tuple[str, ...]
    use: str
    options: tuple[str, ...] = ()
    single: bool = False


ADAPTERS: dict[str, AdapterSpec] = {
    "forward_position": AdapterSpec(
        (FLOATS,), ("position",), "position_controllers, forward_command_controller"
    ),
    "forward_velocity": AdapterSpec(
        (FLOATS,), ("velocity",), "velocity_controllers, forward_command_controller"
    ),
    "forward_effort": AdapterSpec(
        (FLOATS,), ("effort",), "effort_controllers, forward_command_controller"
    ),
    "joint_trajectory": AdapterSpec(
        (TRAJECTORY,), ("position",), "joint_trajectory_controller", ("time_from_start",)
    ),
    "joint_state_command": AdapterSpec(
        (JOINT_STATE,),
        ("position", "velocity", "effort"),
        "drivers that take a JointState, topic_based_ros2_control",
        ("quantity", "frame"),
    ),
    "twist": AdapterSpec((TWIST,), ("twist",), "servoing, mobile bases", ("frame",)),
    "gripper": AdapterSpec(
        (FLOATS, FLOAT, JOINT_STATE),
        ("position", "effort"),
        "a gripper's one joint, on a topic",
        ("quantity", "max_effort"),
        single=True,
    ),
    "native": AdapterSpec((ACTION_COMMAND,), ("native",), "lram_ros/ActionCommand, by name"),
}
