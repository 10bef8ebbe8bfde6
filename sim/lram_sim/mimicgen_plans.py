"""Plans for single stages of the MimicGen tasks: stack, seat, thread, open and close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.mimicgen_shapes import (
    DRAWER_FLOOR,
    FOOT_TOP,
    HANDLE,
    HOLDER_RIM,
    NEEDLE_TIP,
    PIN_TOP,
    RING_HEIGHT,
    SOCKET_FLOOR,
    SOCKET_TOP,
)
from lram_sim.robosuite_grasp import PickPlan, Shape, StackPlan, azimuth
from lram_sim.robosuite_insert import InsertPlan, effort, level
from lram_sim.robosuite_motion import (
    CLOSE,
    OPEN,
    InverseKinematics,
    Target,
    pointing_down,
    rotation_vector,
)
from lram_sim.robosuite_nut import NutPlan

Array = npt.NDArray[np.float64]

_NUT_HALF = 0.01
"""An insertion begins where a nut's would: this much (m) below the origin is its lowest point."""
_BEFORE = 0.045
"""Distance (m) of the needle's tip before the ring from which it is pushed through."""


STRETCH = 0.988
"""Share of its length that the arm is not stretched beyond."""
LONG = 0.95
"""Share of its length beyond which a stretched arm speaks against a way to put something."""
ENTRY = 0.4
"""Largest action on the last way down."""
_FINGER, _ROOM = 0.05, 0.01
"""Where an open finger comes down beside an object, and half the room it takes, m."""
_OVER = np.array([0.0, 0.0, 0.15])


class Reaching(PickPlan):
    """A grasp at the end of an arm's reach, with a hand that leans; only its turn must fit."""

    def approach(self) -> Target:
        return replace(super().approach(), lean=True)

    def twist(self, left: Array) -> float:
        return abs(float(rotation_vector(left)[2]))


class NeighbourlyStack(Reaching, StackPlan):
    """Puts a cube on another; its fingers come down beside all other cubes."""

    def __init__(self, scene: MimicgenScene, name: str, below: str) -> None:
        bodies = scene.world.bodies
        super().__init__(scene, bodies[name], bodies[below])
        self._beside = Beside(scene, name)

    def penalty(self, axis: Array) -> float:
        return PickPlan.penalty(self, axis) + self._beside.penalty(axis)

    def carry(self) -> Target:
        return replace(super().carry(), lean=True)


class Beside:
    """What stands beside an object where fingers would come down."""

    def __init__(self, scene: MimicgenScene, name: str) -> None:
        self._data, self._body = scene.data, scene.world.bodies[name]
        others = [body for other, body in scene.world.bodies.items() if other != name]
        self._others = [
            (body, float(np.linalg.norm(Shape.of(scene, body).half[:2]))) for body in others
        ]

    def penalty(self, axis: Array) -> float:
        """Return what speaks against fingers along ``axis``, in radians of turn."""
        found = 0.0
        for other, radius in self._others:
            way = (self._data.xpos[other] - self._data.xpos[self._body])[:2]
            for finger in (_FINGER * axis[:2], -_FINGER * axis[:2]):
                found += 100.0 * max(0.0, radius + _ROOM - float(np.linalg.norm(way - finger)))
        return found


class PegPlan(Reaching, NutPlan):
    """A nut onto a peg that may stand anywhere."""

    stretch, entry = LONG, ENTRY
    depth, slant = 0.1, 0.0


class SeatPlan(Reaching, InsertPlan):
    """Seats a piece of the assembly: the first in the base, the second on the first."""

    stretch, entry = LONG, ENTRY

    def __init__(self, scene: MimicgenScene, name: str, other: str) -> None:
        self._seat, rim, hold = {
            "piece_1": (SOCKET_FLOOR, SOCKET_TOP, (PIN_TOP + FOOT_TOP) / 2 + 0.004),
            "piece_2": (FOOT_TOP, PIN_TOP, 0.037),
        }[name]
        self._rim = rim - _NUT_HALF
        self._world, self._other = scene.world, other
        bodies = scene.world.bodies
        self._beside = Beside(scene, name)
        hand = np.array([0.0, 0.0, hold])
        super().__init__(scene, bodies[name], hand, 4, across=(0, 1), slack=0.0015)

    def penalty(self, axis: Array) -> float:
        return self._beside.penalty(axis)

    def socket(self) -> tuple[Array, float]:
        axes = self._world.axes(self._other)
        turn = float(np.arctan2(axes[1, 0], axes[0, 0]))
        return self._world.position(self._other) + np.array([0.0, 0.0, self._rim]), turn

    def deep(self) -> bool:
        x, y, z = self._world.axes(self._other).T @ (
            self.position - self._world.position(self._other)
        )
        return bool(np.hypot(x, y) < 0.006 and z < self._seat + 0.002)


class PodPlan(Reaching, InsertPlan):
    """Puts the pod into the machine's holder: lowers it as far as the fingers go, and lets go."""

    stretch, entry = LONG, ENTRY
    clear = 0.12  # over the open lid

    def __init__(self, scene: MimicgenScene) -> None:
        self._world = scene.world
        hold = np.array([0.0, 0.0, 0.032])
        super().__init__(scene, scene.world.bodies["pod"], hold, 1, (0, 1), slack=0.002)

    def candidates(self) -> list[Array]:
        return [self.natural_axis()]

    def socket(self) -> tuple[Array, float]:
        up = np.array([0.0, 0.0, HOLDER_RIM - _NUT_HALF])
        return self._world.position("holder") + up, 0.0

    def best_yaw(self, place: Array, turn: float) -> float:
        """Return the pod's turn (rad) with the fingers beside the open lid, not against it."""
        now = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)[:, 0]
        side = self._world.axes("machine")[:, 1]
        pod = azimuth(self.axes[:2, 0])
        yaws = [pod + azimuth(way * side[:2]) - azimuth(now[:2]) for way in (1.0, -1.0)]
        return min(yaws, key=lambda yaw: self.effort(self.put(place, level(yaw))))

    def deep(self) -> bool:
        x, y, z = self._world.inside("pod", "holder")
        return bool(np.hypot(x, y) < 0.012 and z < HOLDER_RIM - 0.016)


class ThreadPlan(Reaching, InsertPlan):
    """Takes the needle by its thick end and pushes it through the ring, from the nearer side."""

    stretch, entry = LONG, ENTRY

    def __init__(self, scene: MimicgenScene) -> None:
        self._world = scene.world
        hold = np.array([-0.06, 0.0, 0.004])
        super().__init__(scene, scene.world.bodies["needle"], hold, 2)
        self._through = False

    def approach(self) -> Target:
        self._through = False
        return super().approach()

    def socket(self) -> tuple[Array, float]:
        axes = self._world.axes("tripod")
        ring = self._world.position("tripod") + np.array([0.0, 0.0, RING_HEIGHT])
        return ring, float(np.arctan2(axes[1, 0], axes[0, 0]))

    def carry(self) -> Target:
        ring, turn = self.socket()
        if self._yaw is None:
            self._yaw = self._nearer(ring, turn)
        goal_axes = level(self._yaw)
        along = goal_axes[:, 0]
        way = self.position + NEEDLE_TIP * self.axes[:, 0] - ring
        ahead = float(way @ along)  # of the tip, beyond the ring's plane
        off = float(np.linalg.norm(way - ahead * along))
        twist = float(np.arccos(np.clip((np.trace(goal_axes @ self.axes.T) - 1) / 2, -1, 1)))
        if self._through:
            self._through = off < 0.011
        elif off < 0.004 and twist < 0.05 and ahead > -_BEFORE - 0.02:
            self._through = True
        tip = ahead + 0.05 if self._through else -_BEFORE
        goal = ring + (tip - NEEDLE_TIP) * along
        flat = float(np.linalg.norm((goal - self.position)[:2]))
        if not self._through and flat > 0.03:
            goal[2] += min(0.08, 2.0 * (flat - 0.03))
            if self.position[2] < ring[2] - 0.02:
                goal[:2] = self.position[:2]  # first up
        return self.put(goal, goal_axes)

    def _nearer(self, ring: Array, turn: float) -> float:
        """Return the needle's turn (rad) for the side that the arm reaches with least motion."""
        best, least = turn, np.inf
        for yaw in (turn, turn + np.pi):
            axes, cost = level(yaw), 0.0
            for tip in (-_BEFORE, 0.03):
                cost += self.effort(self.put(ring + (tip - NEEDLE_TIP) * axes[:, 0], axes))
            if cost < least:
                best, least = yaw, cost
        return best


class HandPlan:
    """Moves the hand to places told in an object's frame, fingers along one of its axes."""

    def __init__(self, scene: MimicgenScene, frame: str, axis: int) -> None:
        self.scene, self.world, self.frame = scene, scene.world, frame
        along = self.world.axes(frame)[:, axis]
        inverse = InverseKinematics(scene, scene.arm_positions())
        place, start = self.world.position(frame) + _OVER, scene.arm_positions()
        self._turn = min(
            (pointing_down(along), pointing_down(-along)),
            key=lambda turn: effort(inverse, start, Target(place, turn, OPEN), LONG),
        )

    def hand(self) -> Array:
        """Return where the hand is, (3,) in the object's frame."""
        way = self.scene.data.site_xpos[self.scene.grip_site] - self.world.position(self.frame)
        found: Array = self.world.axes(self.frame).T @ way
        return found

    def twist(self) -> float:
        """Return how far (rad) the hand is turned from how it should be."""
        now = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        return float(np.arccos(np.clip((np.trace(self._turn @ now.T) - 1) / 2, -1, 1)))

    def to(self, place: Array, grip: float) -> Target:
        """The target with the hand at ``place``, (3,) in the object's frame."""
        axes, origin = self.world.axes(self.frame), self.world.position(self.frame)
        return Target(origin + axes @ place, self._turn, grip)

    def over(self, place: Array, grip: float, height: float = 0.07) -> Target | None:
        """The way to a place from above; None when it has been reached, or while below it."""
        hand = self.hand()
        aside = float(np.linalg.norm((place - hand)[:2]))
        off = max(0.0, aside - 0.005) + 0.05 * max(0.0, self.twist() - 0.05)
        if off < 0.001 and abs(hand[2] - place[2]) < 0.01:
            return None
        goal = place + np.array([0.0, 0.0, min(height, 8.0 * off)])
        if aside > 0.03 and hand[2] < place[2] + height - 0.03:
            goal[:2] = hand[:2]  # first up
        return self.to(goal, grip)


class OpenPlan(HandPlan):
    """Takes the bar of the drawer's handle between the fingers and pulls."""

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, "drawer", 1)
        self._holding = False

    def target(self) -> Target:
        bar = np.array(HANDLE)
        if self._holding and np.linalg.norm(self.hand() - bar) > 0.05:
            self._holding = False
        if not self._holding:
            way = self.over(bar, OPEN)
            if way is not None:
                return way
            self._holding = True
        if not self.world.held("drawer"):
            return self.to(bar, CLOSE)
        return self.to(bar + np.array([0.0, -0.06, 0.0]), CLOSE)


class MugPlan(Reaching):
    """Puts the mug into the open drawer."""

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, body=scene.world.bodies["mug"])
        self._world = scene.world

    def grasp(self) -> Array:
        up = np.array([0.0, 0.0, 0.055 - self.scene.gripper.depth])
        return self.position + up

    def candidates(self) -> list[Array]:
        """Across two of its eight sides, and not those of the handle."""
        yaw = float(np.arctan2(self.axes[1, 0], self.axes[0, 0]))
        angles = yaw + np.pi * np.array([0.25, 0.5, 0.75])
        found = [np.array([np.cos(angle), np.sin(angle), 0.0]) for angle in angles]
        return [*found, *(-axis for axis in found)]

    def penalty(self, axis: Array) -> float:
        return 0.0

    def carry(self) -> Target:
        drawer, axes = self._world.position("drawer"), self._world.axes("drawer")
        spot = drawer + axes @ np.array([0.0, -0.01, DRAWER_FLOOR + 0.004])
        way = spot - self.position
        if np.linalg.norm(way[:2]) < 0.02 and way[2] > -0.012:
            return self.release()
        return self.bring(spot, 0.13, 0.015)


class ClosePlan(HandPlan):
    """Pushes the drawer in, at its handle, with closed fingers."""

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, "drawer", 1)
        self._pushing = False

    def target(self) -> Target:
        before = np.array([0.0, HANDLE[1] - 0.05, HANDLE[2]])
        hand = self.hand()
        if self._pushing and (abs(hand[0]) > 0.04 or hand[2] > HANDLE[2] + 0.03):
            self._pushing = False
        if not self._pushing:
            way = self.over(before, CLOSE, 0.12)
            if way is not None:
                return way
            self._pushing = True
        return self.to(np.array([0.0, hand[1] + 0.05, HANDLE[2]]), CLOSE)


class LidPlan(HandPlan):
    """Tips the machine's lid over from behind, and presses it down if it does not fall."""

    _BEHIND, _FRONT = np.array([0.05, 0.0, 0.165]), np.array([-0.075, 0.0, 0.2])

    def __init__(self, scene: MimicgenScene) -> None:
        super().__init__(scene, "machine", 1)
        self._sweeping = False

    def target(self) -> Target:
        hand = self.hand()
        if self.world.joint() < 1.2:
            if hand[0] > -0.05 and hand[2] < 0.18:
                return self.to(np.array([-0.08, 0.0, 0.17]), CLOSE)
            if np.linalg.norm(hand[:2] - self._FRONT[:2]) > 0.02:
                return self.to(self._FRONT, CLOSE)
            return self.to(self._FRONT - np.array([0.0, 0.0, 0.075]), CLOSE)
        if self._sweeping and (hand[0] < -0.07 or abs(hand[1]) > 0.03):
            self._sweeping = False
        if not self._sweeping:
            way = self.over(self._BEHIND, CLOSE, 0.08)
            if way is not None:
                return way
            self._sweeping = True
        return self.to(np.array([-0.08, 0.0, 0.17]), CLOSE)
