"""Plans that move the hand about an object without taking it: open, close, tip over, drag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_reaching import LONG
from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.mimicgen_shapes import HANDLE
from lram_sim.robosuite_insert import effort
from lram_sim.robosuite_motion import (
    CLOSE,
    OPEN,
    InverseKinematics,
    Target,
    pointing_down,
    rotation_vector,
)
from lram_sim.robosuite_nut import HANDLE as NUT_HANDLE

Array = npt.NDArray[np.float64]

_PALM_HALF, _PEG_ROOM = np.array([0.035, 0.105]), 0.028
"""Half the palm (m) along the nut's axes, and what the peg takes beside it."""
_MARGIN = 0.015
"""How much more room (m) a nut that is drawn away is given."""
_DRAG = 0.5
"""Largest action while a nut is drawn over the table."""
_NEAREST, _FARTHEST = 0.4, 0.68
"""Distance (m) from the arm's base within which a nut is drawn."""
_OVER = np.array([0.0, 0.0, 0.15])


class HandPlan:
    """Moves the hand to places told in an object's frame, fingers along one of its axes."""

    def __init__(self, scene: MimicgenScene, frame: str, axis: int) -> None:
        self.scene, self.world, self.frame = scene, scene.world, frame
        along = self.world.axes(frame)[:, axis]
        inverse = InverseKinematics(scene, scene.arm_positions())
        place, start = self.world.position(frame) + _OVER, scene.arm_positions()
        self._turn = min(
            (pointing_down(along), pointing_down(-along)),
            key=lambda turn: effort(inverse, start, Target(place, turn, OPEN), LONG),
        )

    def hand(self) -> Array:
        """Return where the hand is, (3,) in the object's frame."""
        way = self.scene.data.site_xpos[self.scene.grip_site] - self.world.position(self.frame)
        found: Array = self.world.axes(self.frame).T @ way
        return found

    def twist(self) -> float:
        """Return how far (rad) the hand is turned from how it should be."""
        now = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        return float(np.arccos(np.clip((np.trace(self._turn @ now.T) - 1) / 2, -1, 1)))

    def to(self, place: Array, grip: float) -> Target:
        """The target with the hand at ``place``, (3,) in the object's frame."""
        axes, origin = self.world.axes(self.frame), self.world.position(self.frame)
        return Target(origin + axes @ place, self._turn, grip)

    def over(self, place: Array, grip: float, height: float = 0.07) -> Target | None:
        """The way to a place from above; None when it has been reached, or while below it."""
        hand = self.hand()
        aside = float(np.linalg.norm((place - hand)[:2]))
        off = max(0.0, aside - 0.005) + 0.05 * max(0.0, self.twist() - 0.05)
        if off < 0.001 and abs(hand[2] - place[2]) < 0.01:
            return None
        goal = place + np.array([0.0, 0.0, min(height, 8.0 * off)])
        if aside > 0.03 and hand[2] < place[2] + height - 0.03:
            goal[:2] = hand[:2]  # first up
        return self.to(goal, grip)


class OpenPlan(HandPlan):
    """Takes the bar of the drawer's handle between the fingers and pulls."""

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, "drawer", 1)
        self._holding = False

    def target(self) -> Target:
        bar = np.array(HANDLE)
        if self._holding and np.linalg.norm(self.hand() - bar) > 0.05:
            self._holding = False
        if not self._holding:
            way = self.over(bar, OPEN)
            if way is not None:
                return way
            self._holding = True
        if not self.world.held("drawer"):
            return self.to(bar, CLOSE)
        return self.to(bar + np.array([0.0, -0.06, 0.0]), CLOSE)


class ClosePlan(HandPlan):
    """Pushes the drawer in, at its handle, with closed fingers."""

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, "drawer", 1)
        self._pushing = False

    def target(self) -> Target:
        before = np.array([0.0, HANDLE[1] - 0.05, HANDLE[2]])
        hand = self.hand()
        if self._pushing and (abs(hand[0]) > 0.04 or hand[2] > HANDLE[2] + 0.03):
            self._pushing = False
        if not self._pushing:
            way = self.over(before, CLOSE, 0.12)
            if way is not None:
                return way
            self._pushing = True
        return self.to(np.array([0.0, hand[1] + 0.05, HANDLE[2]]), CLOSE)


class LidPlan(HandPlan):
    """Tips the machine's lid over from behind, and presses it down if it does not fall."""

    _BEHIND, _FRONT = np.array([0.05, 0.0, 0.165]), np.array([-0.075, 0.0, 0.2])

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, "machine", 1)
        self._sweeping = False

    def target(self) -> Target:
        hand = self.hand()
        if self.world.joint() < 1.2:
            if hand[0] > -0.05 and hand[2] < 0.18:
                return self.to(np.array([-0.08, 0.0, 0.17]), CLOSE)
            if np.linalg.norm(hand[:2] - self._FRONT[:2]) > 0.02:
                return self.to(self._FRONT, CLOSE)
            return self.to(self._FRONT - np.array([0.0, 0.0, 0.075]), CLOSE)
        if self._sweeping and (hand[0] < -0.07 or abs(hand[1]) > 0.03):
            self._sweeping = False
        if not self._sweeping:
            way = self.over(self._BEHIND, CLOSE, 0.08)
            if way is not None:
                return way
            self._sweeping = True
        return self.to(np.array([-0.08, 0.0, 0.17]), CLOSE)


class DragPlan:
    """Draws a nut away from a peg that the palm would come down on, by its hole, fingers closed.

    Args:
        scene: the simulation.
        nut, peg: names of the objects.
    """

    leave = CLOSE

    def __init__(self, scene: MimicgenScene, nut: str, peg: str) -> None:
        self._scene, self._world, self._nut, self._peg = scene, scene.world, nut, peg
        self._goal, self._turn = self._where()
        self._dragging = False

    def target(self) -> Target:
        """Over the hole, down into it, then aside."""
        hand = self._scene.data.site_xpos[self._scene.grip_site]
        now = self._scene.data.site_xmat[self._scene.grip_site].reshape(3, 3)
        nut = self._world.position(self._nut)
        aside = float(np.linalg.norm((nut - hand)[:2]))
        twist = abs(float(rotation_vector(self._turn @ now.T)[2]))
        if self._dragging and aside > 0.04:
            self._goal, self._turn = self._where()
            self._dragging = False
        if not self._dragging:
            off = max(0.0, aside - 0.004) + 0.05 * max(0.0, twist - 0.1)
            goal = nut + np.array([0.0, 0.0, min(0.09, 8.0 * off)])
            if aside > 0.03 and hand[2] < nut[2] + 0.08:
                goal[:2] = hand[:2]  # first up
            self._dragging = off < 0.001 and hand[2] < nut[2] + 0.008
            return Target(goal, self._turn, CLOSE, lean=True)
        goal = np.array([*self._goal, nut[2]])
        return Target(goal, self._turn, CLOSE, speed=_DRAG, lean=True)

    def _where(self) -> tuple[Array, Array]:
        """Return where the nut goes, (2,) m: the nearest place from which it can be taken."""
        nut, axes = self._world.position(self._nut), self._world.axes(self._nut)
        peg = self._world.position(self._peg)
        away = nut - peg
        across = pointing_down(np.array([-away[1], away[0], 0.0]))
        base = self._scene.data.site("robot0_right_center").xpos[:2]
        best, least = nut[:2], np.inf
        for way in np.arange(0.03, 0.19, 0.02):
            for angle in np.arange(0.0, 2 * np.pi, np.pi / 8):
                step = way * np.array([np.cos(angle), np.sin(angle)])
                if step @ away[:2] < -0.3 * way * np.linalg.norm(away[:2]):
                    continue
                spot = np.array([*(nut[:2] + step), nut[2]])
                out = float(np.linalg.norm(spot[:2] - base))
                cost = way + 10.0 * max(0.0, _NEAREST - out, out - _FARTHEST)
                if cost < least and not over_peg(spot, axes, peg, _MARGIN):
                    best, least = spot[:2], cost
        return best, across


def over_peg(nut: Array, axes: Array, peg: Array, margin: float = 0.0) -> bool:
    """Whether the palm would come down on the peg when it takes the nut by its handle.

    Args:
        nut, peg: where they are, (3,) m.
        axes: the nut's, the columns of (3, 3).
        margin: room (m) to be left beside the peg.
    """
    way = np.abs(axes.T @ (peg - nut) - np.array([NUT_HANDLE["square"], 0.0, 0.0]))
    return bool((way[:2] < _PALM_HALF + _PEG_ROOM + margin).all())
