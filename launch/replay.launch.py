"""A bag, played to a policy node as if the robot were there; ends with the bag.

ros2 launch lram_ros replay.launch.py bag:=runs/demo/bag record_to:=runs/replayed
ros2 launch lram_ros replay.launch.py --show-args
"""

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, NotEqualsSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lram_ros")


def text(name):
    """A launch argument that stays text, even where it looks like a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def generate_launch_description():
    recording = NotEqualsSubstitution(LaunchConfiguration("record_to"), "")
    arguments = [
        DeclareLaunchArgument("bag", description="Folder (or .mcap file) of the bag to play."),
        DeclareLaunchArgument(
            "bundle",
            default_value=f"{SHARE}/models/metaworld-ml45",
            description="Folder of the policy bundle.",
        ),
        DeclareLaunchArgument(
            "contract",
            default_value=f"{SHARE}/config/metaworld.yaml",
            description="Robot contract: its inputs are what is played.",
        ),
        DeclareLaunchArgument(
            "rate",
            default_value="1.0",
            description="Speed of playing; 2.0: twice that recorded.",
        ),
        DeclareLaunchArgument(
            "record_to",
            default_value="",
            description="Folder of a new bag with what the policy says now; empty for none.",
        ),
        DeclareLaunchArgument(
            "params_file",
            default_value=f"{SHARE}/config/params/replay.yaml",
            description="All other parameters of the nodes (YAML).",
        ),
        DeclareLaunchArgument(
            "namespace", default_value="", description="Namespace of the nodes and their topics."
        ),
    ]
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
    recorder = Node(
        package="lram_ros",
        executable="recorder",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[{"output": text("record_to")}],
        condition=IfCondition(recording),
        on_exit=Shutdown(reason="the recorder has ended"),
    )
    player = Node(
        package="lram_ros",
        executable="bag_player",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[
            LaunchConfiguration("params_file"),
            {
                "bag": text("bag"),
                "contract": text("contract"),
                "rate": ParameterValue(LaunchConfiguration("rate"), value_type=float),
                "wait_for_recorder": ParameterValue(recording, value_type=bool),
            },
        ],
        on_exit=Shutdown(reason="the bag has ended"),
    )
    return LaunchDescription([*arguments, policy, recorder, player])
