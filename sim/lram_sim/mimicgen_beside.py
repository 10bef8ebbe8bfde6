"""What stands beside an object where a hand would come down."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.robosuite_grip import Shape

Array = npt.NDArray[np.float64]

_FINGER, _ROOM = 0.05, 0.01
"""Where an open finger comes down beside an object, and half the room it takes, m."""
_PALM_HALF, _PALM_ABOVE = np.array([0.105, 0.035]), 0.035
"""Half the palm (m) along the fingers' axis and across it, and how high over the grasp it is."""
_MARGIN = 0.005
"""Room (m) that is left beside the palm."""
_STEEP = 100.0
"""Radians of turn that a metre in the way counts as."""


class Beside:
    """The other objects of a task, as circles around their origins.

    Args:
        scene: the simulation.
        name: of the object that is taken.
    """

    def __init__(self, scene: MimicgenScene, name: str) -> None:
        self._data, self._body = scene.data, scene.world.bodies[name]
        others = [body for other, body in scene.world.bodies.items() if other != name]
        self._others = [(body, Shape.of(scene, body)) for body in others]

    def penalty(self, axis: Array, height: float) -> float:
        """Return what speaks against fingers along ``axis``, in radians of turn.

        Args:
            axis: (3,) unit vector in the plane.
            height: of the grip site at the grasp, m.
        """
        found = 0.0
        along = axis[:2]
        across = np.array([-along[1], along[0]])
        for other, shape in self._others:
            way = (self._data.xpos[other] - self._data.xpos[self._body])[:2]
            radius = float(np.linalg.norm(shape.half[:2]))
            for finger in (_FINGER * along, -_FINGER * along):
                found += _STEEP * max(0.0, radius + _ROOM - float(np.linalg.norm(way - finger)))
            if self._top(other, shape) > height + _PALM_ABOVE:
                past = np.abs([way @ along, way @ across]) - _PALM_HALF
                room = float(np.linalg.norm(np.maximum(0.0, past)))
                found += _STEEP * max(0.0, radius + _MARGIN - room)
        return found

    def _top(self, body: int, shape: Shape) -> float:
        """Return the height (m) of a body's highest point."""
        up = self._data.xmat[body].reshape(3, 3)[2]
        return float(self._data.xpos[body][2] + up @ shape.middle + np.abs(up) @ shape.half)
