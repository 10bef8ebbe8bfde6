"""Algebra of poses: what is told in the frame of one object, told in the frame of another.

A pose is a homogeneous matrix, float64 (4, 4), of a body in the world; lengths are in m. A path is
an array (T, 4, 4) of them.
"""

from __future__ import annotations

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.rotations import rotation, rotation_vector
from lram_sim.subtasks import Pose

Array = npt.NDArray[np.float64]


def joined(position: Array, turn: Array) -> Array:
    """Return the pose (4, 4) at a position (3,) turned by a rotation matrix (3, 3)."""
    pose = np.eye(4)
    pose[:3, 3], pose[:3, :3] = position, turn
    return pose


def matrix(pose: Pose) -> Array:
    """Return a pose as a matrix (4, 4)."""
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, np.roll(pose.orientation, 1))
    return joined(pose.position, turn.reshape(3, 3))


def inverse(pose: Array) -> Array:
    """Return the pose (4, 4) that undoes ``pose``."""
    back = pose[:3, :3].T
    return joined(-back @ pose[:3, 3], back)


def carried(path: Array, source: Array, target: Array) -> Array:
    """Return a path (T, 4, 4) as it is when its object lies at ``target`` and not at ``source``."""
    moved: Array = target @ inverse(source) @ path
    return moved


def apart(one: Array, other: Array) -> tuple[float, float]:
    """Return the distance (m) and the angle (rad, 0 to pi) between two poses."""
    way = float(np.linalg.norm(other[:3, 3] - one[:3, 3]))
    return way, float(np.linalg.norm(rotation_vector(other[:3, :3] @ one[:3, :3].T)))


def between(start: Array, end: Array, share: float) -> Array:
    """Return the pose at a share (0 to 1) of the straight way and of the shortest turn."""
    turn = rotation_vector(end[:3, :3] @ start[:3, :3].T)
    position = start[:3, 3] + share * (end[:3, 3] - start[:3, 3])
    return joined(position, rotation(share * turn) @ start[:3, :3])


def alike(target: Array, source: Array, symmetry: int) -> Array:
    """Return ``target``, turned about its own z axis so that it looks the same but is turned least
    from ``source``.

    Args:
        target, source: poses (4, 4).
        symmetry: how often the body looks the same in a turn; 0 for a round one.
    """
    left = source[:3, :3].T @ target[:3, :3]
    angle = float(np.arctan2(left[0, 1] - left[1, 0], left[0, 0] + left[1, 1]))
    if symmetry:
        step = 2 * np.pi / symmetry
        angle = step * round(angle / step)
    turned: Array = target @ joined(np.zeros(3), rotation(np.array([0.0, 0.0, angle])))
    return turned
