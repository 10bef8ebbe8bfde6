"""Plan for nut assembly: take the nut by its handle, thread it onto its peg."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grasp import PickPlan
from lram_sim.robosuite_motion import CLOSE, OPEN, Target
from lram_sim.robosuite_scene import Scene

Array = npt.NDArray[np.float64]

_HANDLE = {"nut-assembly-square": 0.058, "nut-assembly-round": 0.064}
"""Distance (m) of the grasp from the nut's middle, along its x axis."""
_PEG = 0.1
"""Half the peg's height, m."""
_CLEAR = 0.03
"""Height (m) over the peg's top at which the nut is brought."""
_JAMMED = 25
"""Ticks without getting lower after which the nut is lifted off and threaded anew."""


class NutPlan(PickPlan):
    """Nut onto peg; the square one turned so that its hole fits."""

    def __init__(self, scene: Scene, task: str) -> None:
        super().__init__(scene)
        self._reach = _HANDLE[task]
        self._square = task.endswith("square")
        peg = scene.objects[1]
        assert peg is not None
        self._peg = scene.data.xpos[peg].copy()
        self._lowest, self._waited, self._backing = np.inf, 0, False

    def grasp(self) -> Array:
        handle = self.position + self.axes[:, 0] * self._reach
        return handle - np.array([0.0, 0.0, self.scene.gripper.depth * 0.5])

    def candidates(self) -> list[Array]:
        """Across the handle."""
        flat = np.array([self.axes[0, 1], self.axes[1, 1], 0.0])
        flat /= np.linalg.norm(flat)
        return [flat, -flat]

    def penalty(self, axis: Array) -> float:
        return 0.0

    def placed(self) -> bool:
        way = self._peg - self.position
        return bool(np.linalg.norm(way[:2]) < 0.02 and self.position[2] < self._peg[2] + 0.08)

    def carry(self) -> Target:
        """Keep the nut level, turn its hole to the peg, bring it over the peg, push it down."""
        turn = self._turned() @ self._hold()
        offset = turn @ self._hold().T @ np.zeros(3)
        nut = self._turned()
        # Where the hand has to be for the nut's middle to be over the peg.
        offset = nut @ (self.axes.T @ (self.hand - self.position))
        way = self._peg - self.position
        aside = float(np.linalg.norm(way[:2]))
        twist = float(np.arccos(np.clip((np.trace(nut @ self.axes.T) - 1) / 2, -1, 1)))
        top = self._peg[2] + _PEG
        threaded = self.position[2] < top - 0.005 and aside < 0.02
        if threaded:
            return self._push_down(turn, offset)
        self._lowest, self._waited = np.inf, 0
        ready = max(0.0, aside - 0.004) + 0.05 * max(0.0, twist - 0.06)
        height = top + 0.005 + min(_CLEAR, 3.0 * ready) if ready < 0.05 else top + _CLEAR
        goal = np.array([*self._peg[:2], height])
        if ready < 0.002:
            goal[2] = top - 0.03
        if aside > 0.05 and self.position[2] < top + _CLEAR - 0.02:
            goal[:2] = self.position[:2]  # first up
            speed = 0.7 if self.position[2] < self._peg[2] else 1.0
            return Target(goal + offset, turn, CLOSE, speed)
        return Target(goal + offset, turn, CLOSE)

    def _push_down(self, turn: Array, offset: Array) -> Target:
        height = self.position[2]
        if height < self._lowest - 0.001:
            self._lowest, self._waited = height, 0
        else:
            self._waited += 1
        if self._waited > _JAMMED:
            return self.release()  # it drops the rest of the way, or is taken anew
        goal = np.array([*self._peg[:2], height - 0.04])
        return Target(goal + offset, turn, CLOSE)

    def _hold(self) -> Array:
        """(3, 3) the hand's orientation as the nut sees it."""
        now: Array = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        held: Array = self.axes.T @ now
        return held

    def _turned(self) -> Array:
        """(3, 3) how the nut should be turned: level, and the square one along the peg's sides."""
        yaw = float(np.arctan2(self.axes[1, 0], self.axes[0, 0]))
        if self._square:
            yaw = round(yaw / (np.pi / 2)) * np.pi / 2
        c, s = np.cos(yaw), np.sin(yaw)
        return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


__all__ = ["OPEN", "NutPlan"]
