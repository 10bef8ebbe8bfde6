"""Plans that move the hand about an object without taking it: open, close, tip over, drag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_reaching import LONG
from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.mimicgen_shapes import HANDLE
from lram_sim.robosuite_insert import effort
from lram_sim.robosuite_kinematics import InverseKinematics
from lram_sim.robosuite_target import CLOSE, OPEN, Target
from lram_sim.rotations import pointing_down

Array = npt.NDArray[np.float64]

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
