"""JointState as a command, for drivers that take one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lram_ros.adapters.base import Adapter, Array, doubles


class JointStateAdapter(Adapter):
    """``joint_state_command``: names and one of position, velocity, effort; the rest is empty."""

    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None:
        message.name = self.sink.wire_names
        setattr(message, self.sink.quantity, doubles(values))

    def _values(self, message: Any) -> Sequence[float]:
        return self._by_name(message.name, getattr(message, self.sink.quantity))
