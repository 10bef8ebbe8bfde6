"""Plan for wiping a table: press the wiper on it, and go to the nearest mark that is left."""

from __future__ import annotations

import numpy as np

from lram_sim.robosuite_target import OPEN, Target
from lram_sim.robosuite_wipe_scene import WipeScene
from lram_sim.rotations import pointing_down

_PRESS = 0.015
"""How far (m) below the table's top the wiper is sent."""


class WipePlan:
    """Wipe robosuite's table.

    Args:
        scene: the simulation, just reset.
    """

    def __init__(self, scene: WipeScene) -> None:
        self.scene = scene
        turn = scene.data.site_xmat[scene.grip_site].reshape(3, 3)
        self._turn = pointing_down(turn[:, 0])

    def target(self) -> Target:
        """Return where the wiper should be now."""
        scene = self.scene
        marks, here = scene.marks(), scene.data.site_xpos[scene.grip_site]
        if not len(marks):
            return Target(here.copy(), self._turn, OPEN)
        mark = marks[np.linalg.norm(marks - here, axis=1).argmin()]
        return Target(mark - np.array([0.0, 0.0, _PRESS]), self._turn, OPEN)
