"""What every command adapter is: values of a sink into a message, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import ContractError, listed
from lram_ros.adapters.sink import CommandSink, CommandValueError
from lram_ros.message_fields import InputError, find_names, message_class

Array = npt.NDArray[np.float64]


class Adapter(ABC):
    """Writes a sink's values into its message and reads them back; keeps no state.

    Attributes:
        sink: the contract's sink.
        message_type: class of its messages.
    """

    def __init__(self, sink: CommandSink, period: float) -> None:
        """``period`` is the control period in seconds. Raises ContractError as message_class."""
        self.sink = sink
        self.where = f"{sink.topic} ({sink.adapter})"
        try:
            self.message_type = message_class(sink.type)
        except ContractError as error:
            raise ContractError(f"{self.where}: {error}") from None
        self._period = period

    def encode(self, values: npt.ArrayLike, stamp: int, episode: int = 0, tick: int = 0) -> Any:
        """Return a new message that commands ``values``.

        Args:
            values: (fields,) in the units and order of the sink's fields.
            stamp: ROS time of the command in nanoseconds, for messages that carry one.
            episode, tick: of the observation that is answered, for messages that carry them.

        Raises:
            CommandValueError: the number of values is wrong, or one is not finite.
        """
        found = np.asarray(values, dtype=np.float64)
        if found.shape != (len(self.sink.fields),):
            raise CommandValueError(
                f"{self.where}: {found.size} values, expected {len(self.sink.fields)}: "
                f"{listed(self.sink.wire_names)}"
            )
        if not np.isfinite(found).all():
            raise CommandValueError(f"{self.where}: not finite: {found.tolist()}")
        message = self.message_type()
        if hasattr(message, "header"):
            message.header.frame_id = self.sink.frame
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
        self._fill(message, found, episode, tick)
        return message

    def decode(self, message: Any) -> Array:
        """Return the values that ``message`` commands, float64 (fields,), as given to encode.

        Raises:
            InputError: a controller would refuse it: a wrong number of values, a joint missing
                or named twice, a value that is not finite.
        """
        values = np.array(self._values(message), dtype=np.float64)
        if values.shape != (len(self.sink.fields),):
            raise InputError(
                f"{self.where}: {values.size} values, expected {len(self.sink.fields)}: "
                f"{listed(self.sink.wire_names)}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{self.where}: not finite: {values.tolist()}")
        return values

    @abstractmethod
    def _fill(self, message: Any, values: Array, episode: int, tick: int) -> None: ...

    @abstractmethod
    def _values(self, message: Any) -> Sequence[float]: ...

    def _by_name(self, names: Sequence[str], values: Sequence[float]) -> list[float]:
        """Pick the sink's values out of named ones, whatever their order."""
        if len(names) != len(values):
            raise InputError(f"{self.where}: {len(names)} names, but {len(values)} values")
        return [values[i] for i in find_names(self.sink.wire_names, list(names), self.where)]


def doubles(values: Array) -> array[float]:
    """The form in which messages take float64 sequences without a copy for each value."""
    return array("d", values.tobytes())
