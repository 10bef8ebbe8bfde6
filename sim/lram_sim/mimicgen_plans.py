"""Plans for single stages of the MimicGen tasks: stack, seat, thread, open and close."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lram_sim.mimicgen_beside import Beside
from lram_sim.mimicgen_reaching import LONG, Reaching, Turning
from lram_sim.mimicgen_scene import MimicgenScene
from lram_sim.mimicgen_shapes import (
    DRAWER_FLOOR,
    FOOT_TOP,
    HOLDER_RIM,
    NEEDLE_TIP,
    PIN_TOP,
    RING_HEIGHT,
    SOCKET_FLOOR,
    SOCKET_TOP,
)
from lram_sim.robosuite_grasp import PickPlan
from lram_sim.robosuite_insert import level
from lram_sim.robosuite_nut import NutPlan
from lram_sim.robosuite_placing import StackPlan
from lram_sim.robosuite_target import Target
from lram_sim.rotations import azimuth

Array = npt.NDArray[np.float64]

_NUT_HALF = 0.01
"""An insertion begins where a nut's would: this much (m) below the origin is its lowest point."""
_BEFORE = 0.045
"""Distance (m) of the needle's tip before the ring from which it is pushed through."""


class NeighbourlyStack(Reaching, StackPlan):
    """Puts a cube on another; its fingers come down beside all other cubes."""

    def __init__(self, scene: MimicgenScene, name: str, below: str) -> None:
        bodies = scene.world.bodies
        super().__init__(scene, bodies[name], bodies[below])
        self._beside = Beside(scene, name)

    def penalty(self, axis: Array) -> float:
        return PickPlan.penalty(self, axis) + self._beside.penalty(axis, self.grasp()[2])

    def carry(self) -> Target:
        return replace(super().carry(), lean=True)


class PegPlan(Turning, NutPlan):
    """A nut onto a peg that may stand anywhere, the arm as long as it gets if need be."""

    stretch, depth, slant = 1.0, 0.08, 0.0


class FirstPegPlan(PegPlan):
    """Keeps the arm short enough to go on to another nut."""

    stretch = LONG


class SeatPlan(Turning):
    """Seats a piece of the assembly: the first in the base, the second on the first."""

    clear = 0.06  # over the other piece

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
        return super().penalty(axis) + self._beside.penalty(axis, self.grasp()[2])

    def socket(self) -> tuple[Array, float]:
        axes = self._world.axes(self._other)
        turn = float(np.arctan2(axes[1, 0], axes[0, 0]))
        return self._world.position(self._other) + np.array([0.0, 0.0, self._rim]), turn

    def deep(self) -> bool:
        x, y, z = self._world.axes(self._other).T @ (
            self.position - self._world.position(self._other)
        )
        return bool(np.hypot(x, y) < 0.006 and z < self._seat + 0.002)


class PodPlan(Turning):
    """Puts the pod into the machine's holder: lowers it as far as the fingers go, and lets go."""

    clear = 0.12  # over the open lid

    def __init__(self, scene: MimicgenScene) -> None:
        self._world = scene.world
        hold = np.array([0.0, 0.0, 0.032])
        super().__init__(scene, scene.world.bodies["pod"], hold, 1, (0, 1), slack=0.002)

    def candidates(self) -> list[Array]:
        return [self.natural_axis()]

    def penalty(self, axis: Array) -> float:
        return 0.0

    def socket(self) -> tuple[Array, float]:
        up = np.array([0.0, 0.0, HOLDER_RIM - _NUT_HALF])
        return self._world.position("holder") + up, 0.0

    def yaws(self, turn: float) -> list[float]:
        """Return the pod's turns (rad) with the fingers beside the open lid, not against it."""
        now = self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)[:, 0]
        side = self._world.axes("machine")[:, 1]
        pod = azimuth(self.axes[:2, 0])
        return [pod + azimuth(way * side[:2]) - azimuth(now[:2]) for way in (1.0, -1.0)]

    def deep(self) -> bool:
        x, y, z = self._world.inside("pod", "holder")
        return bool(np.hypot(x, y) < 0.012 and z < HOLDER_RIM - 0.016)


class ThreadPlan(Turning):
    """Takes the needle by its thick end and pushes it through the ring, from the nearer side."""

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

    def places(self, place: Array, turn: Array) -> list[Array]:
        return [place + (tip - NEEDLE_TIP) * turn[:, 0] for tip in (-_BEFORE, 0.03)]

    def insert(self) -> Target:
        ring, turn = self.socket()
        if self._yaw is None:
            self._yaw = self.best_yaw(ring, turn)
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
