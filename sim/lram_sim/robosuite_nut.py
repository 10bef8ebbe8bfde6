"""Plan for nut assembly: take the nut by its handle, thread it onto its peg."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_insert import InsertPlan
from lram_sim.robosuite_scene import Scene

Array = npt.NDArray[np.float64]

HANDLE = {"square": 0.058, "round": 0.064}
"""Distance (m) of the grasp from the nut's middle, along its x axis."""
PEG_HALF = 0.1
"""Half the height (m) of robosuite's pegs."""


class NutPlan(InsertPlan):
    """Nut onto peg. The handle may point anywhere in the end, or for the square nut in four ways.

    Args:
        scene: the simulation.
        kind: ``square`` or ``round``.
        nut, peg: numbers of their bodies; None for the task's first and second.
        above: height (m) of the peg's top over its origin.
    """

    def __init__(
        self,
        scene: Scene,
        kind: str,
        nut: int | None = None,
        peg: int | None = None,
        above: float = PEG_HALF,
    ) -> None:
        square = kind == "square"
        hold = np.array([HANDLE[kind], 0.0, 0.0])
        super().__init__(scene, nut, hold, ways=4 if square else 12, any_turn=not square)
        peg = scene.objects[1] if peg is None else peg
        assert peg is not None
        axes = scene.data.xmat[peg].reshape(3, 3)
        self._turn = float(np.arctan2(axes[1, 0], axes[0, 0]))
        self._top = scene.data.xpos[peg] + np.array([0.0, 0.0, above])

    def socket(self) -> tuple[Array, float]:
        return self._top, self._turn

    def placed(self) -> bool:
        way = self._top - self.position
        return bool(np.linalg.norm(way[:2]) < 0.02 and way[2] > 0.02)
