"""QoS of this package's topics."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from lram_ros.adapters.sink import CommandSink
from lram_ros.robot_contract import InputTopic

DEPTH = 10
_RELIABILITY = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}
_DURABILITY = {
    "volatile": DurabilityPolicy.VOLATILE,
    "transient_local": DurabilityPolicy.TRANSIENT_LOCAL,
}


def data_qos(reliability: str = "reliable") -> QoSProfile:
    """Volatile, the last 10. Reliable by default: lockstep must not lose a message."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=DEPTH, reliability=_RELIABILITY[reliability]
    )


def input_qos(topic: InputTopic) -> QoSProfile:
    """QoS to subscribe with, as the robot contract says."""
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=topic.depth,
        reliability=_RELIABILITY[topic.reliability],
        durability=_DURABILITY[topic.durability],
    )
    if topic.deadline is not None:
        profile.deadline = Duration(seconds=topic.deadline)
    if topic.lifespan is not None:
        profile.lifespan = Duration(seconds=topic.lifespan)
    return profile


def command_qos(sink: CommandSink) -> QoSProfile:
    """QoS to publish commands with, as the robot contract says."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=sink.depth,
        reliability=_RELIABILITY[sink.reliability],
    )
