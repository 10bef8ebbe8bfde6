"""A simulated robot and a policy that drives it; episodes are started by a service call.

ros2 launch lram_ros sim.launch.py mode:=realtime
ros2 service call /reset_episode lram_ros/srv/ResetEpisode "{task: reach-v3, seed: 1}"
ros2 launch lram_ros sim.launch.py --show-args
"""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lram_ros")


def text(name):
    """A launch argument that stays text, even where it looks like a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument("suite", default_value="metaworld", description="Task suite."),
        DeclareLaunchArgument(
            "mode",
            default_value="lockstep",
            choices=["lockstep", "realtime"],
            description="Advance on each command, or by the wall clock.",
        ),
        DeclareLaunchArgument(
            "bundle",
            default_value=f"{SHARE}/models/metaworld-ml45",
            description="Folder of the policy bundle.",
        ),
        DeclareLaunchArgument(
            "contract",
            default_value=f"{SHARE}/config/metaworld.yaml",
            description="Robot contract of the suite (YAML).",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=f"{SHARE}/config/params/sim.yaml",
            description="All other parameters of both nodes (YAML).",
        ),
        DeclareLaunchArgument(
            "video", default_value="", description="MP4 of the episodes; empty for none."
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the nodes and their topics."
        ),
    ]
    bridge = Node(
        package="lram_ros",
        executable="sim_bridge",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            {"suite": text("suite"), "mode": text("mode"), "video_path": text("video")},
        ],
        on_exit=Shutdown(reason="the simulator has ended"),
    )
    policy = Node(
        package="lram_ros",
        executable="policy_node",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            {"bundle": text("bundle"), "contract": text("contract"), "use_sim_time": True},
        ],
        on_exit=Shutdown(reason="the policy has ended"),
    )
    return LaunchDescription([*arguments, bridge, policy])
