"""Observation vectors from named sensor values.

The trainer, the simulator's rollouts, the live node and bag replay all build the vector here, so
that a policy cannot see one order in training and another on the robot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from lram_core.contract import ObservationField, sensor_sizes
from lram_core.errors import ContractError, listed

Array = npt.NDArray[np.float64]


class ObservationAssembler:
    """Turns one set of sensor readings a tick into the policy's observation vector.

    It remembers as many ticks as the longest ``delay`` asks for. At an episode's start the past is
    taken to equal the present, as Meta-World does.
    """

    def __init__(self, fields: tuple[ObservationField, ...]) -> None:
        self.fields = fields
        self.sensors = sensor_sizes(fields)
        self._history: deque[dict[str, Array]] = deque(maxlen=1 + max(f.delay for f in fields))

    def reset(self) -> None:
        """Forget the past; call it at an episode's start."""
        self._history.clear()

    def assemble(self, values: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Return the observation vector, float32 of shape (observation_size,).

        Call it exactly once a control tick: each call is one tick of history.

        Args:
            values: sensor name → reading in the contract's unit. Other names are ignored.

        Raises:
            ContractError: a sensor is missing, of the wrong size or not finite. The history is
                left as it was.
        """
        missing = [name for name in self.sensors if name not in values]
        if missing:
            raise ContractError(
                f"sensor {listed(missing)} is missing; the readings hold {listed(values)}"
            )
        reading: dict[str, Array] = {}
        for name, size in self.sensors.items():
            value = np.array(values[name], dtype=np.float64).reshape(-1)
            if value.size != size:
                raise ContractError(f"sensor {name} has {value.size} values, expected {size}")
            if not np.isfinite(value).all():
                raise ContractError(f"sensor {name} is not finite: {value.tolist()}")
            reading[name] = value
        self._history.appendleft(reading)
        oldest = len(self._history) - 1
        parts = [self._history[min(f.delay, oldest)][f.name] for f in self.fields]
        return np.concatenate(parts).astype(np.float32)
