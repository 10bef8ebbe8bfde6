"""How far an arm is stretched, and how its hand leans to stretch it less."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_scene import Scene

Array = npt.NDArray[np.float64]

_AHEAD = 3.0
"""Ticks that a stretching arm looks ahead."""
_LONG, _MOST_LEAN = 0.965, 0.35
"""Share of an arm's length beyond which its hand leans, and by how much (rad) at most."""


class Reach:
    """How far an arm is stretched, from its shoulder to its wrist.

    Args:
        scene: the simulation, just reset: the hand points down.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        joints = [scene.model.dof_jntid[dof] for dof in scene.dofs]
        # Arms of seven joints have their elbow in the fourth, those of six in the third.
        elbow = 3 if len(joints) == 7 else 2
        self._shoulder, self._wrist = int(joints[1]), int(joints[elbow + 1])
        data = mujoco.MjData(scene.model)
        low, high = np.clip(scene.arm_range[elbow], -np.pi, np.pi)
        lengths = []
        for angle in np.linspace(low, high, 64):
            data.qpos[scene.arm_qpos] = 0.0
            data.qpos[scene.arm_qpos[elbow]] = angle
            mujoco.mj_kinematics(scene.model, data)
            lengths.append(np.linalg.norm(self._way(data)))
        self._longest = max(lengths)
        hand = scene.data.site_xpos[scene.grip_site]
        out, wrist = (
            place - scene.data.xanchor[self._shoulder]
            for place in (hand, scene.data.xanchor[self._wrist])
        )
        ahead = out[:2] / np.linalg.norm(out[:2])
        # Of the wrist from a hand that points down: outwards and up. A start is a bit leant.
        back, up = float((wrist - out)[:2] @ ahead), float((wrist - out)[2])
        down = scene.data.site_xmat[scene.grip_site].reshape(3, 3)[:, 2]
        lean = float(np.arctan2(down[:2] @ ahead, -down[2]))
        c, s = np.cos(lean), np.sin(lean)
        self._wrist_offset = back * c + up * s, up * c - back * s
        self._length: float | None = None

    def _way(self, data: Any) -> Array:
        way: Array = data.xanchor[self._wrist] - data.xanchor[self._shoulder]
        return way

    def needed(self, place: Array, turn: Array) -> float:
        """Return how far a hand at ``place`` (3,) stretches the arm; 1 is all.

        Args:
            place: of the grip site, m.
            turn: (3, 3) its rotation; its z axis points out of the hand, about down.
        """
        out = place - self._scene.data.xanchor[self._shoulder]
        back, up = self._wrist_offset
        away = float(np.hypot(out[0], out[1]))
        s = float(turn[:2, 2] @ out[:2]) / max(1e-9, away)
        c = -float(turn[2, 2])
        return float(np.hypot(away + back * c - up * s, out[2] + back * s + up * c) / self._longest)

    def leaning(self, place: Array) -> Array:
        """Return the rotation (3, 3) of a hand at ``place`` (3,) that leans no more than it must.

        Outwards, so that the wrist is nearer to the shoulder.
        """
        out = place - self._scene.data.xanchor[self._shoulder]
        away = float(np.hypot(out[0], out[1]))
        back, up = self._wrist_offset
        angles = np.linspace(0.0, _MOST_LEAN, 15)
        c, s = np.cos(angles), np.sin(angles)
        lengths = np.hypot(away + back * c - up * s, out[2] + back * s + up * c)
        fits = lengths < _LONG * self._longest
        angle = float(angles[fits.argmax()] if fits.any() else _MOST_LEAN)
        quaternion, turn = np.zeros(4), np.zeros(9)
        axis = np.array([out[1], -out[0], 0.0]) / max(1e-9, away)
        mujoco.mju_axisAngle2Quat(quaternion, axis, angle)
        mujoco.mju_quat2Mat(turn, quaternion)
        return turn.reshape(3, 3)

    def kept(self, way: Array, most: float) -> Array:
        """Return a way (3,) of the hand that does not stretch the arm by more than ``most``.

        Once a tick: it also looks at how fast the arm is stretched.
        """
        arm = self._way(self._scene.data)
        length = float(np.linalg.norm(arm))
        speed = 0.0 if self._length is None else length - self._length
        self._length = length
        over = length + _AHEAD * max(0.0, speed) - most * self._longest
        if over < 0:
            return way
        outward = arm / length
        found: Array = way - outward * (max(0.0, float(way @ outward)) + over)
        return found
