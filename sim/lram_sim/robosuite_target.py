"""Where the hand of an arm should be, and how far it is from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_scene import Scene
from lram_sim.rotations import rotation_vector

Array = npt.NDArray[np.float64]

OPEN, CLOSE = -1.0, 1.0


@dataclass(frozen=True)
class Target:
    """Where the hand should be.

    Attributes:
        position: (3,) of the grip site, m.
        turn: (3, 3) rotation of the grip site.
        grip: OPEN or CLOSE.
        speed: largest action, 0 to 1.
        free_yaw: the hand may turn about the vertical as the arm likes.
        lean: the hand may lean outwards where it is hard to reach.
    """

    position: Array
    turn: Array
    grip: float
    speed: float = 1.0
    free_yaw: bool = False
    lean: bool = False


def hand(scene: Scene) -> tuple[Array, Array]:
    """Return position (3,) and rotation (3, 3) of the grip site."""
    site = scene.grip_site
    return scene.data.site_xpos[site].copy(), scene.data.site_xmat[site].reshape(3, 3).copy()


def error(data: Any, site: int, target: Target) -> tuple[Array, Array]:
    """Return the way (3,) in m and the rotation vector (3,) in rad that are left."""
    turn = rotation_vector(target.turn @ data.site_xmat[site].reshape(3, 3).T)
    if target.free_yaw:
        turn[2] = 0.0
    return target.position - data.site_xpos[site], turn
