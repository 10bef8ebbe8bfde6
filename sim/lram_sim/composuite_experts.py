"""The scripted expert of Composuite: take the object, carry it clear of everything, put it down.

It plans from where everything is, in joint space: each part of the way is as fast as its slowest
joint. When the object has slipped, or a push has moved it, it begins again from there.
"""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_drag import Drag
from lram_sim.composuite_grasps import WIDTHS, Grasp, Placement, grasps, placements
from lram_sim.composuite_names import split_task
from lram_sim.composuite_planner import Grip, Planner, Pose, length
from lram_sim.composuite_shapes import GOALS
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
_ROOM = 0.008
"""Distance (m) by which a hollow box passes the bins' rims."""
_USUAL, _CARRY, _SPARE = 0.0072, 190, 90
"""Way (rad) made in a tick; least number of ticks that are kept for the way with the object, and
number beyond those of the straight way to where it is put from."""
_TRIED, _PLACED, _CARRIED = 10, 8, 4
"""Number of ways to take and to put the object that are looked at before the quickest is used, and
of those to put it to which a path is planned before one is used that takes too long."""
_PATIENCE = (60, 200, 600)
"""Growths of a tree for each way to take an object that is dragged around something: all ways get
the first number before any gets the next."""
_SAME = 0.005
"""Way (m) that an object has to move before it is planned for anew where no plan was found."""
_ALLOWED, _CLEARANCE = 0.893, 0.006
"""Height (m) that the origin of a dragged object stays below, and how far (m) above its rest."""


class ComposuiteExpert:
    """Acts for one episode; actions are within the limits and rounded to single precision."""

    def __init__(self, task: ComposuiteTask, planner: Planner) -> None:
        self._scene, self._planner = task.scene, planner
        self.thing, self.obstacle, self.objective = split_task(task.name)
        self._stage = ""
        self._path: list[Array] = []
        self._last = self._seen = np.zeros(0)
        self._grip: Grip | None = None
        self._ticks, self._length = 0, 0.0
        self._left = MAX_EPISODE_STEPS
        self._finger = _OPEN
        self._unusual = False
        self._hopeless = np.full(3, np.inf)

    def act(self, observation: Array) -> Array:
        """Return the action for the simulation as it stands, float64 (8,)."""
        if not self._stage:
            # It hangs far below the hand, and caught on the rim of the other bin.
            hangs = self.thing == "hollowbox" and self.objective == "pickplace"
            seed = zlib.crc32(self._scene.data.qpos.tobytes())
            self._planner.begin(seed, _ROOM if hangs else 0.0)
            self._start()
        self._advance()
        moves = self._follow()
        return np.append(moves, self._finger).astype(np.float32).astype(np.float64)

    def _follow(self) -> Array:
        """Return the arm's action: on along the path, and back to it.

        Friction eats small actions, so joints that have less far to go would fall behind.
        """
        q = self._planner.now()
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
        return bool(np.abs(self._path[0] - self._planner.now()).max() < _THERE)

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
        self._last = self._planner.now()
        self._length = length(self._last, path)

    def _place(self) -> tuple[Array, Array]:
        data = self._scene.data
        thing = self._scene.thing
        return data.xpos[thing].copy(), data.xmat[thing].reshape(3, 3).copy()

    def _moved(self) -> float:
        return float(np.linalg.norm(self._place()[0] - self._seen))

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
        planner = self._planner
        planner.watch(WIDTHS[self.thing])
        self._grip = None
        place, turn = self._place()
        self._seen = place
        q = planner.now()
        path, ticks = self._taking(q, place, turn, False)
        # What has been found to be out of reach stays so until it has moved.
        if ticks > self._left and np.linalg.norm(place - self._hopeless) > _SAME:
            usual = self._unusual
            other, fewer = self._taking(q, place, turn, True)
            if fewer < ticks:
                path = other
            else:
                self._hopeless, self._unusual = place, usual
        if path:
            self._enter("reach", path, _OPEN)
        else:
            self._enter("wait", [planner.home], _OPEN)

    def _taking(self, q: Array, place: Array, turn: Array, odd: bool) -> tuple[list[Array], float]:
        """Return the path to a usual or an odd grasp and the ticks until the object is put.

        Empty and infinitely many where there is none.
        """
        # Where the usual postures leave no way, others of the same grasps may: an elbow elsewhere.
        approaches: list[tuple[float, list[Array], Grasp]] = []
        for self._unusual in (False, True):
            approaches = self._approaches(q, place, turn, odd)
            path, ticks = self._quickest(q, approaches, place, turn)
            if path:
                return path, ticks
        path = self._around(q, place, turn, approaches) if self.objective == "push" else []
        return path, 0.0 if path else np.inf

    def _approaches(
        self, q: Array, place: Array, turn: Array, odd: bool
    ) -> list[tuple[float, list[Array], Grasp]]:
        """Return joint way (rad), straight end of the way and grasp of each that is clear."""
        planner = self._planner
        found = []
        for grasp in grasps(self.thing, place, turn, odd):
            for before in islice(planner.postures(q, grasp.before), None if self._unusual else 1):
                if not planner.clear(before):
                    continue
                line = planner.line(before, [grasp.pose], self._posture(before))
                if line and all(planner.clear(point, near_thing=True) for point in line):
                    found.append((float(np.abs(before - q).max()), [before, *line], grasp))
        return sorted(found, key=lambda row: row[0])

    def _posture(self, q: Array) -> Array | None:
        return q if self._unusual else None

    def _quickest(
        self,
        q: Array,
        approaches: list[tuple[float, list[Array], Grasp]],
        place: Array,
        turn: Array,
    ) -> tuple[list[Array], float]:
        """Return the path to the grasp with the least way there and on to the goal, and ticks."""
        least, looked = np.inf, 0
        best: tuple[list[Array], list[Array], float] | None = None
        for cost, line, grasp in approaches:
            if cost >= least or looked >= _TRIED:
                break
            more = self._cost_of_placing(line[-1], grasp, place, turn)
            looked += more is not None
            if more is None or cost + more >= least:
                continue
            path = self._planner.path(q, line[0])
            if path is not None and length(q, path) + more < least:
                least, best = length(q, path) + more, (path, line[1:], more)
        if best is None:
            return [], np.inf
        path, line, more = best
        more = _SPARE + more / _USUAL
        path = self._timely(q, path, line, max(_CARRY, more))
        return path, length(q, path) / _USUAL + more

    def _timely(
        self,
        q: Array,
        path: list[Array],
        line: list[Array],
        kept: float,
        grip: Grip | None = None,
    ) -> list[Array]:
        """Return path and line after it; the path shortened where less than ``kept`` ticks stay."""
        for shorter in (self._planner.shorter, self._planner.shortest):
            if self._in_time(q, [*path, *line], kept):
                break
            path = shorter(q, path, grip)
        return [*path, *line]

    def _in_time(self, q: Array, path: list[Array], kept: float = 0.0) -> bool:
        return length(q, path) / _USUAL <= self._left - kept

    def _around(
        self,
        q: Array,
        place: Array,
        turn: Array,
        approaches: list[tuple[float, list[Array], Grasp]],
    ) -> list[Array]:
        """Return the path to a grasp from which the object can be dragged around the wall."""
        planner, up = self._planner, np.array([0.0, 0.0, self._height()])
        for patience in _PATIENCE:
            for _, line, grasp in approaches:
                lift = planner.line(line[-1], [grasp.pose.moved(up)], self._posture(line[-1]))
                grip = grasp.grip(place, turn)
                if lift is None or self._dragged(lift[-1], grip, patience) is None:
                    continue
                path = planner.path(q, line[0])
                if path is not None:
                    return [*path, *line[1:]]
        return []

    def _dragged(self, q: Array, grip: Grip, patience: int) -> list[Array] | None:
        """Return the path on which the object in the hand gets to its goal without rising."""
        heights = self._seen[2] + _CLEARANCE, _ALLOWED
        if heights[0] > _ALLOWED or not self._planner.clear(q, grip):
            return None
        drag = Drag(self._planner, grip, heights, np.random.default_rng(patience))
        return drag.path(q, np.array(GOALS["push"][:2]), patience)

    def _cost_of_placing(self, q: Array, grasp: Grasp, place: Array, turn: Array) -> float | None:
        """Return the joint way (rad) to the quickest of the first ways to put it; None if none."""
        up = np.array([0.0, 0.0, self._height()])
        line = self._planner.line(q, [grasp.pose.moved(up)], self._posture(q))
        if line is None:
            return None
        grip = grasp.grip(place, turn)
        if self.thing == "plate" and self.objective == "shelf":
            grip = grasp.settled()  # which leaves less room in the shelf
        choices = self._placing(line[-1], grip, grasp.pose.turn, place + up)
        return choices[0][0] if choices else None

    def _placing(
        self, q: Array, grip: Grip, hand: Array, place: Array
    ) -> list[tuple[float, Array, list[Array]]]:
        """Return way, first joint positions and line after them of placements, quickest first."""
        ways = placements(self.objective, self.obstacle, self.thing, grip, hand, place)
        lines = (self._line_to(q, placement, grip) for placement in ways)
        found = islice((line for line in lines if line is not None), _PLACED)
        rows = [(float(np.abs(line[0] - q).max()), line[0], line[1:]) for line in found]
        return sorted(rows, key=lambda row: row[0])

    def _line_to(self, q: Array, placement: Placement, grip: Grip) -> list[Array] | None:
        planner = self._planner
        if self.objective == "push":
            line = planner.line(q, list(placement.poses), self._posture(q))
        else:
            first = planner.reach(q, placement.poses[0])
            if first is None or not planner.clear(first, grip):
                return None
            rest = planner.line(first, list(placement.poses[1:]), self._posture(first))
            line = None if rest is None else [first, *rest]
        if line is None or not all(planner.clear(point, grip) for point in line):
            return None
        return line

    def _height(self) -> float:
        # A pushed dumbbell must not rise by more than 0.028.
        return 0.015 if self.objective == "push" and self.thing == "dumbbell" else 0.03

    def _lift(self) -> None:
        planner = self._planner
        planner.watch()
        self._grip = self._held()
        hand = planner.hand(planner.now())
        up = planner.line(
            planner.now(),
            [hand.moved(np.array([0, 0, self._height()]))],
            self._posture(planner.now()),
        )
        if up is None:
            self._start()
        else:
            self._enter("lift", up, _CLOSE)

    def _carry(self) -> None:
        planner = self._planner
        planner.watch()
        place, _ = self._place()
        if place[2] < self._seen[2] + 0.006:
            self._start()
            return
        q = planner.now()
        self._grip = grip = self._held()
        hand = planner.hand(q).turn
        choices = self._placing(q, grip, hand, place)
        carried = self._carried(q, grip, choices)
        if not choices and self.objective == "push":
            dragged = (self._dragged(q, grip, patience) for patience in _PATIENCE)
            carried = next((path for path in dragged if path is not None), None)
        if carried is None:
            self._start()
        else:
            self._enter("carry", carried, _CLOSE)

    def _carried(
        self, q: Array, grip: Grip, choices: list[tuple[float, Array, list[Array]]]
    ) -> list[Array] | None:
        """Return the path to the first placement that is reached in time, else to the nearest."""
        found = []
        for _, first, rest in choices[:_CARRIED]:
            path = [first] if self.objective == "push" else self._planner.path(q, first, grip)
            if path is None:
                continue
            whole = self._timely(q, path, rest, 0.0, grip)
            if self._in_time(q, whole):
                return whole
            found.append(whole)
        return min(found, key=lambda path: length(q, path), default=None)

    def _end(self) -> None:
        """The object is where it was to go."""
        if self.objective == "trashcan":
            self._enter("release", [], _OPEN)
        else:
            self._carry()

    def _retreat(self) -> None:
        planner = self._planner
        hand = planner.hand(planner.now())
        back = Pose(hand.position - 0.08 * hand.turn[:, 2] + np.array([0, 0, 0.02]), hand.turn)
        self._enter("retreat", planner.line(planner.now(), [back]) or [planner.home], _OPEN)
