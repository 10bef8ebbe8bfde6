"""Physical ↔ normalised values, only where a contract writes the range down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lram_ros.yaml_section import Section

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """A linear map between physical values and normalised ones.

    Attributes:
        physical: (low, high) in the unit of the robot's side: one for all values, or one each.
        normalised: what the policy's side has for low and for high, the same for all values; the
            larger first where the two run against each other.
    """

    physical: tuple[tuple[float, float], ...]
    normalised: tuple[float, float] = (-1.0, 1.0)

    def to_physical(self) -> tuple[Array, Array]:
        """Return (gain, offset) with physical = offset + gain · normalised."""
        low, high = np.array(self.physical).T
        gain = (high - low) / (self.normalised[1] - self.normalised[0])
        return gain, low - gain * self.normalised[0]

    def to_normalised(self) -> tuple[Array, Array]:
        """Return (gain, offset) with normalised = offset + gain · physical."""
        gain, offset = self.to_physical()
        return 1.0 / gain, -offset / gain

    @classmethod
    def read(cls, section: Section) -> Range | None:
        """Read the keys ``range`` and ``normalised``; None where there is no ``range``."""
        if not section.has("range"):
            return None
        return cls(
            physical=section.spans("range"),
            normalised=section.ends("normalised") if section.has("normalised") else (-1.0, 1.0),
        )
