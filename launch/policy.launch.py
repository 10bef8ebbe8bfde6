"""A policy that drives a robot.

ros2 launch lram_ros policy.launch.py bundle:=FOLDER contract:=robot.yaml
ros2 launch lram_ros policy.launch.py --show-args
"""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lram_ros")


def argument(name, kind):
    """A launch argument as a parameter of a type, whatever it looks like."""
    return ParameterValue(LaunchConfiguration(name), value_type=kind)


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument("bundle", description="Folder of the policy bundle."),
        DeclareLaunchArgument(
            "contract", description="Robot contract (YAML), see docs/contract.md."
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=f"{SHARE}/config/params/policy.yaml",
            description="All other parameters of the policy node (YAML).",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the node and its topics."
        ),
        DeclareLaunchArgument(
            "use_sim_time",
            default_value="false",
            choices=["true", "false"],
            description="Whether /clock is the time.",
        ),
        DeclareLaunchArgument(
            "autostart",
            default_value="true",
            choices=["true", "false"],
            description="Configure and activate at the start; false: wait for a manager.",
        ),
    ]
    # No Shutdown at its end: this file may be part of a larger one, with the robot's drivers.
    policy = LifecycleNode(
        package="lram_ros",
        executable="policy_node",
        name="policy",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            {
                "bundle": argument("bundle", str),
                "contract": argument("contract", str),
                "use_sim_time": argument("use_sim_time", bool),
                # The node starts itself, with errors that say what is wrong; not launch as well.
                "autostart": argument("autostart", bool),
            },
        ],
    )
    return LaunchDescription([*arguments, policy])
