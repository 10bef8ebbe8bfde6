"""Draws a nut over the table to where its handle can be taken."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_rules import TABLE
from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.robosuite_nut import HANDLE
from lram_sim.robosuite_target import CLOSE, Target
from lram_sim.rotations import pointing_down, rotation_vector

Array = npt.NDArray[np.float64]

_PALM_HALF, _PEG_ROOM = np.array([0.035, 0.105]), 0.028
"""Half the palm (m) along the nut's axes, and what the peg takes beside it."""
_MARGIN = 0.015
"""How much more room (m) a nut that is drawn away is given."""
_IN_REACH = 0.765
"""Distance (m) of a handle from the arm's base beyond which fingers that lean touch the table."""
_NEAREST, _DRAWN_TO = 0.4, 0.72
"""Distance (m) from the arm's base of a nut, and of a handle, that has been drawn."""
_SLACK = 0.006
"""How far (m) beside the middle of the hole the fingers go into it."""
_SPEED = 0.5
"""Largest action while a nut is drawn."""
_THERE = 0.008
"""Distance (m) of the hand from where it draws to at which it is there."""
_STUCK = 30
"""Ticks after which a nut that does not move any further is left."""
_LIFTED = 0.02
"""Height (m) over the table of the origin of a nut that has been taken."""
_ELSEWHERE = 0.05
"""How far (m) a nut moves before it is looked at again."""


class DragPlan:
    """Draws a nut by its hole, fingers closed, to where its handle can be taken.

    That is away from a peg that the palm would come down on, and from the end of the arm's reach.

    Args:
        scene: the simulation.
        nut, peg: names of the objects.

    Attributes:
        leave: what the fingers do on the way up afterwards.
        finished: it is there, or does not move any further.
    """

    leave = CLOSE

    def __init__(self, scene: MimicgenScene, nut: str, peg: str) -> None:
        self._scene, self._world, self._nut, self._peg = scene, scene.world, nut, peg
        self._goal, self._turn = self._where()
        self._dragging = False
        self._best, self._waited = np.inf, 0
        self.finished = False

    def target(self) -> Target:
        """Over the hole, down into it, then aside."""
        hand = self._scene.data.site_xpos[self._scene.grip_site]
        now = self._scene.data.site_xmat[self._scene.grip_site].reshape(3, 3)
        nut = self._world.position(self._nut)
        aside = float(np.linalg.norm((nut - hand)[:2]))
        twist = abs(float(rotation_vector(self._turn @ now.T)[2]))
        if self._dragging and aside > 0.04:
            self._goal, self._turn = self._where()
            self._dragging, self._best, self._waited = False, np.inf, 0
        if not self._dragging:
            off = max(0.0, aside - _SLACK) + 0.05 * max(0.0, twist - 0.1)
            goal = nut + np.array([0.0, 0.0, min(0.09, 8.0 * off)])
            if aside > 0.03 and hand[2] < nut[2] + 0.08:
                goal[:2] = hand[:2]  # first up
            self._dragging = off < 0.001 and hand[2] < nut[2] + 0.008
            return Target(goal, self._turn, CLOSE, lean=True)
        left = float(np.linalg.norm(self._goal - hand[:2]))
        self._waited = 0 if left < self._best - 0.001 else self._waited + 1
        self._best = min(self._best, left)
        self.finished = left < _THERE or self._waited > _STUCK
        goal = np.array([*self._goal, nut[2]])
        return Target(goal, self._turn, CLOSE, speed=_SPEED, lean=True)

    def _where(self) -> tuple[Array, Array]:
        """Return where the nut goes, (2,) m: the nearest place from which it can be taken."""
        nut, axes = self._world.position(self._nut), self._world.axes(self._nut)
        peg = self._world.position(self._peg)
        away = nut - peg
        across = pointing_down(np.array([-away[1], away[0], 0.0]))
        base = base_of(self._scene)
        best, least = nut[:2], np.inf
        for way in np.arange(0.03, 0.19, 0.02):
            for angle in np.arange(0.0, 2 * np.pi, np.pi / 8):
                step = way * np.array([np.cos(angle), np.sin(angle)])
                if step @ away[:2] < -0.3 * way * np.linalg.norm(away[:2]):
                    continue
                spot = np.array([*(nut[:2] + step), nut[2]])
                cost = way + 10.0 * max(0.0, _NEAREST - float(np.linalg.norm(spot[:2] - base)))
                cost += 10.0 * max(0.0, handle_out(spot, axes, base) - _DRAWN_TO)
                if cost < least and not over_peg(spot, axes, peg, _MARGIN):
                    best, least = spot[:2], cost
        return best, across


def base_of(scene: MimicgenScene) -> Array:
    """Return where the arm stands, (2,) m."""
    base: Array = scene.data.site("robot0_right_center").xpos[:2]
    return base


def handle_out(nut: Array, axes: Array, base: Array) -> float:
    """Return how far (m) a nut's handle is from the arm's base; see :func:`over_peg`."""
    return float(np.linalg.norm((nut + HANDLE["square"] * axes[:, 0])[:2] - base))


def over_peg(nut: Array, axes: Array, peg: Array, margin: float = 0.0) -> bool:
    """Whether the palm would come down on the peg when it takes the nut by its handle.

    Args:
        nut, peg: where they are, (3,) m.
        axes: the nut's, the columns of (3, 3).
        margin: room (m) to be left beside the peg.
    """
    way = np.abs(axes.T @ (peg - nut) - np.array([HANDLE["square"], 0.0, 0.0]))
    return bool((way[:2] < _PALM_HALF + _PEG_ROOM + margin).all())


class Freeing:
    """Tells when a nut must be drawn away before it is taken, and when that has been done.

    Args:
        scene: the simulation.
        nut, peg: names of the objects.
    """

    def __init__(self, scene: MimicgenScene, nut: str, peg: str) -> None:
        self._scene, self._nut, self._peg = scene, nut, peg
        self._drag: DragPlan | None = None
        self._free_at: Array | None = None

    def plan(self) -> DragPlan:
        """Return the plan that draws it away."""
        self._drag = DragPlan(self._scene, self._nut, self._peg)
        return self._drag

    def done(self) -> bool:
        """Whether the nut can be taken, or has been; once found free it is, where it lies."""
        nut = self._scene.world.position(self._nut)
        if nut[2] > TABLE + _LIFTED and (self._drag is None or self._drag.finished):
            self._drag = self._free_at = None
            return True
        if self._drag is not None:
            if not self._drag.finished:
                return False
            self._drag, self._free_at = None, nut.copy()
        if self._free_at is not None and np.linalg.norm(nut - self._free_at) < _ELSEWHERE:
            return True
        free = self._takeable(nut)
        self._free_at = nut.copy() if free else None
        return free

    def _takeable(self, nut: Array) -> bool:
        """Whether its handle is in reach, with room beside the peg."""
        axes = self._scene.world.axes(self._nut)
        near = handle_out(nut, axes, base_of(self._scene)) < _IN_REACH
        return near and not over_peg(nut, axes, self._scene.world.position(self._peg))
