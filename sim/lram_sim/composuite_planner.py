"""Where an arm can go: inverse kinematics and paths of joint positions that touch nothing.

It looks at a copy of the simulation, so that the episode goes on undisturbed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import mujoco
import numpy as np
import numpy.typing as npt

from lram_sim.composuite_kinematics import Chain
from lram_sim.composuite_scene import ComposuiteScene
from lram_sim.rotations import rotation, rotation_vector

Array = npt.NDArray[np.float64]

_NEAR, _CLOSE = 0.006, 0.002
"""Distance (m) from walls and furniture that counts as a touch: on the way, and at the object."""
_BESIDE = 0.005
"""Distance (m) from the object that counts as a touch on the way."""
_SEEDS = 5
"""Number of other postures that inverse kinematics starts from where the first does not do."""
_OPENING, _PADS = 0.0115, 0.0186
"""Position (m) of a finger's joint when the hand is open, and of its pad when the joint is at 0."""
_STEP = 0.06
"""Joint distance (rad, largest joint) between the checks along a path."""
_FINE = 0.02
"""The same where a held object passes close to something."""
_PIECE = 0.15
"""Length (rad, largest joint) of the pieces into which a path is cut to shorten it."""
_TREES, _TIGHTENINGS = 3, 150
"""Number of further trees, and of tries to shorten each path, where the time runs out."""
_LIMIT = 0.03
"""Distance (rad) kept from the joints' limits."""
_ARENA, _ARM, _THING, _OTHER = range(4)


@dataclass(frozen=True)
class Grip:
    """The object's pose in the hand: position (3,) in m and rotation (3, 3)."""

    position: Array
    turn: Array


@dataclass(frozen=True)
class Pose:
    """A pose of the grip site in the world: position (3,) in m and rotation (3, 3)."""

    position: Array
    turn: Array

    def moved(self, way: Array) -> Pose:
        """Return the pose displaced by ``way`` (3,) in m."""
        return Pose(self.position + way, self.turn)


class Planner:
    """Plans for one arm in one scene.

    Args:
        scene: the simulation, of any episode.
    """

    def __init__(self, scene: ComposuiteScene) -> None:
        self._scene = scene
        self._model = copy.deepcopy(scene.model)
        self._data = mujoco.MjData(self._model)
        joints = np.array([self._joint(dof) for dof in scene.dofs])
        self._chain = Chain(self._model, joints, scene.grip_site)
        low, high = scene.arm_range.T
        self._low, self._high = low + _LIMIT, high - _LIMIT
        joint = self._model.body_jntadr[scene.thing]
        self._thing = int(self._model.jnt_qposadr[joint])
        self._kinds = self._geom_kinds()
        # Touches of the fixed things are noticed from this far.
        self._model.geom_margin[self._kinds == _ARENA] = _NEAR
        self.begin(0)

    def begin(self, seed: int, room: float = 0.0) -> None:
        """Begin an episode that is at its start.

        Args:
            seed: of the random tree that is tried where nothing simpler helps.
            room: distance (m) that a held object keeps from walls and furniture between the
                checks of a path too; 0 for what the checks see.
        """
        self._step = _FINE if room else _STEP
        self._model.geom_margin[self._kinds == _THING] = max(_BESIDE, room)
        # Bodies whose boxes are further apart than this are not looked at.
        self._model.body_margin[self._scene.thing] = room
        self._rng = np.random.default_rng(seed)
        self.home = self.now()
        spread = np.random.default_rng(0).uniform(-1.0, 1.0, (_SEEDS, len(self.home)))
        self._seeds = np.clip(self.home + spread, self._low, self._high)
        self.watch()

    def _geom_kinds(self) -> npt.NDArray[np.int64]:
        model = self._model
        kinds = np.full(model.ngeom, _ARENA)
        moving = set(model.jnt_bodyid[[self._joint(dof) for dof in self._scene.dofs]])
        for geom in range(model.ngeom):
            body = model.geom_bodyid[geom]
            chain = []
            while body:
                chain.append(body)
                body = model.body_parentid[body]
            if self._scene.thing in chain:
                kinds[geom] = _THING
            elif moving & set(chain):
                kinds[geom] = _ARM
            elif any(
                model.body(b).name.startswith(("robot", "fixed", "left", "right", "goal"))
                for b in chain
            ):
                kinds[geom] = _OTHER
        return kinds

    def _joint(self, dof: int) -> int:
        return int(self._model.dof_jntid[dof])

    def watch(self, width: float | None = None) -> None:
        """Take over where the object and the fingers are now.

        Args:
            width: of what the hand is going to take, m: the fingers are then open on the way to
                it, and this far apart when they hold it.
        """
        self._data.qpos[:] = self._scene.data.qpos
        self._resting = self._data.qpos[self._thing : self._thing + 7].copy()
        fingers = float(self._scene.data.qpos[self._scene.finger_qpos[0]])
        self._free, self._holding = fingers, fingers
        if width is not None:
            self._free = _OPENING
            self._holding = max(-_OPENING, width / 2 - _PADS)

    def now(self) -> Array:
        """Return the arm's joint positions in the episode, rad."""
        return np.array(self._scene.data.qpos[self._scene.qpos])

    def hand(self, q: Array) -> Pose:
        """Return the hand's pose at joint positions ``q`` (rad)."""
        return Pose(*self._chain.pose(q))

    def reach(self, start: Array, goal: Pose) -> Array | None:
        """Return joint positions (rad) that put the hand at a pose, or None.

        They are near ``start`` where that leads there, else from one of a few other postures.
        """
        return next(self.postures(start, goal), None)

    def postures(self, start: Array, goal: Pose) -> Iterator[Array]:
        """Yield joint positions (rad) that put the hand at a pose, first those near ``start``."""
        for seed in (start, *self._seeds):
            q = self.solve(seed, goal)
            if q is not None:
                yield q

    def solve(
        self, start: Array, goal: Pose, rounds: int = 60, posture: Array | None = None
    ) -> Array | None:
        """Return joint positions (rad) near ``start`` that put the hand at a pose, or None.

        What is left of the arm's freedom draws it to ``posture``, or to its posture at rest.
        """
        limits, rest = (self._low, self._high), self.home if posture is None else posture
        return self._chain.solve(start, goal.position, goal.turn, limits, rest, rounds)

    def within(self, q: Array) -> Array:
        """Return joint positions (rad) that keep clear of the joints' limits."""
        return np.clip(q, self._low, self._high)

    def level(self, q: Array, grip: Grip, heights: tuple[float, float]) -> Array | None:
        """Return joint positions near ``q`` (rad) with the held object between two heights (m)."""
        return self._chain.level(q, grip.position, heights, (self._low, self._high))

    def clear(self, q: Array, grip: Grip | None = None, near_thing: bool = False) -> bool:
        """Tell whether nothing touches at ``q``, with the object in the hand if there is a grip.

        Args:
            q: joint positions, rad.
            grip: how the hand holds the object; None where it does not.
            near_thing: whether the hand is to go as near to everything as a grasp does.
        """
        data = self._data
        place = data.qpos[self._thing : self._thing + 7]
        place[:] = self._resting
        data.qpos[self._scene.qpos] = q
        finger = self._free if grip is None else self._holding
        data.qpos[self._scene.finger_qpos] = finger, -finger
        if grip is not None:
            hand = self.hand(q)
            place[:3] = hand.position + hand.turn @ grip.position
            quaternion = np.zeros(4)
            mujoco.mju_mat2Quat(quaternion, (hand.turn @ grip.turn).reshape(-1))
            place[3:] = quaternion
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_collision(self._model, data)
        if not data.ncon:
            return True
        pairs = self._kinds[data.contact.geom]
        first, second = pairs.min(axis=1), pairs.max(axis=1)
        arena = (first == _ARENA) & (second == _ARM)
        if near_thing:
            arena &= data.contact.dist < _CLOSE
        if grip is not None:
            thing = (first == _ARENA) & (second == _THING)
        else:
            thing = (first == _ARM) & (second == _THING)
            thing &= data.contact.dist < (0.0 if near_thing else _BESIDE)
        return not (arena | thing).any()

    def straight(self, a: Array, b: Array, grip: Grip | None = None) -> bool:
        """Tell whether the straight way from ``a`` to ``b`` (joints) is clear; ``a`` may not be."""
        count = int(np.ceil(np.abs(b - a).max() / (self._step if grip else _STEP)))
        # The ends of a move are where it fails most often.
        order = sorted(range(1, count + 1), key=lambda i: (i * 0.618) % 1.0)
        return all(self.clear(a + (b - a) * i / count, grip) for i in order)

    def line(
        self,
        start: Array,
        poses: list[Pose],
        posture: Array | None = None,
        spacing: float = 0.025,
    ) -> list[Array] | None:
        """Return joint positions along straight lines of the hand through poses, or None."""
        found: list[Array] = []
        q, hand = start, self.hand(start)
        for pose in poses:
            way = pose.position - hand.position
            turn = rotation_vector(pose.turn @ hand.turn.T)
            count = max(
                1,
                int(np.ceil(np.linalg.norm(way) / spacing)),
                int(np.ceil(np.linalg.norm(turn) / 0.2)),
            )
            for i in range(1, count + 1):
                partial = rotation(turn * i / count) @ hand.turn
                goal = self.solve(q, Pose(hand.position + way * i / count, partial), 30, posture)
                if goal is None:
                    return None
                found.append(goal)
                q = goal
            hand = pose
        return found

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
        first, last = self.hand(a), self.hand(b)
        found = []
        for height in (1.15, 1.25):
            for share in (0.5, 0.15, 0.85):
                turn = rotation_vector(last.turn @ first.turn.T)
                middle = first.position + (last.position - first.position) * share
                pose = Pose(
                    np.array([*middle[:2], max(height, middle[2])]),
                    rotation(turn * share) @ first.turn,
                )
                q = self.solve(a + (b - a) * share, pose, 40)
                if q is not None:
                    found.append(q)
        return [*found, self.home]

    def _tree(self, a: Array, b: Array, grip: Grip | None) -> list[Array] | None:
        """Grow two random trees towards each other (RRT-Connect: Kuffner and LaValle, 2000)."""
        low = np.maximum(np.minimum(a, b) - 0.7, self._low)
        high = np.minimum(np.maximum(a, b) + 0.7, self._high)
        trees: list[list[tuple[Array, int]]] = [[(a, -1)], [(b, -1)]]
        for turn in range(400):
            here, there = trees[turn % 2], trees[1 - turn % 2]
            reached = self._grow(here, self._rng.uniform(low, high), grip, 0.4)
            if reached is None:
                continue
            met = self._grow(there, here[reached][0], grip, np.inf)
            if met is not None and np.array_equal(there[met][0], here[reached][0]):
                one, other = _branch(here, reached)[::-1], _branch(there, met)
                whole = one + other[1:] if turn % 2 == 0 else other[::-1] + one[::-1][1:]
                return whole[1:]
        return None

    def _grow(
        self, tree: list[tuple[Array, int]], goal: Array, grip: Grip | None, reach: float
    ) -> int | None:
        """Extend a tree from its nearest node towards ``goal``; return the last new node."""
        nearest = int(np.argmin([np.abs(goal - q).max() for q, _ in tree]))
        q, last = tree[nearest][0], None
        length = float(np.abs(goal - q).max())
        end = goal if length <= reach else q + (goal - q) * reach / length
        count = max(1, int(np.ceil(np.abs(end - q).max() / _STEP)))
        for i in range(1, count + 1):
            step = end if i == count else q + (end - q) * i / count
            if not self.clear(step, grip):
                break
            tree.append((step, nearest))
            nearest = last = len(tree) - 1
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


def _branch(tree: list[tuple[Array, int]], node: int) -> list[Array]:
    """Return the nodes from ``node`` back to the root."""
    found = []
    while node >= 0:
        q, node = tree[node]
        found.append(q)
    return found
