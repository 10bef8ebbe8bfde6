"""Plans to take Composuite's objects and to put them where they go, from where everything is.

Ways to take the object and ways to put it are looked at together, and the quickest is used.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_drag import Drag
from lram_sim.composuite_grasps import WIDTHS, Grasp, Placement, grasps, placements
from lram_sim.composuite_names import split_task
from lram_sim.composuite_planner import Planner, length
from lram_sim.composuite_planning_scene import Grip, Pose
from lram_sim.composuite_shapes import GOALS
from lram_sim.robosuite_env import MAX_EPISODE_STEPS

Array = npt.NDArray[np.float64]

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


class PickAndPlace:
    """Plans for one task and one episode; paths are joint positions (n,), in rad.

    Args:
        task: its name.
        planner: of its scene.

    Attributes:
        objective: what is to be done with the object.
        taken_from: (3,) where the object lay when it was last planned to be taken, m.
    """

    def __init__(self, task: str, planner: Planner) -> None:
        self._planner, self._scene = planner, planner.scene
        self._thing, self._obstacle, self.objective = split_task(task)
        self.taken_from = np.zeros(3)
        self._left = MAX_EPISODE_STEPS
        self._unusual = False
        self._hopeless = np.full(3, np.inf)

    def begin(self, seed: int) -> None:
        """Begin an episode that is at its start; ``seed`` is of the random trees."""
        # It hangs far below the hand, and caught on the rim of the other bin.
        hangs = self._thing == "hollowbox" and self.objective == "pickplace"
        self._planner.begin(seed, _ROOM if hangs else 0.0)

    def take(self, place: Array, turn: Array, left: int) -> list[Array]:
        """Return the path to a grasp of the object; empty where none is found.

        Args:
            place: (3,) where the object is, m.
            turn: (3, 3) its rotation.
            left: ticks until the episode ends.
        """
        self._scene.watch(WIDTHS[self._thing])
        self.taken_from, self._left = place, left
        q = self._scene.now()
        path, ticks = self._taking(q, place, turn, False)
        # What has been found to be out of reach stays so until it has moved.
        if ticks > self._left and np.linalg.norm(place - self._hopeless) > _SAME:
            usual = self._unusual
            other, fewer = self._taking(q, place, turn, True)
            if fewer < ticks:
                path = other
            else:
                self._hopeless, self._unusual = place, usual
        return path

    def lift(self) -> list[Array] | None:
        """Return the path straight up from where the hand is, or None."""
        self._scene.watch()
        q = self._scene.now()
        up = self._scene.hand(q).moved(np.array([0, 0, self._height()]))
        return self._scene.line(q, [up], self._posture(q))

    def put(self, grip: Grip, place: Array, left: int) -> list[Array] | None:
        """Return the path to where the object goes, or None.

        Args:
            grip: how the hand holds it.
            place: (3,) where it is, m.
            left: ticks until the episode ends.
        """
        self._scene.watch()
        self._left = left
        q = self._scene.now()
        choices = self._placing(q, grip, self._scene.hand(q).turn, place)
        carried = self._carried(q, grip, choices)
        if not choices and self.objective == "push":
            dragged = (self._dragged(q, grip, patience) for patience in _PATIENCE)
            carried = next((path for path in dragged if path is not None), None)
        return carried

    def retreat(self) -> list[Array]:
        """Return the path backwards out of where the hand is, or home."""
        q = self._scene.now()
        hand = self._scene.hand(q)
        back = Pose(hand.position - 0.08 * hand.turn[:, 2] + np.array([0, 0, 0.02]), hand.turn)
        return self._scene.line(q, [back]) or [self._scene.home]

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
        scene, found = self._scene, []
        for grasp in grasps(self._thing, place, turn, odd):
            for before in islice(scene.postures(q, grasp.before), None if self._unusual else 1):
                if not scene.clear(before):
                    continue
                line = scene.line(before, [grasp.pose], self._posture(before))
                if line and all(scene.clear(point, near_thing=True) for point in line):
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
        up = np.array([0.0, 0.0, self._height()])
        for patience in _PATIENCE:
            for _, line, grasp in approaches:
                lift = self._scene.line(line[-1], [grasp.pose.moved(up)], self._posture(line[-1]))
                grip = grasp.grip(place, turn)
                if lift is None or self._dragged(lift[-1], grip, patience) is None:
                    continue
                path = self._planner.path(q, line[0])
                if path is not None:
                    return [*path, *line[1:]]
        return []

    def _dragged(self, q: Array, grip: Grip, patience: int) -> list[Array] | None:
        """Return the path on which the object in the hand gets to its goal without rising."""
        heights = self.taken_from[2] + _CLEARANCE, _ALLOWED
        if heights[0] > _ALLOWED or not self._scene.clear(q, grip):
            return None
        drag = Drag(self._scene, grip, heights, np.random.default_rng(patience))
        return drag.path(q, np.array(GOALS["push"][:2]), patience)

    def _cost_of_placing(self, q: Array, grasp: Grasp, place: Array, turn: Array) -> float | None:
        """Return the joint way (rad) to the quickest of the first ways to put it; None if none."""
        up = np.array([0.0, 0.0, self._height()])
        line = self._scene.line(q, [grasp.pose.moved(up)], self._posture(q))
        if line is None:
            return None
        grip = grasp.grip(place, turn)
        if self._thing == "plate" and self.objective == "shelf":
            grip = grasp.settled()  # which leaves less room in the shelf
        choices = self._placing(line[-1], grip, grasp.pose.turn, place + up)
        return choices[0][0] if choices else None

    def _placing(
        self, q: Array, grip: Grip, hand: Array, place: Array
    ) -> list[tuple[float, Array, list[Array]]]:
        """Return way, first joint positions and line after them of placements, quickest first."""
        ways = placements(self.objective, self._obstacle, self._thing, grip, hand, place)
        lines = (self._line_to(q, placement, grip) for placement in ways)
        found = islice((line for line in lines if line is not None), _PLACED)
        rows = [(float(np.abs(line[0] - q).max()), line[0], line[1:]) for line in found]
        return sorted(rows, key=lambda row: row[0])

    def _line_to(self, q: Array, placement: Placement, grip: Grip) -> list[Array] | None:
        scene = self._scene
        if self.objective == "push":
            line = scene.line(q, list(placement.poses), self._posture(q))
        else:
            first = scene.reach(q, placement.poses[0])
            if first is None or not scene.clear(first, grip):
                return None
            rest = scene.line(first, list(placement.poses[1:]), self._posture(first))
            line = None if rest is None else [first, *rest]
        if line is None or not all(scene.clear(point, grip) for point in line):
            return None
        return line

    def _height(self) -> float:
        # A pushed dumbbell must not rise by more than 0.028.
        return 0.015 if self.objective == "push" and self._thing == "dumbbell" else 0.03

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
