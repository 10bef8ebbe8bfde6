"""An arm as a chain of hinges: forward and inverse kinematics, compiled.

A plan solves several hundred poses; through MuJoCo's Python bindings one takes milliseconds.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numba
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_DAMPING = 1e-3
_POSTURE, _POSTURE_STEP = 0.05, 0.02
"""How much of its spare freedom draws an arm to its posture at rest, and by how much at most."""
_LONGEST = 0.3
"""Largest step of a joint in a round, rad."""
_EXACT, _LEVEL = 5e-4, 5e-3
"""Error of a solved pose, m and rad."""
_PATIENCE, _HOPELESS = 20, 0.25
"""After this many rounds a pose that is still this far away (m, rad) is given up."""


class Chain:
    """The hinges between the world and a site.

    Args:
        model: ``mujoco.MjModel``.
        joints: numbers of the hinges, from the base on.
        site: number of the site.
    """

    def __init__(self, model: Any, joints: npt.NDArray[np.int64], site: int) -> None:
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        # New data has all joints at their reference, where places and axes are read off.
        self._rest = np.array([model.qpos0[model.jnt_qposadr[joint]] for joint in joints])
        self._anchors = data.xanchor[joints].copy()
        self._axes = data.xaxis[joints].copy()
        self._end = data.site_xpos[site].copy()
        self._turn = data.site_xmat[site].reshape(3, 3).copy()

    def pose(self, q: Array) -> tuple[Array, Array]:
        """Return the site's position (3,) in m and rotation (3, 3) at joint positions (rad)."""
        found: tuple[Array, Array] = _forward(
            q - self._rest, self._anchors, self._axes, self._end, self._turn
        )[:2]
        return found

    def solve(
        self,
        start: Array,
        position: Array,
        turn: Array,
        limits: tuple[Array, Array],
        home: Array,
        rounds: int,
    ) -> Array | None:
        """Return joint positions (rad) that put the site at a pose, or None.

        Damped least squares from ``start``; spare freedom draws the arm to ``home``.
        """
        q, solved = _inverse(
            start - self._rest,
            np.ascontiguousarray(position),
            np.ascontiguousarray(turn),
            limits[0] - self._rest,
            limits[1] - self._rest,
            home - self._rest,
            rounds,
            self._anchors,
            self._axes,
            self._end,
            self._turn,
        )
        return q + self._rest if solved else None

    def level(
        self, q: Array, offset: Array, heights: tuple[float, float], limits: tuple[Array, Array]
    ) -> Array | None:
        """Return joint positions (rad) near ``q`` with a point between two heights, or None.

        Args:
            q: joint positions, rad.
            offset: (3,) the point in the site's frame, m.
            heights: least and greatest height, m.
            limits: of the joints, rad.
        """
        found, level = _level(
            q - self._rest,
            np.ascontiguousarray(offset),
            heights[0],
            heights[1],
            limits[0] - self._rest,
            limits[1] - self._rest,
            self._anchors,
            self._axes,
            self._end,
            self._turn,
        )
        return found + self._rest if level else None


@numba.njit(cache=True)
def _spin(axis: Array, angle: float) -> Array:  # pragma: no cover  (compiled)
    """Return the rotation by an angle about a unit axis (Rodrigues)."""
    x, y, z = axis
    s, c = np.sin(angle), np.cos(angle)
    d = 1.0 - c
    return np.array(
        [
            [c + x * x * d, x * y * d - z * s, x * z * d + y * s],
            [y * x * d + z * s, c + y * y * d, y * z * d - x * s],
            [z * x * d - y * s, z * y * d + x * s, c + z * z * d],
        ]
    )


@numba.njit(cache=True)
def _forward(
    q: Array, anchors: Array, axes: Array, end: Array, end_turn: Array
) -> tuple[Array, Array, Array]:  # pragma: no cover  (compiled)
    """Return position, rotation and Jacobian (6, n): the product of exponentials."""
    n = q.shape[0]
    turn, shift = np.eye(3), np.zeros(3)
    here, along = np.empty((n, 3)), np.empty((n, 3))
    for i in range(n):
        here[i] = turn @ anchors[i] + shift
        along[i] = turn @ axes[i]
        turn = turn @ _spin(axes[i], q[i])
        shift = here[i] - turn @ anchors[i]
    position = turn @ end + shift
    jacobian = np.empty((6, n))
    for i in range(n):
        jacobian[:3, i] = np.cross(along[i], position - here[i])
        jacobian[3:, i] = along[i]
    return position, turn @ end_turn, jacobian


@numba.njit(cache=True)
def _vector(turn: Array) -> Array:  # pragma: no cover  (compiled)
    """Return the rotation vector of a rotation matrix."""
    skew = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine = 0.5 * np.sqrt((skew**2).sum())
    cosine = 0.5 * (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1.0)
    angle = np.arctan2(sine, cosine)
    if sine > 1e-6:
        return skew * (0.5 * angle / sine)
    if cosine > 0.0:
        return 0.5 * skew
    # Half a turn: the axis is the column of turn + 1 that is longest.
    column = np.argmax(np.array([turn[0, 0], turn[1, 1], turn[2, 2]]))
    axis = turn[:, column].copy()
    axis[column] += 1.0
    return axis * (np.pi / np.sqrt((axis**2).sum()))


@numba.njit(cache=True)
def _inverse(
    start: Array,
    position: Array,
    turn: Array,
    low: Array,
    high: Array,
    home: Array,
    rounds: int,
    anchors: Array,
    axes: Array,
    end: Array,
    end_turn: Array,
) -> tuple[Array, bool]:  # pragma: no cover  (compiled)
    n = start.shape[0]
    q = np.minimum(np.maximum(start, low), high)
    for count in range(rounds):
        at, now, jacobian = _forward(q, anchors, axes, end, end_turn)
        error = np.empty(6)
        error[:3] = position - at
        error[3:] = _vector(turn @ now.T)
        way, angle = np.abs(error[:3]).max(), np.abs(error[3:]).max()
        if way < _EXACT and angle < _LEVEL:
            return q, True
        if count == _PATIENCE and (way > _HOPELESS or angle > _HOPELESS):
            return q, False
        share = max(
            1.0,
            np.sqrt((error[:3] ** 2).sum()) / 0.1,
            np.sqrt((error[3:] ** 2).sum()) / 0.4,
        )
        error /= share
        free = np.ones(n)
        part, inverse, move = jacobian, jacobian.T.copy(), np.zeros(n)
        for _ in range(2):
            part = jacobian * free
            inverse = part.T @ np.linalg.inv(part @ part.T + _DAMPING * np.eye(6))
            move = inverse @ error
            stuck = False
            for i in range(n):
                if free[i] > 0.0 and (
                    (q[i] >= high[i] and move[i] > 0.0) or (q[i] <= low[i] and move[i] < 0.0)
                ):
                    free[i] = 0.0
                    stuck = True
            if not stuck:
                break
        rest = home - q
        spare = rest - inverse @ (part @ rest)
        for i in range(n):
            drawn = min(max(_POSTURE * spare[i], -_POSTURE_STEP), _POSTURE_STEP)
            move[i] = move[i] * free[i] + drawn
        q = q + move * min(1.0, _LONGEST / max(np.abs(move).max(), 1e-9))
        q = np.minimum(np.maximum(q, low), high)
    return q, False


@numba.njit(cache=True)
def _level(
    start: Array,
    offset: Array,
    lowest: float,
    highest: float,
    low: Array,
    high: Array,
    anchors: Array,
    axes: Array,
    end: Array,
    end_turn: Array,
) -> tuple[Array, bool]:  # pragma: no cover  (compiled)
    """Newton's steps along the height's gradient; the goal lies a little inside the layer."""
    q = np.minimum(np.maximum(start, low), high)
    inside = 0.1 * (highest - lowest)
    for _ in range(6):
        at, turn, jacobian = _forward(q, anchors, axes, end, end_turn)
        arm = turn @ offset
        height = at[2] + arm[2]
        if lowest <= height <= highest:
            return q, True
        goal = highest - inside if height > highest else lowest + inside
        # The height of the point: its own motion, and that of the hand's turn (omega x arm).
        slope = jacobian[2] + jacobian[3] * arm[1] - jacobian[4] * arm[0]
        steep = (slope**2).sum()
        if steep < 1e-6:
            return q, False
        q = np.minimum(np.maximum(q + slope * ((goal - height) / steep), low), high)
    return q, False
