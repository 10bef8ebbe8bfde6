"""Ways for an object in the hand that must stay low, around what stands in between.

A pushed object may rise by a few centimetres only, which leaves a thin layer of joint positions.
Two random trees grow towards each other in it, each step of them brought back into it
(constrained RRT-Connect: Berenson et al., 2009).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_planning_scene import Grip, PlanningScene, Pose
from lram_sim.composuite_tree import Tree, connected
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


class Drag:
    """Plans for one grip.

    Args:
        scene: as it is now.
        grip: how the hand holds the object.
        heights: least and greatest height (m) of the object's origin.
        rng: for the trees.
    """

    def __init__(
        self,
        scene: PlanningScene,
        grip: Grip,
        heights: tuple[float, float],
        rng: np.random.Generator,
    ) -> None:
        self._scene, self._grip, self._rng = scene, grip, rng
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
            one, other = (reached, met) if turn % 2 == 0 else (met, reached)
            return self._shortened(connected(trees[0], trees[1], one, other))[1:]
        return None

    def _ends(self, start: Array, goal: Array) -> list[Array]:
        found = []
        for count in range(4 * _ENDS):
            q = self._posture(start, goal, 0.0 if count == 0 else 1.0)
            if q is not None and self._scene.clear(q, self._grip):
                found.append(q)
                if len(found) == _ENDS:
                    break
        return found

    def _sample(self, start: Array, goal: Array) -> Array:
        """Return a random posture: any, or with the object somewhere on the way."""
        rng, scene = self._rng, self._scene
        if rng.random() < 0.6:
            first = self._place(start)[:2]
            low, high = np.minimum(first, goal) - 0.02, np.maximum(first, goal) + 0.02
            high[0] += 0.15
            q = self._posture(start, rng.uniform(low, high), 1.0)
            if q is not None:
                return q
        spread = rng.uniform(-1.2, 1.2, len(start))
        return scene.within(start + spread)

    def _posture(self, start: Array, place: Array, share: float) -> Array | None:
        """Return a posture with the object at ``place`` (2,), the hand turned at random."""
        rng, scene = self._rng, self._scene
        tilt = rng.uniform(-1.0, 1.0, 2) * _TILT * share
        yaw = rng.uniform(-_YAW, _YAW) * share
        turn = rotation(np.array([*tilt, 0.0])) @ rotation(yaw * _UP) @ scene.hand(start).turn
        height = rng.uniform(*self._heights)
        at = np.array([*place, height]) - turn @ self._grip.position
        near = scene.within(start + rng.uniform(-0.8, 0.8, len(start)) * share)
        return scene.solve(near, Pose(at, turn), 40, near)

    def _place(self, q: Array) -> Array:
        hand = self._scene.hand(q)
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
            return goal if self._scene.clear(goal, self._grip) else None
        step = q + (goal - q) * _STEP / left
        kept = self._scene.level(step, self._grip, self._heights)
        if kept is None or np.abs(goal - kept).max() > left - 0.2 * _STEP:
            return None
        if np.abs(kept - q).max() > 2.0 * _STEP or not self._scene.clear(kept, self._grip):
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
