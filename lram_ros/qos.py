"""QoS of this package's topics."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from lram_ros.adapters.sink import CommandSink
from lram_ros.input_topic import InputTopic

DEPTH = 10
RECORDED = 1000
"""Depth of what a recorder must not miss: in lockstep nobody waits for one, and a writer that keeps
ten messages has let some go when a recorder was not scheduled for fifty milliseconds."""
_RELIABILITY = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}
_DURABILITY = {
    "volatile": DurabilityPolicy.VOLATILE,
    "transient_local": DurabilityPolicy.TRANSIENT_LOCAL,
}


def data_qos(reliability: str = "reliable", depth: int = DEPTH) -> QoSProfile:
    """Volatile, the last 10. Reliable by default: lockstep must not lose a message."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=_RELIABILITY[reliability]
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
    """QoS to publish commands with, as the robot contract says.

    A simulator's own commands are kept for a recorder. A controller must not be sent old ones after
    it was cut off for a while, so there the contract's depth holds.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=max(sink.depth, RECORDED) if sink.adapter == "native" else sink.depth,
        reliability=_RELIABILITY[sink.reliability],
    )
