"""Inverse kinematics of robosuite's arms: damped least squares on MuJoCo's Jacobian.

mink solves the same as a quadratic programme over every degree of freedom of the scene, objects
included: one iteration takes as long as all eight here, and as a control tick's physics.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_reach import Reach
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import Target, error

Array = npt.NDArray[np.float64]

_ITERATIONS = 8
_LEAP = 0.4
"""Largest change (rad) of a joint in one iteration."""
_CLOSE = 1e-4
_DAMPING = 0.02
_POSTURE = 0.1
"""Share of the way back to the posture of the start that a spare joint takes in an iteration."""
_MARGIN = 0.05
"""Distance (rad) from a joint's limit at which it moves no further."""


class InverseKinematics:
    """Joint positions that bring the hand to a target.

    Args:
        scene: the simulation.
        home: posture that a redundant arm is drawn to.

    Attributes:
        home: as given.
        reach: of the arm.
    """

    def __init__(self, scene: Scene, home: Array) -> None:
        self._scene, self.home = scene, home
        self._data = mujoco.MjData(scene.model)  # to try positions in
        nv = scene.model.nv
        self._jacp, self._jacr = np.zeros((3, nv)), np.zeros((3, nv))
        self.reach = Reach(scene)

    def solve(self, start: Array, target: Target) -> Array:
        """Return joint positions (n,) near ``start``, as close to the target as they come."""
        scene, data = self._scene, self._data
        model, site = scene.model, scene.grip_site
        rows = slice(0, 5 if target.free_yaw else 6)
        low, high = scene.arm_range.T
        q = start.copy()
        for index in range(_ITERATIONS):
            data.qpos[scene.arm_qpos] = q
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            left = np.concatenate(error(data, site, target))[rows]
            if np.abs(left).max() < _CLOSE:
                break
            mujoco.mj_jacSite(model, data, self._jacp, self._jacr, site)
            jacobian = np.vstack((self._jacp, self._jacr))[rows, scene.dofs]
            q = np.clip(q + self._step(jacobian, left, q, index), low + _MARGIN, high - _MARGIN)
        return q

    def hand(self, q: Array) -> tuple[Array, Array]:
        """Return position (3,) and rotation (3, 3) of the grip site at joint positions (n,)."""
        self._data.qpos[self._scene.arm_qpos] = q
        mujoco.mj_kinematics(self._scene.model, self._data)
        site = self._scene.grip_site
        return self._data.site_xpos[site].copy(), self._data.site_xmat[site].reshape(3, 3).copy()

    def miss(self, q: Array, target: Target) -> float:
        """Return how far joint positions (n,) are from the target, m and rad taken together."""
        self._data.qpos[self._scene.arm_qpos] = q
        mujoco.mj_kinematics(self._scene.model, self._data)
        way, turn = error(self._data, self._scene.grip_site, target)
        return float(np.linalg.norm(way) + np.linalg.norm(turn))

    def touches_itself(self, q: Array) -> bool:
        """Tell whether the arm or its hand would touch the arm at joint positions (n,)."""
        scene, data = self._scene, self._data
        model = scene.model
        data.qpos[:] = scene.data.qpos
        data.qpos[scene.arm_qpos] = q
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        touching = data.contact.geom[data.contact.dist < 0.0]
        arm, hand = (
            np.char.startswith([model.body(body).name for body in model.geom_bodyid], prefix)
            for prefix in ("robot0_", "gripper0_")
        )
        one, other = touching.T
        return bool((arm[one] & (arm | hand)[other] | hand[one] & arm[other]).any())

    def _step(self, jacobian: Array, left: Array, q: Array, index: int) -> Array:
        low, high = self._scene.arm_range.T
        damping = _DAMPING**2 * np.eye(len(left))
        free = np.ones(len(q))
        for _ in range(2):
            part = jacobian * free
            inverse = part.T @ np.linalg.inv(part @ part.T + damping)
            # What does not move the hand draws the arm back to a good posture; the last iterations
            # are left to the target alone.
            posture = _POSTURE if index < _ITERATIONS // 2 else 0.0
            spare = free * (self.home - q) * posture
            moves = inverse @ (left - part @ spare) + spare
            stuck = ((q >= high - _MARGIN) & (moves > 0)) | ((q <= low + _MARGIN) & (moves < 0))
            if not stuck.any():
                break
            free = free * ~stuck
        moves = moves * free
        largest = np.abs(moves).max()
        found: Array = moves if largest <= _LEAP else moves * (_LEAP / largest)
        return found
