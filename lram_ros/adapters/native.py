"""ActionCommand: a value for each action field of the bundle, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lram_ros.adapters.base import Adapter, Array, doubles


class NativeAdapter(Adapter):
    """``native``: for the simulation bridge and robots that know the bundle's own fields."""

    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None:
        message.episode, message.tick = episode, tick
        message.name = self.sink.wire_names
        message.value = doubles(values)

    def _values(self, message: Any) -> Sequence[float]:
        return self._by_name(message.name, message.value)
