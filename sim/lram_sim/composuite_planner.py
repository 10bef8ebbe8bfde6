"""Paths of joint positions that touch nothing, as quick as need be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lram_sim.composuite_planning_scene import Grip, PlanningScene, Pose
from lram_sim.composuite_scene import ComposuiteScene
from lram_sim.composuite_tree import Tree, connected
from lram_sim.rotations import rotation, rotation_vector

Array = npt.NDArray[np.float64]

_STEP = 0.06
"""Joint distance (rad, largest joint) between the checks along a path."""
_FINE = 0.02
"""The same where a held object passes close to something."""
_PIECE = 0.15
"""Length (rad, largest joint) of the pieces into which a path is cut to shorten it."""
_TREES, _TIGHTENINGS = 3, 150
"""Number of further trees, and of tries to shorten each path, where the time runs out."""


class Planner:
    """Plans for one arm in one scene.

    Args:
        scene: the simulation, of any episode.

    Attributes:
        scene: where the arm can go, and what it would touch there.
    """

    def __init__(self, scene: ComposuiteScene) -> None:
        self.scene = PlanningScene(scene)
        self.begin(0)

    def begin(self, seed: int, room: float = 0.0) -> None:
        """Begin an episode that is at its start.

        Args:
            seed: of the random tree that is tried where nothing simpler helps.
            room: distance (m) that a held object keeps from walls and furniture between the
                checks of a path too; 0 for what the checks see.
        """
        self._step = _FINE if room else _STEP
        self._rng = np.random.default_rng(seed)
        self.scene.begin(room)

    def straight(self, a: Array, b: Array, grip: Grip | None = None) -> bool:
        """Tell whether the straight way from ``a`` to ``b`` (joints) is clear; ``a`` may not be."""
        count = int(np.ceil(np.abs(b - a).max() / (self._step if grip else _STEP)))
        # The ends of a move are where it fails most often.
        order = sorted(range(1, count + 1), key=lambda i: (i * 0.618) % 1.0)
        return all(self.scene.clear(a + (b - a) * i / count, grip) for i in order)

    def path(self, a: Array, b: Array, grip: Grip | None = None) -> list[Array] | None:
        """Return joint positions after ``a`` to ``b`` whose straight connections are clear."""
        if self.straight(a, b, grip):
            return [b]
        for via in self._detours(a, b):
            ends = self.straight(a, via, grip) and self.straight(via, b, grip)
            if ends:
                return [via, b]
        found = self._tree(a, b, grip)
        return self._shortened(a, found, grip) if found else None

    def _detours(self, a: Array, b: Array) -> list[Array]:
        """Return postures that are often worth going through: high above the way, and the start."""
        first, last = self.scene.hand(a), self.scene.hand(b)
        found = []
        for height in (1.15, 1.25):
            for share in (0.5, 0.15, 0.85):
                turn = rotation_vector(last.turn @ first.turn.T)
                middle = first.position + (last.position - first.position) * share
                pose = Pose(
                    np.array([*middle[:2], max(height, middle[2])]),
                    rotation(turn * share) @ first.turn,
                )
                q = self.scene.solve(a + (b - a) * share, pose, 40)
                if q is not None:
                    found.append(q)
        return [*found, self.scene.home]

    def _tree(self, a: Array, b: Array, grip: Grip | None) -> list[Array] | None:
        """Grow two random trees towards each other (RRT-Connect: Kuffner and LaValle, 2000)."""
        least, greatest = self.scene.limits
        low = np.maximum(np.minimum(a, b) - 0.7, least)
        high = np.minimum(np.maximum(a, b) + 0.7, greatest)
        trees = [Tree([a]), Tree([b])]
        for turn in range(400):
            here, there = trees[turn % 2], trees[1 - turn % 2]
            reached = self._grow(here, self._rng.uniform(low, high), grip, 0.4)
            if reached is None:
                continue
            q = here.node(reached)
            met = self._grow(there, q, grip, np.inf)
            if met is not None and np.array_equal(there.node(met), q):
                one, other = (reached, met) if turn % 2 == 0 else (met, reached)
                return connected(trees[0], trees[1], one, other)[1:]
        return None

    def _grow(self, tree: Tree, goal: Array, grip: Grip | None, reach: float) -> int | None:
        """Extend a tree from its nearest node towards ``goal``; return the last new node."""
        nearest, last = tree.nearest(goal), None
        q = tree.node(nearest)
        length = float(np.abs(goal - q).max())
        end = goal if length <= reach else q + (goal - q) * reach / length
        count = max(1, int(np.ceil(np.abs(end - q).max() / _STEP)))
        for i in range(1, count + 1):
            step = end if i == count else q + (end - q) * i / count
            if not self.scene.clear(step, grip):
                break
            nearest = last = tree.add(step, nearest)
        return last

    def shorter(self, a: Array, path: list[Array], grip: Grip | None = None) -> list[Array]:
        """Return a path to the same end that cuts what corners it can, also between the points."""
        return self._shortened(a, _pieces(a, path), grip)

    def shortest(self, a: Array, path: list[Array], grip: Grip | None = None) -> list[Array]:
        """Return the quickest of some paths to the same end, joint by joint as short as it gets."""
        found = [self._tightened(a, path, grip)]
        for _ in range(_TREES):
            other = self._tree(a, path[-1], grip)
            if other is not None:
                other = self._shortened(a, other, grip)
                found.append(self._tightened(a, other, grip))
        return min(found, key=lambda path: length(a, path))

    def _tightened(self, a: Array, path: list[Array], grip: Grip | None) -> list[Array]:
        """Straighten single joints between two points (Geraerts and Overmars, 2007), or all."""
        points = np.array([a, *_pieces(a, path)])
        for _ in range(_TIGHTENINGS):
            i, j = sorted(self._rng.choice(len(points), 2, replace=False))
            joint = self._rng.integers(-1, len(a))
            if j < i + 2:
                continue
            part = points[i : j + 1]
            share = np.abs(np.diff(part, axis=0)).max(axis=1).cumsum()
            straight = part[0] + (part[-1] - part[0]) * (share / max(share[-1], 1e-9))[:, None]
            tight = part.copy()
            if joint < 0:
                tight[1:] = straight
            else:
                tight[1:, joint] = straight[:, joint]
            if length(tight[0], list(tight[1:])) > share[-1] - 1e-3:
                continue
            if all(self.straight(one, other, grip) for one, other in pairwise(tight)):
                points[i : j + 1] = tight
        return list(points[1:])

    def _shortened(self, a: Array, path: list[Array], grip: Grip | None) -> list[Array]:
        """Cut corners."""
        points = [a, *path]
        for _ in range(60):
            if len(points) < 3:
                break
            i, j = sorted(self._rng.choice(len(points), 2, replace=False))
            if j > i + 1 and self.straight(points[i], points[j], grip):
                del points[i + 1 : j]
        return points[1:]


def length(start: Array, path: list[Array]) -> float:
    """Return the joint way (rad, of the largest joint in each part) of a path."""
    points = np.array([start, *path])
    return float(np.abs(np.diff(points, axis=0)).max(axis=1).sum())


def _pieces(a: Array, path: list[Array]) -> list[Array]:
    """Return a path with points between its own."""
    points = [a]
    for q in path:
        count = max(1, int(np.ceil(np.abs(q - points[-1]).max() / _PIECE)))
        points += [points[-1] + (q - points[-1]) * i / count for i in range(1, count + 1)]
    return points[1:]
