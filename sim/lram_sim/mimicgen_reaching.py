"""What keeps an arm from its limits: hands that lean, and turns that its last joint can make."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grasp import PickPlan
from lram_sim.robosuite_insert import InsertPlan, level
from lram_sim.robosuite_target import CLOSE, OPEN, Target
from lram_sim.rotations import azimuth, pointing_down, rotation_vector

Array = npt.NDArray[np.float64]

STRETCH = 0.988
"""Share of its length that the arm is not stretched beyond."""
LONG = 0.95
"""Share of its length beyond which a stretched arm speaks against a way to put something."""
ENTRY = 0.4
"""Largest action on the last way down."""
_OUT, _CAREFUL = 0.9, 0.4
"""Share of its length beyond which a carrying arm slows down, to this action: past its full length
it does not come back."""
_MUCH, _LITTLE = 1.2, 0.6
"""A turn (rad) of more than ``_MUCH`` is made half way, until less than ``_LITTLE`` is left."""
_ROLLED = 2.0
"""What a radian that an arm is rolled aside speaks against a posture."""
_TWISTS = 1.0
"""What each further radian of a large turn speaks against it."""
_STEP = 1.0
"""How far (rad) ahead of the object its turn is asked for."""
_NEAREST, _FARTHEST = 0.42, 0.6
"""Distance (m) of a hand from the base at which its last joint alone turns it: nearer, the forearm
is as steep as the hand, and joint 5 turns as well and does not come back."""
_MOVED = 0.01
"""How far (m) an object moves before its grasps are thought over again."""
_STEEP = 250.0
"""Radians of turn that a stretch of the arm's whole length counts as."""
_ROOM = 0.25
"""Distance (rad) from a joint's limit that speaks against a turn."""


class Reaching(PickPlan):
    """A grasp at the end of an arm's reach, with a hand that leans; only its turn must fit."""

    def approach(self) -> Target:
        return replace(super().approach(), lean=True)

    def twist(self, left: Array) -> float:
        return abs(float(rotation_vector(left)[2]))


class Turning(Reaching, InsertPlan):
    """An insertion whose object is turned the way round that the arm's last joint can go.

    The nearer way may end at the joint's limit; and a large turn is made where the arm is neither
    folded nor stretched.
    """

    stretch, entry = LONG, ENTRY
    _now, _half_way = 0.0, False
    _looked: Array | None = None
    _ahead_of: dict[tuple[float, ...], float]

    def insert(self) -> Target:
        """Return where the hand should be, turns aside; :meth:`best_yaw` tells the turn."""
        return super().carry()

    def yaws(self, turn: float) -> list[float]:
        """Return the turns of the object (rad) that fit, any multiple of 2 pi aside."""
        first = azimuth(self.axes[:2, 0]) if self._any_turn else turn
        return [first + index * 2 * np.pi / self._ways for index in range(self._ways)]

    def places(self, place: Array, turn: Array) -> list[Array]:
        """Return where the object's origin must come to, turned as ``turn`` (3, 3)."""
        return [place - np.array([0.0, 0.0, self.depth])]

    def best_yaw(self, place: Array, turn: float) -> float:
        """Return the turn (rad, not wrapped) that the arm reaches with the least motion."""
        now, scene = azimuth(self.axes[:2, 0]), self.scene
        hand = scene.data.site_xmat[scene.grip_site].reshape(3, 3)
        held = _Held(self.hand.copy(), hand, self.position, self.axes, scene.arm_positions())
        _, turned = self._least(place, turn, held)
        self._now, self._half_way = now, abs(turned) > _MUCH
        return now + turned

    def penalty(self, axis: Array) -> float:
        """What it costs to put it in after fingers have closed along ``axis``, in radians."""
        if self._looked is None or np.abs(self._looked - self.position).max() > _MOVED:
            self._looked, self._ahead_of = self.position.copy(), {}
        key = tuple(np.round(self.axes.T @ axis, 1))
        if key not in self._ahead_of:
            self._ahead_of[key] = self._look_ahead(axis)
        return self._ahead_of[key]

    def _look_ahead(self, axis: Array) -> float:
        """Return the least cost of putting it in, once it has been taken along ``axis``."""
        grasp, now = self.grasp(), self.scene.arm_positions()
        taking = Target(grasp, pointing_down(axis), OPEN)
        q = now
        for _ in range(4):
            q = self._inverse.solve(q, taking)
        held = _Held(grasp, taking.turn, self.position, self.axes, q)
        cost = 20.0 * self._inverse.miss(q, taking) + self._awkward(q)
        return cost + self._least(*self.socket(), held)[0]

    def _least(self, place: Array, turn: float, held: _Held) -> tuple[float, float]:
        """Return the least cost and the turn (rad) of the object that has it."""
        now = azimuth(held.axes[:2, 0])
        best, least = 0.0, np.inf
        for yaw in self.yaws(turn):
            short = _wrapped(yaw - now)
            for turned in (short, short - np.copysign(2 * np.pi, short)):
                axes = level(now + turned)
                goals = self.places(place, axes)
                cost = max(self._cost(held.at(goal, axes), turned, held) for goal in goals)
                if cost < least:
                    best, least = float(turned), cost
        return least, best

    def carry(self) -> Target:
        target = self.insert()
        if self._releasing or self._yaw is None:
            return target
        self._now += _wrapped(azimuth(self.axes[:2, 0]) - self._now)
        left = self._yaw - self._now
        if not self._half_way or abs(left) < _LITTLE:
            self._half_way = False
            hand = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
            if self._inverse.reach.needed(self.hand, hand) > _OUT:
                return replace(target, speed=min(target.speed, _CAREFUL))
            return target
        return self._turn_half_way(left)

    def _turn_half_way(self, left: float) -> Target:
        """Up, to a middle distance from the base, and there turn by ``left`` (rad)."""
        place, _ = self.socket()
        high = place[2] + self.clear + self.hand[2] - self.position[2]
        out = self.hand[:2] - self._base
        away = float(np.linalg.norm(out))
        spot = np.array([*self.hand[:2], high])
        if self.hand[2] > high - 0.05:
            spot[:2] = self._base + out / away * np.clip(away, _NEAREST + 0.03, _FARTHEST - 0.03)
        turns = _NEAREST < away < _FARTHEST and self.hand[2] > high - 0.05
        yaw = self._now + (np.clip(left, -_STEP, _STEP) if turns else 0.0)
        return replace(self.put(self.position, level(yaw)), position=spot)

    def _cost(self, target: Target, turned: float, held: _Held) -> float:
        """Return what speaks against a target that the object is turned for by ``turned`` rad.

        The joints' way (rad), what it misses, a straight arm, a joint near its limit.
        """
        scene, inverse = self.scene, self._inverse
        low, high = scene.arm_range.T
        there, here = target.position[:2] - self._base, held.hand[:2] - self._base
        with_arm = _wrapped(azimuth(there) - azimuth(here))
        last = scene.data.xaxis[scene.model.dof_jntid[scene.dofs[-1]]]
        q = held.joints.copy()
        q[0] += with_arm
        q[-1] += np.sign(last[2]) * (turned - with_arm)
        beyond = float(np.maximum(low - q, q - high).max())
        q = np.clip(q, low, high)
        for _ in range(4):
            q = inverse.solve(q, target)
        cost = 20.0 * inverse.miss(q, target) + float(np.abs(q - held.joints).max())
        cost += 10.0 * max(0.0, beyond) + self._awkward(q)
        cost += _TWISTS * max(0.0, abs(turned) - _MUCH)
        stretched = inverse.reach.needed(target.position, target.turn)
        return cost + _STEEP * max(0.0, stretched - self.stretch)

    def _awkward(self, q: Array) -> float:
        """Return what speaks against joint positions (n,).

        The last one near its limit; and, of seven joints, upper arm and forearm rolled aside: they
        roll on with the hand's next turn.
        """
        low, high = self.scene.arm_range[-1]
        cost = 10.0 * max(0.0, _ROOM - float(min(q[-1] - low, high - q[-1])))
        if len(q) == 7:
            cost += _ROLLED * float(np.abs(q - self._inverse.home)[[2, 4]].sum())
        return cost


@dataclass(frozen=True)
class _Held:
    """A hand that holds an object.

    Attributes:
        hand, turn: position (3,) and rotation (3, 3) of the grip site.
        origin, axes: position (3,) and rotation (3, 3) of the object.
        joints: (n,) of the arm.
    """

    hand: Array
    turn: Array
    origin: Array
    axes: Array
    joints: Array

    def at(self, goal: Array, axes: Array) -> Target:
        """The hand's target that puts the object at ``goal`` (3,), turned as ``axes`` (3, 3)."""
        swing = axes @ self.axes.T
        return Target(goal + swing @ (self.hand - self.origin), swing @ self.turn, CLOSE)


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
