"""Commands of ros2_control controllers as actions of a suite, for the real-time bridge. No ROS.

A robot behind controllers takes joint positions, joint velocities or a twist of its hand, and a
position of its gripper's joint. A suite whose actions are deltas declares with a :class:`Drive`
how such commands become actions; :class:`Targets` keeps the newest ones and turns them into the
action of each control tick, from where the robot is then.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lram_core.contract import ActionField
from lram_core.errors import ContractError, listed
from lram_sim.suite import Array, StepResult

JOINT_SPEED = 1.0
"""Fastest that a joint follows a command, rad/s: what the safety supervisor lets a position go
where a robot contract says nothing. A suite's own actions may be slower."""
HOLD_S = 0.1
"""How long a velocity or a twist is followed without a new one."""
_CLOSE = 0.02
"""Gripper: share of its way within which a target counts as reached."""


@dataclass(frozen=True)
class Drive:
    """How a suite's arm and gripper follow commands.

    The first actions are the arm's: joints, or x, y, z and a rotation vector; the last one is the
    gripper's, 1 to close and -1 to open. A tool that does not move has no action.

    Attributes:
        joints: names of the arm's joints on the wire; empty where the actions move the hand.
        steps: of each arm action: the delta, in rad or m, that an action of 1 asks for.
        lag: seconds the controller needs to cover a delta at its steady speed: a velocity ``v``
            takes deltas of ``v * lag``. So a joint is drawn at most ``JOINT_SPEED * lag`` ahead.
        gripper_joint: name of the gripper's joint on the wire; empty: the tool does not move.
        gripper_range: its positions (m or rad) closed and open.
    """

    joints: tuple[str, ...]
    steps: tuple[float, ...]
    lag: float
    gripper_joint: str
    gripper_range: tuple[float, float]


class Follower(Protocol):
    """A task of a suite with a :class:`Drive`."""

    def follow(self, action: Array) -> StepResult:
        """Advance a control tick as ``step`` does; what moves the arm may be beyond its limits."""
        ...


class Targets:
    """The newest command of each controller.

    Args:
        drive: of the suite.
        fields: the suite's action fields.
    """

    def __init__(self, drive: Drive, fields: tuple[ActionField, ...]) -> None:
        self.drive = drive
        self._low = np.array([field.low for field in fields])
        self._high = np.array([field.high for field in fields])
        self._steps = np.array(drive.steps)
        if drive.joints:
            ahead = JOINT_SPEED * drive.lag / self._steps
            arm = slice(len(ahead))
            self._low[arm] = np.minimum(self._low[arm], -ahead)
            self._high[arm] = np.maximum(self._high[arm], ahead)
        self.clear()

    def clear(self) -> None:
        """Forget all commands, as at a reset."""
        # One attribute, so that the thread that reads it never sees half a command.
        self._arm: tuple[str, Array, float] | None = None
        self._gripper: float | None = None

    def positions(self, values: Array, names: list[str] | None = None) -> None:
        """Take a target of the arm's joints (rad), in order or by name; held until the next.

        Raises:
            ContractError: other names or another number of joints than the arm has, a value that
                is not finite, or the suite moves its hand instead of its joints.
        """
        self._check_joints("positions")
        self._arm = ("position", self._ordered(values, names), 0.0)

    def velocities(self, values: Array) -> None:
        """Take velocities of the arm's joints (rad/s). Raises as :meth:`positions`."""
        self._check_joints("velocities")
        self._arm = ("velocity", self._ordered(values, None), time.monotonic())

    def twist(self, values: Array) -> None:
        """Take a twist of the hand: (6,) m/s and rad/s. Raises ContractError as above."""
        if self.drive.joints:
            raise ContractError("twist: this suite moves joints; send joint commands")
        self._arm = ("velocity", _finite(values, "twist"), time.monotonic())

    def gripper(self, value: float) -> None:
        """Take a target of the gripper's joint (m or rad); held until the next.

        Raises:
            ContractError: the arm has no gripper, or the value is not finite.
        """
        if not self.drive.gripper_joint:
            raise ContractError("gripper: the tool of this suite does not move")
        self._gripper = float(_finite(np.array([value]), "gripper")[0])

    def action(self, positions: dict[str, float]) -> Array | None:
        """Return this tick's action, for :meth:`Follower.follow`; None before the first command.

        A hand's and a gripper's are within the limits; a joint's take it to JOINT_SPEED at most.

        Args:
            positions: joint name on the wire → measured position.
        """
        target, gripper = self._arm, self._gripper
        if target is None and gripper is None:
            return None
        arm = np.zeros(len(self._steps))
        if target is not None:
            kind, values, since = target
            if kind == "position":
                arm = values - np.array([positions[name] for name in self.drive.joints])
            elif time.monotonic() - since <= HOLD_S:
                arm = values * self.drive.lag
        action = arm / self._steps
        if self.drive.gripper_joint:
            action = np.append(action, self._grip(gripper, positions))
        return np.clip(action, self._low, self._high)

    def _grip(self, target: float | None, positions: dict[str, float]) -> float:
        """Close, open, or stay: the gripper moves at its own speed until it is there."""
        if target is None:
            return 0.0
        closed, opened = self.drive.gripper_range
        way = opened - closed
        left = (target - positions[self.drive.gripper_joint]) / way
        if abs(left) > _CLOSE:
            return -1.0 if left > 0 else 1.0
        # At an end the fingers are pressed on: what lies between them would slip otherwise.
        return 1.0 if (target - closed) / way <= _CLOSE else 0.0

    def _check_joints(self, what: str) -> None:
        if not self.drive.joints:
            raise ContractError(f"joint {what}: this suite moves its hand; send a twist")

    def _ordered(self, values: Array, names: list[str] | None) -> Array:
        joints = list(self.drive.joints)
        if len(values) != len(joints):
            raise ContractError(
                f"{len(values)} joint values, expected {len(joints)}: {listed(joints)}"
            )
        if names is not None and names != joints:
            if sorted(names) != sorted(joints):
                raise ContractError(f"joints {listed(names)}, expected {listed(joints)}")
            values = values[[names.index(name) for name in joints]]
        return _finite(values, "joints")


def _finite(values: Array, what: str) -> Array:
    found = np.array(values, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ContractError(f"{what}: not finite: {found.tolist()}")
    return found
