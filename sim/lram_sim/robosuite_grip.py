"""What a hand and an object are to each other: whether it is held, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_scene import Scene

Array = npt.NDArray[np.float64]

_TICKS = 2
"""Ticks for which both fingers touch before the object counts as held, or do not before lost."""


class Grip:
    """Whether the hand holds a body: both fingers touch it, and have stopped closing."""

    def __init__(self, scene: Scene, body: int) -> None:
        self._scene = scene
        model = scene.model
        self._geoms = np.array([i for i in range(model.ngeom) if model.geom_bodyid[i] == body])
        self._opening = scene.opening()
        self._count = 0
        self.held = False

    def update(self) -> None:
        """Look once a tick."""
        opening = self._scene.opening()
        still = abs(opening - self._opening) < 0.02
        self._opening = opening
        touches = self.touches()
        if touches and (still or self.held):
            self._count = max(1, self._count + 1)
        elif not touches:
            self._count = min(-1, self._count - 1)
        if self._count >= _TICKS:
            self.held = True
        elif self._count <= -_TICKS:
            self.held = False

    def touches(self) -> bool:
        """Whether each finger touches the body now."""
        pairs = self._scene.data.contact.geom
        if len(pairs) == 0:
            return False
        mine = np.isin(pairs, self._geoms)
        return all((mine[:, ::-1] & np.isin(pairs, finger)).any() for finger in self._scene.fingers)


@dataclass(frozen=True)
class Shape:
    """Half the extents of a body's bounding box along its own axes, and the box's middle (m)."""

    half: Array
    middle: Array

    @classmethod
    def of(cls, scene: Scene, body: int) -> Shape:
        """The box around the body's geoms that collide."""
        model = scene.model
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        for geom in range(model.ngeom):
            if model.geom_bodyid[geom] != body or not model.geom_contype[geom]:
                continue
            turn = np.zeros(9)
            mujoco.mju_quat2Mat(turn, model.geom_quat[geom])
            axes = turn.reshape(3, 3)
            middle = model.geom_pos[geom] + axes @ model.geom_aabb[geom, :3]
            reach = np.abs(axes) @ model.geom_aabb[geom, 3:]
            low, high = np.minimum(low, middle - reach), np.maximum(high, middle + reach)
        return cls((high - low) / 2, (high + low) / 2)
