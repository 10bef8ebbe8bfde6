"""What an arm can do where it stands: inverse kinematics, and what it would touch.

It looks at a copy of the simulation, so that the episode goes on undisturbed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

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


class PlanningScene:
    """One arm in one scene.

    Args:
        scene: the simulation, of any episode.

    Attributes:
        home: joint positions at the start of the episode, rad.
        limits: least and greatest joint positions that are planned with, rad.
    """

    def __init__(self, scene: ComposuiteScene) -> None:
        self._scene = scene
        self._model = copy.deepcopy(scene.model)
        self._data = mujoco.MjData(self._model)
        joints = np.array([self._joint(dof) for dof in scene.dofs])
        self._chain = Chain(self._model, joints, scene.grip_site)
        low, high = scene.arm_range.T
        self.limits = low + _LIMIT, high - _LIMIT
        joint = self._model.body_jntadr[scene.thing]
        self._thing = int(self._model.jnt_qposadr[joint])
        self._kinds = self._geom_kinds()
        # Touches of the fixed things are noticed from this far.
        self._model.geom_margin[self._kinds == _ARENA] = _NEAR
        self.begin()

    def begin(self, room: float = 0.0) -> None:
        """Begin an episode that is at its start.

        Args:
            room: distance (m) that a held object keeps from walls and furniture; 0 for as near as
                it goes.
        """
        self._model.geom_margin[self._kinds == _THING] = max(_BESIDE, room)
        # Bodies whose boxes are further apart than this are not looked at.
        self._model.body_margin[self._scene.thing] = room
        self.home = self.now()
        spread = np.random.default_rng(0).uniform(-1.0, 1.0, (_SEEDS, len(self.home)))
        self._seeds = np.clip(self.home + spread, *self.limits)
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
        rest = self.home if posture is None else posture
        return self._chain.solve(start, goal.position, goal.turn, self.limits, rest, rounds)

    def within(self, q: Array) -> Array:
        """Return joint positions (rad) that keep clear of the joints' limits."""
        return np.clip(q, *self.limits)

    def level(self, q: Array, grip: Grip, heights: tuple[float, float]) -> Array | None:
        """Return joint positions near ``q`` (rad) with the held object between two heights (m)."""
        return self._chain.level(q, grip.position, heights, self.limits)

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
