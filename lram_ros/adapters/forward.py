"""Float64MultiArray for forward_command_controller and the group controllers made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lram_ros.adapters.base import Adapter, Array, doubles


class ForwardAdapter(Adapter):
    """``forward_position``, ``forward_velocity``, ``forward_effort``: ``<controller>/commands``.

    The array carries no names: the contract's fields stand in the order of the controller's
    parameter ``joints``. The layout stays empty, controllers ignore it.
    """

    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None:
        message.data = doubles(values)

    def _values(self, message: Any) -> Sequence[float]:
        return list(message.data)
