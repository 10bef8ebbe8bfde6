"""How an object is taken from above, and brought elsewhere."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grip import Grip, Shape
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import CLOSE, OPEN, Target
from lram_sim.rotations import angle_between, azimuth, pointing_down

Array = npt.NDArray[np.float64]

NEAR = 0.008
"""Distance (m) from the grasp at which the fingers close."""
_LOSE = 0.025
"""Distance (m) at which fingers that are closing open again: the object has moved away."""
_ALIGNED = 0.15
"""Angle (rad) within which the fingers fit."""
_HOVER = 0.07
"""Height (m) above the grasp from which the hand goes down."""
_BLOCKED = 25
"""Ticks after which fingers that do not open all the way are stuck at a wall: the hand goes up."""
_PALM = 0.035
"""How far (m) below an object's top the fingers can take it."""


class PickPlan:
    """Takes an object from above; what to do with it is the subclass's.

    Args:
        scene: the simulation.
        round_body: any direction of the fingers fits while it stands upright.
        body: number of the object's body; None for the task's first.
    """

    def __init__(self, scene: Scene, round_body: bool = False, body: int | None = None) -> None:
        self.scene = scene
        found = scene.objects[0] if body is None else body
        assert found is not None
        self.body = found
        self.grip = Grip(scene, self.body)
        self.shape = Shape.of(scene, self.body)
        self._round = round_body
        self._home = scene.data.site_xmat[scene.grip_site].reshape(3, 3)[:, 0].copy()
        self._base = scene.data.site("robot0_right_center").xpos[:2].copy()
        self._ahead = azimuth(self.hand[:2] - self._base)
        self._axis: Array | None = None
        self._closing = False
        self._releasing, self._opening = False, 0

    def target(self) -> Target:
        """Return where the hand should be now."""
        self.grip.update()
        if self._releasing:
            if self.scene.opening() < 0.9:
                self._opening += 1
                return self.stay(OPEN) if self._opening < _BLOCKED else self.retreat()
            self._releasing = False
        if self.grip.held:
            self._closing = True
            return self.carry()
        if self.placed():
            return self.retreat()
        return self.approach()

    def carry(self) -> Target:
        """What to do with the object in hand."""
        raise NotImplementedError

    def placed(self) -> bool:
        """Whether the object is where it belongs."""
        return False

    def release(self) -> Target:
        """Let go, and open all the way before anything else."""
        self._releasing, self._closing, self._opening = True, False, 0
        return self.stay(OPEN)

    def stay(self, grip: float) -> Target:
        """Stop where the hand is."""
        return Target(self.hand.copy(), self.turn(), grip)

    def retreat(self) -> Target:
        """Go straight up with open fingers."""
        self._closing = False
        return Target(self.hand + np.array([0.0, 0.0, 0.1]), self.turn(), OPEN)

    @property
    def hand(self) -> Array:
        """(3,) position of the grip site."""
        position: Array = self.scene.data.site_xpos[self.scene.grip_site]
        return position

    @property
    def position(self) -> Array:
        """(3,) position of the object's body."""
        position: Array = self.scene.data.xpos[self.body]
        return position

    @property
    def axes(self) -> Array:
        """(3, 3) the object's axes as columns."""
        turn: Array = self.scene.data.xmat[self.body].reshape(3, 3)
        return turn

    def half_height(self) -> float:
        """Half the object's height as it lies, m."""
        return float(np.abs(self.axes[2]) @ self.shape.half)

    def grasp(self) -> Array:
        """(3,) where the grip site takes the object."""
        middle = self.position + self.axes @ self.shape.middle
        # Tall objects are taken below the top, or the palm would push them down.
        raised = max(0.0, self.half_height() - _PALM)
        return middle + np.array([0.0, 0.0, raised - self.scene.gripper.depth])

    def turn(self) -> Array:
        """(3, 3) orientation of the hand: down, fingers along the axis chosen last."""
        return pointing_down(self._home if self._axis is None else self._axis)

    def choose_axis(self) -> None:
        """Choose along which of the object's axes the fingers close.

        The one that fits and is nearest to how the hand is turned when the whole arm turns to the
        object, so that the wrist never winds up; the choice of before is kept where it is nearly as
        good.
        """
        best, least = None, np.inf
        natural = self.natural_axis()
        for axis in self.candidates():
            cost = angle_between(axis, natural) + self.penalty(axis)
            if self._axis is not None and axis @ self._axis > 0.94:
                cost -= 0.3
            if cost < least:
                best, least = axis, cost
        self._axis = best

    def candidates(self) -> list[Array]:
        """Unit vectors (3,) in the plane along which the fingers may close."""
        axes = self.axes
        if self._round and abs(axes[2, 2]) > 0.9:
            return [self.natural_axis()]
        found = []
        for index in range(3):
            flat = np.array([axes[0, index], axes[1, index], 0.0])
            size = np.linalg.norm(flat)
            if size > 0.5:
                flat /= size
                across = np.array([-flat[1], flat[0], 0.0])
                found += [flat, -flat, across, -across]
        return found

    def natural_axis(self) -> Array:
        """(3,) the fingers' axis at the start, turned with the arm towards the object."""
        yaw = azimuth(self.position[:2] - self._base) - self._ahead
        x, y = self._home[:2]
        c, s = np.cos(yaw), np.sin(yaw)
        turned = np.array([c * x - s * y, s * x + c * y, 0.0])
        natural: Array = turned / np.linalg.norm(turned)
        return natural

    def penalty(self, axis: Array) -> float:
        """What speaks against closing along ``axis``, in radians of turn."""
        width = 2 * float(np.abs(axis @ self.axes) @ self.shape.half)
        return 10.0 * max(0.0, width - self.scene.gripper.width) / 0.01

    def approach(self) -> Target:
        """Come from above, go down where it is aligned, close when there."""
        self.choose_axis()
        turn, grasp = self.turn(), self.grasp()
        now = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        way = grasp - self.hand
        aside = float(np.linalg.norm(way[:2]))
        twist = self.twist(turn @ now.T)
        if self._closing:
            self._closing = bool(np.linalg.norm(way) < _LOSE and twist < 2 * _ALIGNED)
        elif np.linalg.norm(way) < NEAR and twist < _ALIGNED:
            self._closing = True
        if self._closing:
            return Target(grasp, turn, CLOSE)
        off = max(0.0, aside - 0.004) + 0.05 * max(0.0, twist - 0.05)
        height = min(self.hover(), 3.0 * off)
        if self.scene.opening() < 0.8:
            height = self.hover()
        spot = grasp + np.array([0.0, 0.0, height])
        if off > 0.02 and -way[2] < self.hover() - 0.03 and aside < 0.12:
            spot[:2] = self.hand[:2]  # too low to move aside: the fingers would sweep it away
        return Target(spot, turn, OPEN)

    def twist(self, left: Array) -> float:
        """Return by how much (rad) the fingers do not fit, of a rotation (3, 3) that is left."""
        return float(np.arccos(np.clip((np.trace(left) - 1) / 2, -1, 1)))

    def hover(self) -> float:
        """Height (m) above the grasp from which the hand goes down."""
        return _HOVER

    def hang(self) -> float:
        """How far (m) the object's lowest point hangs below the grip site."""
        middle = self.position + self.axes @ self.shape.middle
        return float(self.hand[2] - (middle[2] - self.half_height()))

    def bring(self, spot: Array, above: float, close_to: float) -> Target:
        """Carry the object's body to ``spot`` (3,): up, across at a safe height, then down.

        Args:
            spot: where the body should end up, m.
            above: height (m) above ``spot`` to come down from.
            close_to: distance aside (m) within which it may be at the spot's own height.
        """
        offset = self.hand - self.position
        way = spot - self.position
        aside = float(np.linalg.norm(way[:2]))
        height = min(above, 8.0 * max(0.0, aside - close_to))
        goal = spot + np.array([0.0, 0.0, height])
        if aside > 0.05 and self.position[2] < spot[2] + above - 0.03:
            goal[:2] = self.position[:2]  # first up
        return Target(goal + offset, self.turn(), CLOSE, free_yaw=True)
