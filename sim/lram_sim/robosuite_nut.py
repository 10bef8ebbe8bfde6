"""Plan for nut assembly: take the nut by its handle, thread it onto its peg."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_insert import InsertPlan
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import CLOSE, Target
from lram_sim.rotations import pointing_down, rotation

Array = npt.NDArray[np.float64]

HANDLE = {"square": 0.058, "round": 0.064}
"""Distance (m) of the grasp from the nut's middle, along its x axis."""
PEG_HALF = 0.1
"""Half the height (m) of robosuite's pegs."""
_MISSED = 0.01
"""What the inverse kinematics may miss (m and rad) where the arm does reach it."""


class NutPlan(InsertPlan):
    """Nut onto peg. The handle may point anywhere in the end, or for the square nut in four ways.

    Args:
        scene: the simulation.
        kind: ``square`` or ``round``.
        nut, peg: numbers of their bodies; None for the task's first and second.
        above: height (m) of the peg's top over its origin.

    Attributes:
        slant: angle (rad) by which the fingers point towards the nut's middle where the arm would
            not reach the peg otherwise: while the nut is level, the wrist is nearer to the base.
    """

    slant = 0.35

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
        self._slant = self.slant if self.slant and not self._reachable() else 0.0

    def socket(self) -> tuple[Array, float]:
        return self._top, self._turn

    def turn(self) -> Array:
        """(3, 3) orientation of the hand: down, or slanted towards the nut's middle."""
        turn = super().turn()
        side = float(np.sign(np.cross(turn[:, 0], turn[:, 2]) @ -self.axes[:, 0]))
        slanted: Array = rotation(side * self._slant * turn[:, 0]) @ turn
        return slanted

    def placed(self) -> bool:
        way = self._top - self.position
        return bool(np.linalg.norm(way[:2]) < 0.02 and way[2] > 0.02)

    def _reachable(self) -> bool:
        """Whether the arm reaches the peg with a hand that points down, on the nearer side."""
        away = np.append(self._top[:2] - self._base, 0.0)
        away /= np.linalg.norm(away)
        place = self._top - float(np.linalg.norm(self._hold)) * away
        place[2] += self.clear + 0.012
        misses = []
        for side in (1.0, -1.0):
            target = Target(place, pointing_down(side * np.array([away[1], -away[0], 0.0])), CLOSE)
            q = self.scene.arm_positions()
            for _ in range(6):
                q = self._inverse.solve(q, target)
            misses.append(self._inverse.miss(q, target))
        return min(misses) < _MISSED
