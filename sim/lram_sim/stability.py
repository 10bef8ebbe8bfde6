"""Whether a simulation is still one: MuJoCo resets what became unstable, warns, and goes on."""

from __future__ import annotations

from typing import Any

import mujoco

_FIRST, _LAST = mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQACC
"""Of three in a row: positions, velocities and accelerations that are not finite, or huge."""


class Stability:
    """Looks at the warnings of one simulation; a reset of it clears them."""

    def __init__(self, data: Any) -> None:
        self._data = data
        # A view: to look each warning up takes longer than the rest.
        self._counts = data.warning.number[int(_FIRST) : int(_LAST) + 1]

    def failure(self) -> str:
        """Return what broke the simulation since its reset, in words; empty while it is sound."""
        for number, count in enumerate(self._counts.tolist(), int(_FIRST)):
            if count:
                name = mujoco.mjtWarning(number).name.removeprefix("mjWARN_")
                return f"the simulation became unstable ({name})"
        return ""
