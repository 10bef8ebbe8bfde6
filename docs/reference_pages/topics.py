"""Topics and services: of the policy node, and of the bridge for every suite, as they are declared.

What the bridge has whatever the suite is the one table here; ``tests/test_bridge_node.py`` compares
it with a running one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from lram_core.contract import sensor_sizes
from lram_ros.sros2_policy import HEARD, OWN_TOPICS, SERVICES
from lram_sim.suite import Suite
from lram_sim.suite_registry import get_suite, suite_names
from lram_sim.topics import JOINT_STATE

FLOATS = "std_msgs/msg/Float64MultiArray"
BRIDGE = (
    ("publishes", "/clock", "rosgraph_msgs/msg/Clock", "always"),
    ("publishes", "reward", "lram_ros/msg/Reward", "always"),
    ("publishes", "episode", "lram_ros/msg/EpisodeStatus", "always"),
    ("publishes", "robot_description", "std_msgs/msg/String", "of suites with a URDF"),
    ("publishes", "/tf", "tf2_msgs/msg/TFMessage", "`frames`, with `tf2_msgs`"),
    ("publishes", "transforms", "geometry_msgs/msg/TransformStamped", "`frames`, without"),
    ("publishes", "camera/image_raw", "sensor_msgs/msg/Image", "`camera`"),
    ("publishes", "camera_NAME/image_raw", "sensor_msgs/msg/Image", "`cameras`"),
    ("hears", "command", "lram_ros/msg/ActionCommand", "always"),
    ("hears", "joint_commands", JOINT_STATE, "arms by joints, lockstep"),
    ("hears", "gripper_commands", JOINT_STATE, "arms by joints with a gripper, lockstep"),
    ("hears", "forward_position_controller/commands", FLOATS, "arms by joints, real time"),
    ("hears", "forward_velocity_controller/commands", FLOATS, "arms by joints, real time"),
    (
        *("hears", "joint_trajectory_controller/joint_trajectory"),
        *("trajectory_msgs/msg/JointTrajectory", "arms by joints, real time"),
    ),
    ("hears", "twist", "geometry_msgs/msg/TwistStamped", "arms by the hand, real time"),
    ("hears", "gripper_controller/commands", FLOATS, "arms with a gripper, real time"),
    ("answers", "reset_episode", "lram_ros/srv/ResetEpisode", "always"),
)
"""What the bridge does, with which name, of which type, when."""


def page() -> str:
    logging.getLogger("absl").setLevel(logging.WARNING)  # DMControl tells what it draws with
    lines = [
        "# Topics and services",
        "",
        "Names without a slash are relative to the node's namespace, `~` is the node's own name. "
        "What is in the messages of this package: [messages and services](interfaces.md); what "
        "the topics are for: [ros.md](../ros.md#topics).",
        "",
        "## policy_node",
        "",
        "Its name is `policy` unless it is given another one. It hears the inputs of the [robot "
        "contract](../contract.md#inputs) and publishes its [commands](../contract.md#commands); "
        "besides, whatever the robot:",
        "",
        *_table(
            ("", "name", "type"),
            [
                (does, f"`{name}`", f"`{kind}`")
                for does, names in (
                    ("publishes", OWN_TOPICS),
                    ("hears", HEARD),
                    ("answers", SERVICES),
                )
                for name, kind in names.items()
            ],
        ),
        "",
        "## mock_robot",
        "",
        "The contract the other way round: it publishes the inputs and hears the commands. "
        "Besides, it publishes `~/received` (`lram_ros/msg/ActionCommand`), with `--sim-time` "
        "`/clock`, and answers `reset_episode` (`lram_ros/srv/ResetEpisode`) where the contract "
        "has an `episode`.",
        "",
        "## recorder, episode_driver, bag_player",
        "",
        "The recorder hears every topic. The episode driver hears `episode` and `policy/tick` and "
        "calls `reset_episode`. The bag player publishes the contract's inputs and `/clock`.",
        "",
        "## sim_bridge",
        "",
        "Whatever the suite (*when* names a parameter, or what is simulated):",
        "",
        *_table(
            ("", "name", "type", "when"),
            [(does, f"`{name}`", f"`{kind}`", when) for does, name, kind, when in BRIDGE],
        ),
        "",
        "The sensors of each suite, published once a tick with one stamp. Positions are in the "
        "frame `world` unless another one is named.",
    ]
    for names, table in _alike():
        lines += ["", f"### {names[0] if len(names) == 1 else f'{names[0]} and alike'}", ""]
        if len(names) > 1:
            lines += [", ".join(f"`{name}`" for name in names), ""]
        lines += table
    return "\n".join(lines) + "\n"


def _alike() -> list[tuple[list[str], tuple[str, ...]]]:
    """The tables of all suites of this package, each with the names of those that have it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name in suite_names():
        suite = get_suite(name)
        if type(suite).__module__.startswith("lram_sim."):
            found.setdefault(tuple(_sensors(suite)), []).append(name)
    return [(names, table) for table, names in found.items()]


def _sensors(suite: Suite) -> list[str]:
    units = {field.name: field.unit for field in suite.observation_fields}
    sizes = sensor_sizes(suite.observation_fields)
    rows = []
    for topic in suite.topics:
        fields = [
            f"{each.sensor} ({sizes[each.sensor]} × {units[each.sensor]}): `{each.path}`"
            for each in topic.fields
        ]
        frame = "" if topic.reference == "world" else f" in `{topic.reference}`"
        text = "; ".join(fields) or "all joints"
        rows.append((f"`{topic.topic}`", f"`{topic.type}`", text + frame))
    return _table(("topic", "type", "sensor (size × unit): where in the message"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]
