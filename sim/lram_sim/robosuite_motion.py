"""From where the hand should be to the action that takes it there, for both action spaces.

A target is Cartesian. For joint actions it is turned into joint positions, and the joints go there
in step: the fastest way there is for joints that all have the same limit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_kinematics import InverseKinematics
from lram_sim.robosuite_reach import Reach
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import Target, error, hand
from lram_sim.rotations import rotation

Array = npt.NDArray[np.float64]

GAIN = 1.6
"""Of the remaining way asked for each tick. The controllers are critically damped at 1; more is
faster while the action is at its limit and costs a few per cent of overshoot at the end."""
_LEANT = 0.97
"""Share of its length to which an arm may be stretched whose hand may lean."""


class Mover:
    """Turns targets into actions.

    Args:
        scene: the simulation, just reset.
        mode: ``joint`` or ``osc``.
        gain: share of the remaining way asked for each tick. With 1 the action is the one that
            has the target as its goal.
        stretch: share of its length to which the arm may be stretched by deltas of the hand: an arm
            that is drawn straight can get its elbow on the wrong side, and never back.
    """

    def __init__(self, scene: Scene, mode: str, gain: float = GAIN, stretch: float = 1.0) -> None:
        self._scene, self._joints, self._gain = scene, mode == "joint", gain
        self._reach = Reach(scene) if stretch < 1.0 and not self._joints else None
        self._stretch = stretch
        self._home = scene.arm_positions()
        base = scene.model.site("robot0_right_center").id
        self._base = scene.data.site_xmat[base].reshape(3, 3).copy()
        self._inverse = InverseKinematics(scene, self._home)

    def action(self, target: Target) -> Array:
        """Return the action, float64 (action_size,), rounded to single precision."""
        if self._joints:
            if target.lean:
                leaning = self._inverse.reach.leaning(target.position)
                target = replace(target, turn=leaning @ target.turn)
            now = self._scene.arm_positions()
            moves = self._gain * (self._inverse.solve(now, target) - now) / 0.05
        else:
            if self._reach is not None and target.lean:
                target = replace(target, turn=self._reach.leaning(target.position) @ target.turn)
            way, turn = error(self._scene.data, self._scene.grip_site, target)
            if self._reach is not None:
                most = min(self._stretch, _LEANT) if target.lean else self._stretch
                way = self._reach.kept(way, most)
            moves = np.concatenate((self._base.T @ way / 0.05, self._base.T @ turn / 0.5))
            moves *= self._gain
        largest = np.abs(moves).max()
        if largest > target.speed:
            moves *= target.speed / largest
        return np.append(moves, target.grip).astype(np.float32).astype(np.float64)

    def goal(self, action: Array) -> tuple[Array, Array]:
        """Return position (3,) and rotation (3, 3) of the grip site that an action aims at.

        Args:
            action: (action_size,), within the limits.
        """
        moves, scene = action[:-1], self._scene
        if self._joints:
            return self._inverse.hand(scene.arm_positions() + 0.05 * moves)
        position, turn = hand(scene)
        swing = self._base @ rotation(0.5 * moves[3:]) @ self._base.T
        return position + self._base @ (0.05 * moves[:3]), swing @ turn
