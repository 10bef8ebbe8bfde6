"""One-point JointTrajectory for joint_trajectory_controller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lram_ros.adapters.base import Adapter, Array, doubles
from lram_ros.adapters.sink import CommandSink
from lram_ros.message_fields import InputError, message_class


class TrajectoryAdapter(Adapter):
    """``joint_trajectory``: ``<controller>/joint_trajectory``, a new goal every tick.

    The controller interpolates from where it is to the point within ``time_from_start``; the next
    point replaces it. The header's stamp is 0, which means "from now on": a stamp taken from the
    observation lies in the past, and the controller drops points whose time is over.
    """

    def __init__(self, sink: CommandSink, period: float) -> None:
        super().__init__(sink, period)
        self._point = message_class("trajectory_msgs/msg/JointTrajectoryPoint")
        seconds = period if sink.time_from_start is None else sink.time_from_start
        self._duration = divmod(round(seconds * 1e9), 1_000_000_000)

    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None:
        message.header.stamp.sec = message.header.stamp.nanosec = 0
        message.joint_names = self.sink.wire_names
        point = self._point()
        point.positions = doubles(values)
        point.time_from_start.sec, point.time_from_start.nanosec = self._duration
        message.points = [point]

    def _values(self, message: Any) -> Sequence[float]:
        if len(message.points) != 1:
            raise InputError(f"{self.where}: {len(message.points)} points, expected one")
        return self._by_name(message.joint_names, message.points[0].positions)
