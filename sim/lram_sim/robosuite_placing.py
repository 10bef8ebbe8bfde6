"""Plans that pick an object up from above: lift it, stack it, put it into its bin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grasp import PickPlan
from lram_sim.robosuite_grip import Shape
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import CLOSE, Target

Array = npt.NDArray[np.float64]

_ABOVE_WALLS = 0.925
"""Height (m) that the lowest point of an object passes the bins' walls at."""
_COMPARTMENT = np.array([0.1, 0.125])
"""Half the size (m) of an object's part of the bin."""
_FINGERS = 0.035
"""Room (m) that the open fingers take beside an object."""
_BIN_MIDDLE, _BIN_HALF = np.array([0.1, -0.25]), np.array([0.19, 0.24])
"""The bin that the objects start in, m."""
_PALM_HALF = (0.105, 0.035)
"""Half the width (m) of the widest hand, along the fingers' axis and across it."""
_PALM_CLEARS = 0.862
"""Height (m) of a grasp from which on the palm is above the bin's walls."""
_UPRIGHT = 0.05
"""Angle (rad) within which a hand points down."""


class LiftPlan(PickPlan):
    """Lift the cube off the table."""

    def carry(self) -> Target:
        return Target(self.hand + np.array([0.0, 0.0, 0.06]), self.turn(), CLOSE)


class StackPlan(PickPlan):
    """Put one cube on another: the task's first on its second if none are named."""

    def __init__(self, scene: Scene, body: int | None = None, other: int | None = None) -> None:
        super().__init__(scene, body=body)
        other = scene.objects[1] if other is None else other
        assert other is not None
        self._other = other
        self._below = Shape.of(scene, other)

    def penalty(self, axis: Array) -> float:
        """Also: a finger must not come down on the other cube."""
        way = self.scene.data.xpos[self._other] - self.position
        along, across = abs(way @ axis), np.linalg.norm(np.cross(way, axis))
        blocked = along < 0.115 and across < 0.06
        return super().penalty(axis) + (2.0 if blocked else 0.0)

    def carry(self) -> Target:
        top = self.scene.data.xpos[self._other] + [0.0, 0.0, self._below.half[2]]
        spot = top + np.array([0.0, 0.0, self.half_height() + 0.004])
        way = spot - self.position
        if np.linalg.norm(way[:2]) < 0.008 and abs(way[2]) < 0.008:
            return self.release()
        return self.bring(spot, 0.05, 0.004)


class PickPlacePlan(PickPlan):
    """Put an object into its part of the other bin.

    Args:
        scene: the simulation.
        task: its name.
        body: number of the object's body; None for the task's first.
        goal: (3,) middle of its part of the bin, m; None for the task's.
        leans: the hand may lean at the end of the arm's reach.
    """

    def __init__(
        self,
        scene: Scene,
        task: str,
        body: int | None = None,
        goal: Array | None = None,
        leans: bool = False,
    ) -> None:
        super().__init__(scene, round_body=task.endswith("can"), body=body)
        self._leans = leans
        self._goal = scene.goal if goal is None else goal
        # The middle of the far compartments is at the end of an arm's reach: its near corner.
        self._spot = self._goal.copy()
        room = np.maximum(0.0, _COMPARTMENT - _FINGERS - np.linalg.norm(self.shape.half[:2]))
        self._spot[:2] += np.clip(self._base - self._goal[:2], -room, room)

    def penalty(self, axis: Array) -> float:
        """Also: a low object is not taken with the hand across the wall of its bin."""
        if self.grasp()[2] > _PALM_CLEARS:
            return super().penalty(axis)
        along = np.abs(axis[:2])
        reach = _PALM_HALF[0] * along + _PALM_HALF[1] * along[::-1]
        room = _BIN_HALF - np.abs(self.position[:2] - _BIN_MIDDLE)
        over = float((reach - room).max()) + 0.005
        return super().penalty(axis) + (2.0 + 30.0 * over if over > 0 else 0.0)

    def candidates(self) -> list[Array]:
        """Also along the bin's walls: what is small enough turns between the fingers."""
        walls = [np.array([x, y, 0.0]) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        return super().candidates() + (walls if self.grasp()[2] < _PALM_CLEARS else [])

    def placed(self) -> bool:
        way = self._goal - self.position
        return bool((np.abs(way[:2]) < _COMPARTMENT).all() and self.position[2] < 0.92)

    def stay(self, grip: float) -> Target:
        return replace(super().stay(grip), turn=self._leaning())

    def retreat(self) -> Target:
        return replace(super().retreat(), turn=self._leaning())

    def _leaning(self) -> Array:
        """(3, 3) the hand's turn; as it is while it leans, for upright it presses on the walls."""
        now = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        leans = self._leans and now[2, 2] > -np.cos(_UPRIGHT)
        return now.copy() if leans else self.turn()

    def approach(self) -> Target:
        return replace(super().approach(), lean=self._leans)

    def twist(self, left: Array) -> float:
        """Of a hand that may lean, only what is left about the vertical."""
        if self._leans:
            return abs(float(np.arctan2(left[1, 0] - left[0, 1], left[0, 0] + left[1, 1])))
        return super().twist(left)

    def carry(self) -> Target:
        below = self.position[2] - (self.hand[2] - self.hang())
        spot = self._spot + np.array([0.0, 0.0, 0.035 + below])
        way = spot - self.position
        if np.linalg.norm(way[:2]) < 0.03 and way[2] > -0.015:
            return self.release()
        return replace(self.bring(spot, _ABOVE_WALLS + below - spot[2], 0.025), lean=self._leans)
