"""The scripted expert of Composuite: take the object, carry it clear of everything, put it down.

It plans from where everything is, in joint space: each part of the way is as fast as its slowest
joint. When the object has slipped, or a push has moved it, it begins again from there.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_pick_place import PickAndPlace
from lram_sim.composuite_planner import Planner, length
from lram_sim.composuite_planning_scene import Grip
from lram_sim.robosuite_env import MAX_EPISODE_STEPS

if TYPE_CHECKING:
    from lram_sim.composuite_suite import ComposuiteTask

Array = npt.NDArray[np.float64]

_OPEN, _CLOSE = -1.0, 1.0
_DELTA = 0.05
_GAIN, _LEAD = 2.0, 0.03
"""Of the way to the point aimed at, asked for each tick (more overshoots); how far that is ahead
on the path, rad of the largest joint."""
_PASSED, _THERE = 0.02, 0.006
"""Distance (rad, largest joint) at which a point of a path is passed, and its end reached."""
_CLOSING, _OPENING = 9, 6
_SLOWEST = 0.0065
"""Way (rad) that the slowest joint makes in a tick; the fastest makes 0.008."""


class ComposuiteExpert:
    """Acts for one episode; actions are within the limits and rounded to single precision."""

    def __init__(self, task: ComposuiteTask, planner: Planner) -> None:
        self._scene, self._arm = task.scene, planner.scene
        self._plans = PickAndPlace(task.name, planner)
        self._stage = ""
        self._path: list[Array] = []
        self._last = np.zeros(0)
        self._grip: Grip | None = None
        self._ticks, self._length = 0, 0.0
        self._left = MAX_EPISODE_STEPS
        self._finger = _OPEN

    def act(self, observation: Array) -> Array:
        """Return the action for the simulation as it stands, float64 (8,)."""
        if not self._stage:
            self._plans.begin(zlib.crc32(self._scene.data.qpos.tobytes()))
            self._start()
        self._advance()
        moves = self._follow()
        return np.append(moves, self._finger).astype(np.float32).astype(np.float64)

    def _follow(self) -> Array:
        """Return the arm's action: on along the path, and back to it.

        Friction eats small actions, so joints that have less far to go would fall behind.
        """
        q = self._arm.now()
        while len(self._path) > 1 and np.abs(self._path[0] - q).max() < _PASSED:
            self._last = self._path.pop(0)
        if not self._path:
            return np.zeros(len(q))
        way = self._path[0] - self._last
        done = float((q - self._last) @ way / max(float(way @ way), 1e-12))
        ahead = min(1.0, max(0.0, done) + _LEAD / max(float(np.abs(way).max()), 1e-6))
        moves = _GAIN * (self._last + ahead * way - q) / _DELTA
        return np.asarray(moves / max(1.0, float(np.abs(moves).max())))

    def _arrived(self) -> bool:
        if not self._path:
            return True
        if len(self._path) > 1:
            return False
        return bool(np.abs(self._path[0] - self._arm.now()).max() < _THERE)

    def _advance(self) -> None:
        """Go on to the next stage where this one is done, or back where it has failed."""
        self._ticks += 1
        self._left -= 1
        if self._stage == "reach":
            if self._moved() > 0.02:
                self._start()
            elif self._arrived() or self._ticks > self._patience(330):
                self._enter("close", [], _CLOSE)
        elif self._stage == "close":
            if self._ticks > _CLOSING:
                self._lift()
        elif self._stage in ("lift", "carry"):
            if self._slipped():
                self._start()
            elif self._arrived() or self._ticks > self._patience(300):
                self._carry() if self._stage == "lift" else self._end()
        elif self._stage == "release" and self._ticks > _OPENING:
            self._retreat()
        elif self._stage in ("retreat", "wait") and self._ticks > (20 if self._arrived() else 60):
            self._start()

    def _patience(self, least: int) -> float:
        """Return the ticks after which a path is over, reached or not."""
        return max(least, 30 + self._length / _SLOWEST)

    def _enter(self, stage: str, path: list[Array], finger: float) -> None:
        self._stage, self._path, self._finger, self._ticks = stage, path, finger, 0
        self._last = self._arm.now()
        self._length = length(self._last, path)

    def _place(self) -> tuple[Array, Array]:
        data = self._scene.data
        thing = self._scene.thing
        return data.xpos[thing].copy(), data.xmat[thing].reshape(3, 3).copy()

    def _moved(self) -> float:
        return float(np.linalg.norm(self._place()[0] - self._plans.taken_from))

    def _slipped(self) -> bool:
        if self._grip is None:
            return False
        found = self._held()
        return bool(np.linalg.norm(found.position - self._grip.position) > 0.03)

    def _held(self) -> Grip:
        """Return the object's pose in the hand as it is now."""
        data, site = self._scene.data, self._scene.grip_site
        turn = data.site_xmat[site].reshape(3, 3)
        place, pose = self._place()
        return Grip(turn.T @ (place - data.site_xpos[site]), turn.T @ pose)

    def _start(self) -> None:
        """Plan how to take the object from where it is."""
        self._grip = None
        path = self._plans.take(*self._place(), self._left)
        if path:
            self._enter("reach", path, _OPEN)
        else:
            self._enter("wait", [self._arm.home], _OPEN)

    def _lift(self) -> None:
        self._grip = self._held()
        up = self._plans.lift()
        if up is None:
            self._start()
        else:
            self._enter("lift", up, _CLOSE)

    def _carry(self) -> None:
        place, _ = self._place()
        carried = None
        if place[2] >= self._plans.taken_from[2] + 0.006:
            self._grip = self._held()
            carried = self._plans.put(self._grip, place, self._left)
        if carried is None:
            self._start()
        else:
            self._enter("carry", carried, _CLOSE)

    def _end(self) -> None:
        """The object is where it was to go."""
        if self._plans.objective == "trashcan":
            self._enter("release", [], _OPEN)
        else:
            self._carry()

    def _retreat(self) -> None:
        self._enter("retreat", self._plans.retreat(), _OPEN)
