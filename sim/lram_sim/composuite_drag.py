"""Ways for an object in the hand that must stay low, around what stands in between.

A pushed object may rise by a few centimetres only, which leaves a thin layer of joint positions.
Two random trees grow towards each other in it, each step of them brought back into it
(constrained RRT-Connect: Berenson et al., 2009).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_planner import Grip, Planner, Pose
from lram_sim.rotations import rotation

Array = npt.NDArray[np.float64]

_STEP = 0.06
"""Joint distance (rad, largest joint) between two nodes."""
_AHEAD = 0.4
"""How far a tree grows towards a random posture, rad."""
_ENDS = 16
"""Number of postures at the goal that the second tree begins with, and of tries to find them."""
_TILT, _YAW = 1.0, 1.6
"""How far the hand may be turned on the way, rad."""
_SHORTCUTS = 80
_UP = np.array([0.0, 0.0, 1.0])


class Tree:
    """Joint positions (n,), each with the number of the one that it was reached from."""

    def __init__(self, roots: list[Array]) -> None:
        self._nodes = np.empty((256, len(roots[0])))
        self._from: list[int] = []
        for root in roots:
            self.add(root, -1)

    def add(self, q: Array, before: int) -> int:
        """Add a node; returns its number."""
        count = len(self._from)
        if count == len(self._nodes):
            self._nodes = np.vstack((self._nodes, np.empty_like(self._nodes)))
        self._nodes[count] = q
        self._from.append(before)
        return count

    def node(self, number: int) -> Array:
        return self._nodes[number].copy()

    def nearest(self, q: Array) -> int:
        """Return the number of the node with the least largest joint distance to ``q``."""
        away = np.abs(self._nodes[: len(self._from)] - q).max(axis=1)
        return int(np.argmin(away))

    def branch(self, number: int) -> list[Array]:
        """Return the nodes from one back to its root."""
        found = []
        while number >= 0:
            found.append(self.node(number))
            number = self._from[number]
        return found


class Drag:
    """Plans for one grip.

    Args:
        planner: of the scene as it is now.
        grip: how the hand holds the object.
        heights: least and greatest height (m) of the object's origin.
        rng: for the trees.
    """

    def __init__(
        self, planner: Planner, grip: Grip, heights: tuple[float, float], rng: np.random.Generator
    ) -> None:
        self._planner, self._grip, self._rng = planner, grip, rng
        self._heights = heights

    def path(self, start: Array, goal: Array, turns: int) -> list[Array] | None:
        """Return joint positions after ``start`` that bring the object to ``goal`` (2,), or None.

        How the hand is turned at the end is free. After ``turns`` growths of a tree it gives up.
        """
        ends = self._ends(start, goal)
        if not ends:
            return None
        trees = [Tree([start]), Tree(ends)]
        for turn in range(turns):
            here, there = trees[turn % 2], trees[1 - turn % 2]
            reached = self._grow(here, self._sample(start, goal), _AHEAD)
            if reached is None:
                continue
            q = here.node(reached)
            met = self._grow(there, q, np.inf)
            if met is None or np.abs(there.node(met) - q).max() > 1e-6:
                continue
            one, other = here.branch(reached)[::-1], there.branch(met)
            whole = one + other[1:] if turn % 2 == 0 else other[::-1] + one[::-1][1:]
            return self._shortened(whole)[1:]
        return None

    def _ends(self, start: Array, goal: Array) -> list[Array]:
        found = []
        for count in range(4 * _ENDS):
            q = self._posture(start, goal, 0.0 if count == 0 else 1.0)
            if q is not None and self._planner.clear(q, self._grip):
                found.append(q)
                if len(found) == _ENDS:
                    break
        return found

    def _sample(self, start: Array, goal: Array) -> Array:
        """Return a random posture: any, or with the object somewhere on the way."""
        rng, planner = self._rng, self._planner
        if rng.random() < 0.6:
            first = self._place(start)[:2]
            low, high = np.minimum(first, goal) - 0.02, np.maximum(first, goal) + 0.02
            high[0] += 0.15
            q = self._posture(start, rng.uniform(low, high), 1.0)
            if q is not None:
                return q
        spread = rng.uniform(-1.2, 1.2, len(start))
        return planner.within(start + spread)

    def _posture(self, start: Array, place: Array, share: float) -> Array | None:
        """Return a posture with the object at ``place`` (2,), the hand turned at random."""
        rng, planner = self._rng, self._planner
        tilt = rng.uniform(-1.0, 1.0, 2) * _TILT * share
        yaw = rng.uniform(-_YAW, _YAW) * share
        turn = rotation(np.array([*tilt, 0.0])) @ rotation(yaw * _UP) @ planner.hand(start).turn
        height = rng.uniform(*self._heights)
        at = np.array([*place, height]) - turn @ self._grip.position
        near = planner.within(start + rng.uniform(-0.8, 0.8, len(start)) * share)
        return planner.solve(near, Pose(at, turn), 40, near)

    def _place(self, q: Array) -> Array:
        hand = self._planner.hand(q)
        return hand.position + hand.turn @ self._grip.position

    def _grow(self, tree: Tree, goal: Array, reach: float) -> int | None:
        """Extend a tree from its nearest node towards ``goal``; return the last new node."""
        nearest, last = tree.nearest(goal), None
        q, way = tree.node(nearest), 0.0
        while way < reach:
            following = self._towards(q, goal)
            if following is None:
                break
            nearest = last = tree.add(following, nearest)
            way += float(np.abs(following - q).max())
            q = following
            if np.abs(goal - q).max() < 1e-9:
                break
        return last

    def _towards(self, q: Array, goal: Array) -> Array | None:
        """Return the next node from ``q`` to ``goal``; None where there is none that is clear."""
        left = float(np.abs(goal - q).max())
        if left < 1e-9:
            return None
        if left <= _STEP:
            return goal if self._planner.clear(goal, self._grip) else None
        step = q + (goal - q) * _STEP / left
        kept = self._planner.level(step, self._grip, self._heights)
        if kept is None or np.abs(goal - kept).max() > left - 0.2 * _STEP:
            return None
        if np.abs(kept - q).max() > 2.0 * _STEP or not self._planner.clear(kept, self._grip):
            return None
        return kept

    def _shortened(self, points: list[Array]) -> list[Array]:
        """Cut corners, within the layer."""
        for _ in range(_SHORTCUTS):
            if len(points) < 4:
                break
            i, j = sorted(self._rng.choice(len(points), 2, replace=False))
            if j < i + 2:
                continue
            cut: list[Array] = []
            q: Array | None = points[i]
            while q is not None and len(cut) < j - i:
                q = self._towards(q, points[j])
                if q is None:
                    break
                cut.append(q)
                if np.abs(points[j] - q).max() < 1e-9:
                    points = [*points[: i + 1], *cut, *points[j + 1 :]]
                    break
        return points
