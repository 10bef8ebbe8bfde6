"""From where the hand should be to the action that takes it there, for both action spaces.

A target is Cartesian. For joint actions it is turned into joint positions by damped least squares
on MuJoCo's Jacobian, from where the arm is, and the joints go there in step: the fastest way there
is for joints that all have the same limit. (mink solves the same as a quadratic programme over
every degree of freedom of the scene, objects included: one iteration takes as long as all eight
here, and as a control tick's physics.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_control import rotation
from lram_sim.robosuite_scene import Scene

Array = npt.NDArray[np.float64]

OPEN, CLOSE = -1.0, 1.0

GAIN = 1.6
"""Of the remaining way asked for each tick. The controllers are critically damped at 1; more is
faster while the action is at its limit and costs a few per cent of overshoot at the end."""
_ITERATIONS = 8
_LEAP = 0.4
"""Largest change (rad) of a joint in one iteration."""
_CLOSE = 1e-4
_DAMPING = 0.02
_POSTURE = 0.1
"""Share of the way back to the posture of the start that a spare joint takes in an iteration."""
_AHEAD = 3.0
"""Ticks that a stretching arm looks ahead."""
_LONG, _MOST_LEAN = 0.965, 0.35
"""Share of an arm's length beyond which its hand leans, and by how much (rad) at most."""
_LEANT = 0.97
"""Share of its length to which an arm may be stretched whose hand may lean."""
_MARGIN = 0.05
"""Distance (rad) from a joint's limit at which it moves no further."""


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


def error(data: Any, site: int, target: Target) -> tuple[Array, Array]:
    """Return the way (3,) in m and the rotation vector (3,) in rad that are left."""
    turn = rotation_vector(target.turn @ data.site_xmat[site].reshape(3, 3).T)
    if target.free_yaw:
        turn[2] = 0.0
    return target.position - data.site_xpos[site], turn


def rotation_vector(turn: Array) -> Array:
    """Return the rotation vector (3,) in rad of a rotation matrix (3, 3)."""
    quaternion, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(turn).reshape(-1))
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


def pointing_down(finger_axis: Array) -> Array:
    """Return the rotation (3, 3) of a hand that points down and closes along ``finger_axis``."""
    x = np.array([finger_axis[0], finger_axis[1], 0.0])
    x /= np.linalg.norm(x)
    z = np.array([0.0, 0.0, -1.0])
    return np.column_stack((x, np.cross(z, x), z))


def azimuth(way: Array) -> float:
    """Return the angle (rad) of a vector in the plane."""
    return float(np.arctan2(way[1], way[0]))


def angle_between(one: Array, other: Array) -> float:
    """Return the angle (rad) between two unit vectors."""
    return float(np.arccos(np.clip(one @ other, -1.0, 1.0)))
