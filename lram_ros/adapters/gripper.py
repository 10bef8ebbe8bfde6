"""A gripper's one joint on a topic: an array, a bare number or a JointState."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lram_ros.adapters.base import Adapter, Array, doubles
from lram_ros.adapters.table import FLOAT, FLOATS


class GripperAdapter(Adapter):
    """``gripper``: position or effort, in the message type that the driver takes.

    With JointState, a ``max_effort`` of the contract goes along with the position.
    """

    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None:
        if self.sink.type == FLOATS:
            message.data = doubles(values)
        elif self.sink.type == FLOAT:
            message.data = float(values[0])
        else:
            message.name = self.sink.wire_names
            setattr(message, self.sink.quantity, doubles(values))
            if self.sink.max_effort is not None:
                message.effort = [self.sink.max_effort]

    def _values(self, message: Any) -> Sequence[float]:
        if self.sink.type == FLOATS:
            return list(message.data)
        if self.sink.type == FLOAT:
            return [message.data]
        return self._by_name(message.name, getattr(message, self.sink.quantity))
