"""What the rules of the MimicGen tasks look at: where bodies are, what touches, what is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_AWAY = 0.0424
"""Distance (m) from which on the hand has left an object: robosuite's, 1 - tanh(10 d) < 0.6."""


class World:
    """Reads a simulation by the names of a task's objects.

    Args:
        model, data: the simulation (``mujoco.MjModel``, ``mujoco.MjData``).
        objects: name of an object → name of its body.
        joint: name of the hinge or slide; empty where there is none.
        fingers: geoms of the left and of the right finger.
        grip_site: site between the finger pads.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        objects: Mapping[str, str],
        joint: str,
        fingers: Sequence[Array],
        grip_site: int,
    ) -> None:
        self.model, self.data = model, data
        self.bodies = {name: int(model.body(body).id) for name, body in objects.items()}
        self._joint = int(model.joint(joint).qposadr[0]) if joint else None
        self._fingers, self._site = fingers, grip_site

    def position(self, name: str) -> Array:
        """Return where an object's origin is, (3,) m."""
        position: Array = self.data.xpos[self.bodies[name]]
        return position

    def axes(self, name: str) -> Array:
        """Return an object's axes in the world, the columns of (3, 3)."""
        axes: Array = self.data.xmat[self.bodies[name]].reshape(3, 3)
        return axes

    def inside(self, name: str, other: str) -> Array:
        """Return an object's origin in the frame of another, (3,) m."""
        way: Array = self.axes(other).T @ (self.position(name) - self.position(other))
        return way

    def upright(self, name: str, most: float = 0.2) -> bool:
        """Whether an object leans from its upright by less than ``most`` (rad)."""
        return bool(self.axes(name)[2, 2] > np.cos(most))

    def joint(self) -> float:
        """Return the position of the task's hinge (rad) or slide (m); 0 without one."""
        return 0.0 if self._joint is None else float(self.data.qpos[self._joint])

    def touching(self, one: str, other: str) -> bool:
        """Whether two objects touch."""
        a, b = self.bodies[one], self.bodies[other]
        bodies = self.model.geom_bodyid[self.data.contact.geom]
        return bool(((bodies == (a, b)) | (bodies == (b, a))).all(axis=1).any())

    def held(self, name: str) -> bool:
        """Whether both fingers touch an object."""
        pairs = self.data.contact.geom
        mine = self.model.geom_bodyid[pairs] == self.bodies[name]
        return all((mine[:, ::-1] & np.isin(pairs, side)).any() for side in self._fingers)

    def left(self, name: str) -> bool:
        """Whether the hand is away from an object's origin."""
        way = self.data.site_xpos[self._site] - self.position(name)
        return bool(np.linalg.norm(way) > _AWAY)

    def quaternion(self, name: str) -> Array:
        """Return an object's orientation, (4,), w first."""
        quaternion: Array = self.data.xquat[self.bodies[name]]
        return quaternion

    def hand_quaternion(self) -> Array:
        """Return the orientation of the grip site, (4,), w first."""
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, self.data.site_xmat[self._site])
        return quaternion
