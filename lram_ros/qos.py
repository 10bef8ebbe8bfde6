"""QoS of this package's topics."""

from __future__ import annotations

from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

DEPTH = 10
_RELIABILITY = {
    "reliable": ReliabilityPolicy.RELIABLE,
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
}


def data_qos(reliability: str = "reliable") -> QoSProfile:
    """Volatile, the last 10. Reliable by default: lockstep must not lose a message."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=DEPTH, reliability=_RELIABILITY[reliability]
    )
