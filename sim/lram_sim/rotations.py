"""Rotations: matrices, rotation vectors, and the angles between directions."""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def rotation(vector: Array) -> Array:
    """Return the rotation matrix (3, 3) of a rotation vector (3,) in rad."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    quaternion, matrix = np.zeros(4), np.zeros(9)
    mujoco.mju_axisAngle2Quat(quaternion, vector / angle, angle)
    mujoco.mju_quat2Mat(matrix, quaternion)
    return matrix.reshape(3, 3)


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
