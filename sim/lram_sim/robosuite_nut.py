"""Plan for nut assembly: take the nut by its handle, thread it onto its peg."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grasp import PickPlan
from lram_sim.robosuite_motion import CLOSE, InverseKinematics, Target
from lram_sim.robosuite_scene import Scene

Array = npt.NDArray[np.float64]

_HANDLE = {"nut-assembly-square": 0.058, "nut-assembly-round": 0.064}
"""Distance (m) of the grasp from the nut's middle, along its x axis."""
_PEG = 0.1
"""Half the peg's height, m."""
_CLEAR = 0.03
"""Height (m) over the peg's top at which the nut is brought."""
_JAMMED = 25
"""Ticks without getting lower after which the nut is let go: it drops, or is taken anew."""


class NutPlan(PickPlan):
    """Nut onto peg.

    Which way the handle points in the end is free for the round nut, and one of four for the square
    one: the way that the arm reaches with the least motion is chosen when the nut has been taken.
    """

    def __init__(self, scene: Scene, task: str) -> None:
        super().__init__(scene)
        self._reach = _HANDLE[task]
        self._ways = 4 if task.endswith("square") else 12
        peg = scene.objects[1]
        assert peg is not None
        self._peg = scene.data.xpos[peg].copy()
        self._inverse = InverseKinematics(scene, scene.arm_positions())
        self._yaw: float | None = None
        self._lowest, self._waited = np.inf, 0

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

    def approach(self) -> Target:
        self._yaw = None
        return super().approach()

    def carry(self) -> Target:
        """Up, over the peg with the nut level and turned, down onto it."""
        top = self._peg[2] + _PEG
        if self._yaw is None:
            self._yaw = self._best_yaw(top)
            self._lowest, self._waited = np.inf, 0
        nut = level(self._yaw)
        way = self._peg - self.position
        aside = float(np.linalg.norm(way[:2]))
        if self.position[2] < top - 0.005 and aside < 0.02:
            return self._push_down(nut)
        twist = float(np.arccos(np.clip((np.trace(nut @ self.axes.T) - 1) / 2, -1, 1)))
        off = max(0.0, aside - 0.004) + 0.05 * max(0.0, twist - 0.06)
        goal = np.array([*self._peg[:2], top - 0.03])
        if off > 0.002:
            goal[2] = top + 0.012 + min(_CLEAR, 3.0 * off)
        if aside > 0.04 and self.position[2] < top + _CLEAR - 0.02:
            goal[:2] = self.position[:2]  # first up, turning on the way
            nut = level(self._yaw) if self.position[2] > self._peg[2] else self.axes
        return self._bring(goal, nut)

    def _push_down(self, nut: Array) -> Target:
        height = self.position[2]
        if height < self._lowest - 0.001:
            self._lowest, self._waited = height, 0
        else:
            self._waited += 1
        if self._waited > _JAMMED:
            return self.release()
        return self._bring(np.array([*self._peg[:2], height - 0.04]), nut)

    def _bring(self, goal: Array, nut: Array) -> Target:
        """The hand's target that puts the nut's middle at ``goal``, turned as ``nut`` (3, 3)."""
        held = self.axes.T @ self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        offset = self.axes.T @ (self.hand - self.position)
        return Target(goal + nut @ offset, nut @ held, CLOSE)

    def _best_yaw(self, top: float) -> float:
        start = self.scene.arm_positions()
        now = float(np.arctan2(self.axes[1, 0], self.axes[0, 0]))
        step = 2 * np.pi / self._ways
        first = 0.0 if self._ways == 4 else now
        best, least = now, np.inf
        for index in range(self._ways):
            yaw = first + index * step
            target = self._bring(np.array([*self._peg[:2], top]), level(yaw))
            q = start
            for _ in range(4):
                q = self._inverse.solve(q, target)
            cost = 20.0 * self._inverse.miss(q, target) + float(np.abs(q - start).max())
            if cost < least:
                best, least = yaw, cost
        return best


def level(yaw: float) -> Array:
    """Return the rotation (3, 3) about the vertical by ``yaw`` rad."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
