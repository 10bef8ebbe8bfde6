"""Plan for the door: take the handle from the front, turn it down, pull the door open.

The handle is a bar that turns about an axis out of the door's panel. A spring turns it back, and a
latch at its other end keeps the door shut until it has turned by more than a right angle's three
quarters. So the hand points at the panel and rolls with the bar.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grip import Grip
from lram_sim.robosuite_kinematics import InverseKinematics
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import CLOSE, OPEN, Target, error
from lram_sim.rotations import rotation

Array = npt.NDArray[np.float64]

_GRASP = np.array([0.115, -0.1, 0.0])
"""Where the bar is taken, m, in the handle's frame: along the bar, and out of the panel."""
_FREE = 1.28
"""Angle (rad) of the handle at which the latch lets go."""
_TURNED = 1.45
_LEAD = 0.35
"""How far ahead of the handle (rad) and, of the door, 0.2 rad, the hand is sent: the push."""
_AWAY = 0.1
"""Distance (m) in front of the bar from which the hand comes."""
_DIPS = (0.0, 0.6)
"""Angles (rad) by which the hand may point downwards. UR5e needs one: where it points straight at
the panel, its hand touches its own forearm."""


class DoorPlan:
    """Open the door of robosuite's Door.

    Args:
        scene: the simulation, just reset.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        model = scene.model
        latch = scene.objects[0]
        assert latch is not None
        self._latch = latch
        self._grip = Grip(scene, latch)
        self._hinge = model.joint("Door_hinge").id
        self._angles = model.jnt_qposadr[[self._hinge, model.joint("Door_latch_joint").id]]
        self._closing = False
        self._flip, self._dip = self._better_hold()

    def target(self) -> Target:
        """Return where the hand should be now."""
        self._grip.update()
        data = self.scene.data
        opened, turned = data.qpos[self._angles]
        grasp, turn = self._pose(0.0, 0.0)
        way = grasp - data.site_xpos[self.scene.grip_site]
        if self._grip.held and np.linalg.norm(way) < 0.06:
            self._closing = True
            free = turned > _FREE or opened > 0.05
            swing = min(turned + _LEAD, _TURNED) - turned
            return Target(*self._pose(swing, 0.2 if free else 0.0), CLOSE)
        return self._approach(grasp, turn, way)

    def _approach(self, grasp: Array, turn: Array, way: Array) -> Target:
        out = -turn[:, 2]
        aside = float(np.linalg.norm(way - (way @ out) * out))
        _, left = error(self.scene.data, self.scene.grip_site, Target(grasp, turn, OPEN))
        off = max(0.0, aside - 0.006) + 0.05 * max(0.0, float(np.linalg.norm(left)) - 0.1)
        if self._closing:
            self._closing = bool(np.linalg.norm(way) < 0.03)
        elif np.linalg.norm(way) < 0.012:
            self._closing = True
        if self._closing:
            return Target(grasp, turn, CLOSE)
        away = _AWAY if self.scene.opening() < 0.8 else min(_AWAY, 3.0 * off)
        return Target(grasp + away * out, turn, OPEN)

    def _pose(self, swing: float, pull: float) -> tuple[Array, Array]:
        """Grip position and hand orientation, with the handle and the door turned further.

        Args:
            swing: of the handle, rad, downwards.
            pull: of the door, rad.
        """
        data = self.scene.data
        bar = data.xmat[self._latch].reshape(3, 3)
        bar = rotation(bar[:, 1] * swing) @ bar
        z = rotation(-self._dip * bar[:, 2]) @ bar[:, 1]  # into the panel, and down
        x = bar[:, 2] * self._flip
        turn = np.column_stack((x, np.cross(z, x), z))
        anchor = data.xanchor[self._hinge]
        door = rotation(data.xaxis[self._hinge] * pull)
        spot = data.xpos[self._latch] + bar @ _GRASP
        return anchor + door @ (spot - anchor), door @ turn

    def _better_hold(self) -> tuple[float, float]:
        """Which finger is the upper one, and the dip, with which the arm can follow the handle."""
        best, least = (1.0, _DIPS[0]), np.inf
        for hold in ((side, dip) for dip in _DIPS for side in (1.0, -1.0)):
            self._flip, self._dip = hold
            grasp, turn = self._pose(0.0, 0.0)
            cost = self._effort([Target(grasp - _AWAY * turn[:, 2], turn, OPEN)])
            cost += self._effort(
                [Target(*self._pose(swing, 0.0), CLOSE) for swing in (0.0, 0.7, 1.4)]
            )
            if cost < least - 1e-3:
                best, least = hold, cost
        return best

    def _effort(self, targets: list[Target]) -> float:
        """What speaks against targets, in order: what is missed, an arm that is in its own way."""
        q = self.scene.arm_positions()
        solver, found = InverseKinematics(self.scene, q), 0.0
        for target in targets:
            for _ in range(4):
                q = solver.solve(q, target)
            found += solver.miss(q, target) + solver.touches_itself(q)
        return found
