"""Plan for what goes into or onto something else with little play."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_grasp import PickPlan
from lram_sim.robosuite_kinematics import InverseKinematics
from lram_sim.robosuite_scene import Scene
from lram_sim.robosuite_target import CLOSE, Target

Array = npt.NDArray[np.float64]

_JAMMED = 25
"""Ticks without getting lower after which it is let go: it drops, or is taken anew."""


class InsertPlan(PickPlan):
    """Takes an object by a point of it and puts it where it fits.

    Which way it points in the end is one of several: the way that the arm reaches with the least
    motion is chosen when it has been taken.

    Args:
        scene: the simulation.
        body: number of the object's body; None for the task's first.
        hold: (3,) where the hand takes it, in the body's frame.
        ways: number of turns about the vertical that fit.
        across: axes of the body along which the fingers may close, of 0 and 1.
        slack: distance aside (m) within which it goes down.
        any_turn: every turn fits; ``ways`` are tried, from the one it has.

    Attributes:
        stretch: share of its length beyond which a stretched arm speaks against a turn.
        entry: largest action on the last way down.
        clear: height (m) over the rim at which the object is brought.
        depth: how far (m) below the rim a turn must still be reached.
    """

    stretch = entry = 1.0
    clear, depth = 0.03, 0.0

    def __init__(
        self,
        scene: Scene,
        body: int | None,
        hold: Array,
        ways: int,
        across: tuple[int, ...] = (1,),
        slack: float = 0.004,
        any_turn: bool = False,
    ) -> None:
        super().__init__(scene, body=body)
        self._hold, self._ways, self._across = hold, ways, across
        self._slack, self._any_turn = slack, any_turn
        self._inverse = InverseKinematics(scene, scene.arm_positions())
        self._yaw: float | None = None
        self._lowest, self._waited = np.inf, 0

    def socket(self) -> tuple[Array, float]:
        """Return where the body's origin enters, (3,) m, and a turn (rad) that fits."""
        raise NotImplementedError

    def deep(self) -> bool:
        """Whether it has gone down far enough to let go."""
        return False

    def grasp(self) -> Array:
        point = self.position + self.axes @ self._hold
        return point - np.array([0.0, 0.0, self.scene.gripper.depth * 0.5])

    def candidates(self) -> list[Array]:
        """Along the axes that can be taken."""
        found = []
        for index in self._across:
            flat = np.array([self.axes[0, index], self.axes[1, index], 0.0])
            flat /= max(1e-6, float(np.linalg.norm(flat)))
            found += [flat, -flat]
        return found

    def penalty(self, axis: Array) -> float:
        return 0.0

    def approach(self) -> Target:
        self._yaw = None
        return super().approach()

    def carry(self) -> Target:
        """Up, over the socket, level and turned, then down into it."""
        if self.deep():
            return self.release()
        place, turn = self.socket()
        top = place[2]
        if self._yaw is None:
            self._yaw = self.best_yaw(place, turn)
            self._lowest, self._waited = np.inf, 0
        level_turn = level(self._yaw)
        way = place - self.position
        aside = float(np.linalg.norm(way[:2]))
        if self.position[2] < top - 0.005 and aside < 0.02:
            return self._push_down(place, level_turn)
        twist = float(np.arccos(np.clip((np.trace(level_turn @ self.axes.T) - 1) / 2, -1, 1)))
        off = max(0.0, aside - self._slack) + 0.05 * max(0.0, twist - 0.06)
        goal = np.array([*place[:2], top - 0.03])
        if off <= 0.002:
            return replace(self.put(goal, level_turn), speed=self.entry)
        goal[2] = top + 0.012 + min(self.clear, 3.0 * off)
        if aside > 0.04 and self.position[2] < top + self.clear - 0.02:
            goal[:2] = self.position[:2]  # first up, turning on the way
            level_turn = level_turn if self.position[2] > top - 0.1 else self.axes
        return self.put(goal, level_turn)

    def put(self, goal: Array, turn: Array) -> Target:
        """The hand's target that puts the body's origin at ``goal``, turned as ``turn`` (3, 3)."""
        held = self.axes.T @ self.scene.data.site_xmat[self.scene.grip_site].reshape(3, 3)
        offset = self.axes.T @ (self.hand - self.position)
        return Target(goal + turn @ offset, turn @ held, CLOSE)

    def best_yaw(self, place: Array, turn: float) -> float:
        """Return the fitting turn (rad) that the arm reaches with the least motion."""
        now = float(np.arctan2(self.axes[1, 0], self.axes[0, 0]))
        step = 2 * np.pi / self._ways
        first = now if self._any_turn else turn
        best, least = now, np.inf
        for index in range(self._ways):
            yaw = first + index * step
            target = self.put(place - np.array([0.0, 0.0, self.depth]), level(yaw))
            cost = self.effort(target)
            if cost < least:
                best, least = yaw, cost
        return best

    def effort(self, target: Target) -> float:
        """Return what speaks against a target: the joints' way (rad), and what it misses."""
        start = self.scene.arm_positions()
        return effort(self._inverse, start, target, self.stretch)

    def _push_down(self, place: Array, turn: Array) -> Target:
        height = self.position[2]
        if height < self._lowest - 0.001:
            self._lowest, self._waited = height, 0
        else:
            self._waited += 1
        if self._waited > _JAMMED:
            return self.release()
        return replace(self.put(np.array([*place[:2], height - 0.04]), turn), speed=self.entry)


def effort(inverse: InverseKinematics, start: Array, target: Target, stretch: float) -> float:
    """Return what speaks against a target: the joints' way (rad), what it misses, a straight arm.

    Args:
        inverse: of the arm.
        start: (n,) joint positions now.
        target: where the hand should be.
        stretch: share of its length beyond which a stretched arm counts.
    """
    q = start
    for _ in range(4):
        q = inverse.solve(q, target)
    cost = 20.0 * inverse.miss(q, target) + float(np.abs(q - start).max())
    if stretch < 1.0:
        stretched = inverse.reach.needed(target.position, target.turn)
        cost += 100.0 * max(0.0, stretched - stretch)
    return cost


def level(yaw: float) -> Array:
    """Return the rotation (3, 3) about the vertical by ``yaw`` rad."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
