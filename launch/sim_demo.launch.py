"""A simulated robot, a policy that drives it, a recorder, and a driver that runs episodes.

ros2 launch lram_ros sim_demo.launch.py tasks:=reach-v3,drawer-open-v3 episodes:=5
ros2 launch lram_ros sim_demo.launch.py --show-args
"""

from datetime import datetime

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SHARE = get_package_share_directory("lram_ros")
TASKS = "reach-v3,button-press-v3,drawer-open-v3,door-open-v3,window-close-v3,pick-place-v3"


def text(name):
    """A launch argument that stays text, even where it looks like a number."""
    return ParameterValue(LaunchConfiguration(name), value_type=str)


def generate_launch_description():
    output = LaunchConfiguration("output")
    arguments = [
        DeclareLaunchArgument(
            "bundle",
            default_value=f"{SHARE}/models/metaworld-ml45",
            description="Folder of the policy bundle.",
        ),
        DeclareLaunchArgument(
            "contract",
            default_value=f"{SHARE}/config/metaworld.yaml",
            description="Robot contract: topics of the observation and of the command.",
        ),
        DeclareLaunchArgument(
            "runtime",
            default_value="auto",
            description="What runs the model, see docs/runtimes.md.",
        ),
        DeclareLaunchArgument(
            "precision",
            default_value="",
            description="Precision of the weights; empty for the runtime's own.",
        ),
        DeclareLaunchArgument("suite", default_value="metaworld", description="Task suite."),
        DeclareLaunchArgument(
            "mode",
            default_value="lockstep",
            choices=["lockstep", "realtime"],
            description="Advance on each command, or by the wall clock.",
        ),
        DeclareLaunchArgument(
            "tasks", default_value=TASKS, description="Tasks, separated by commas."
        ),
        DeclareLaunchArgument("episodes", default_value="2", description="Episodes a task."),
        DeclareLaunchArgument(
            "seed", default_value="1000000000", description="Seed of each task's first episode."
        ),
        DeclareLaunchArgument(
            "max_steps", default_value="0", description="Step limit; 0 for the task's own."
        ),
        DeclareLaunchArgument(
            "output",
            default_value=f"runs/sim_demo-{datetime.now():%Y%m%d-%H%M%S}",
            description="Folder of the results.",
        ),
        DeclareLaunchArgument(
            "video",
            default_value=PathJoinSubstitution([output, "episodes.mp4"]),
            description="MP4 of the episodes; empty for none.",
        ),
        DeclareLaunchArgument(
            "record", default_value="true", description="Record all topics to OUTPUT/bag."
        ),
    ]
    bridge = Node(
        package="lram_ros",
        executable="sim_bridge",
        output="screen",
        parameters=[
            {"suite": text("suite"), "mode": text("mode"), "video_path": text("video")},
        ],
        on_exit=Shutdown(reason="the simulator has ended"),
    )
    policy = Node(
        package="lram_ros",
        executable="policy_node",
        output="screen",
        parameters=[
            {name: text(name) for name in ("bundle", "contract", "runtime", "precision")},
        ],
        on_exit=Shutdown(reason="the policy has ended"),
    )
    recorder = Node(
        package="lram_ros",
        executable="recorder",
        output="screen",
        parameters=[
            {"output": ParameterValue(PathJoinSubstitution([output, "bag"]), value_type=str)}
        ],
        condition=IfCondition(LaunchConfiguration("record")),
        on_exit=Shutdown(reason="the recorder has ended"),
    )
    driver = Node(
        package="lram_ros",
        executable="episode_driver",
        output="screen",
        parameters=[
            {
                "tasks": text("tasks"),
                "episodes": ParameterValue(LaunchConfiguration("episodes"), value_type=int),
                "seed": ParameterValue(LaunchConfiguration("seed"), value_type=int),
                "max_steps": ParameterValue(LaunchConfiguration("max_steps"), value_type=int),
                "output": text("output"),
                "mode": text("mode"),
                "bundle": text("bundle"),
                "wait_for_recorder": ParameterValue(LaunchConfiguration("record"), value_type=bool),
            }
        ],
        on_exit=Shutdown(reason="all episodes have run"),
    )
    return LaunchDescription([*arguments, bridge, policy, recorder, driver])
