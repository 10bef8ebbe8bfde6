"""TwistStamped for servoing and mobile bases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lram_ros.adapters.base import Adapter, Array
from lram_ros.adapters.sink import CommandSink
from lram_ros.units import conversion


class TwistAdapter(Adapter):
    """``twist``: each field is an axis (x, y, z, rx, ry, rz); axes without a field are 0.

    On the wire are m/s and rad/s whatever unit the contract's fields have.
    """

    def __init__(self, sink: CommandSink, period: float) -> None:
        super().__init__(sink, period)
        self._places = []
        for field in sink.fields:
            angular = field.wire_name.startswith("r")
            gain = conversion(field.unit, "rad/s" if angular else "m/s")
            self._places.append(("angular" if angular else "linear", field.wire_name[-1], gain))

    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None:
        for (part, axis, gain), value in zip(self._places, values, strict=True):
            setattr(getattr(message.twist, part), axis, float(value * gain))

    def _values(self, message: Any) -> Sequence[float]:
        return [getattr(getattr(message.twist, p), a) / gain for p, a, gain in self._places]
