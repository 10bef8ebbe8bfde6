"""Between the policy's action and the wire: all command sinks of a robot as one vector.

Values on the wire stand one sink after the other, in the contract's order. Free of rclpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError, listed
from lram_ros.adapters.feedback import find_feedback
from lram_ros.adapters.kinds import make_mappers
from lram_ros.adapters.registry import make_adapters
from lram_ros.message_fields import Array
from lram_ros.robot_contract import RobotContract
from lram_ros.safety import SafetyLimits

Measured = list[Array | None]
"""Measured joints of each sink, in its units; None where nothing measures them."""


class Commander:
    """Maps actions to the values of all sinks, and those to messages.

    Attributes:
        adapters: one a sink.

    Raises:
        ContractError: a start needs measured joints, and no input measures them; or as
            ``make_mappers`` and ``make_adapters``.
    """

    def __init__(self, robot: RobotContract, policy: PolicyContract, limits: SafetyLimits) -> None:
        self.adapters = make_adapters(robot)
        self._mappers = make_mappers(robot, policy)
        self._feedback = [find_feedback(robot, sink) for sink in robot.sinks]
        ends = np.cumsum([0, *(len(sink.fields) for sink in robot.sinks)]).tolist()
        self._parts = [slice(a, b) for a, b in pairwise(ends)]
        self.size: int = ends[-1]
        for sink, feedback, part in zip(robot.sinks, self._feedback, self._parts, strict=True):
            if feedback is None and limits.measured[part].any():
                raise ContractError(
                    f"{robot.source}: {sink.topic}: a start blends in from the measured joints, "
                    f"and no JointState input reads positions of {listed(sink.wire_names)}; "
                    f"name the topic with 'feedback'"
                )
        self._actions = policy.action_size
        wire = [field.name for sink in robot.sinks for field in sink.fields]
        direct = all(name in wire for name in policy.action_names)
        self._order = [wire.index(name) for name in policy.action_names] if direct else None

    def start(self) -> None:
        """Forget what was sent: the next delta starts from the measured joints."""
        for mapper in self._mappers:
            mapper.reset()

    def measured(self, messages: Sequence[Any]) -> Measured:
        """Read the measured joints out of a set's messages, of which some may be None.

        Raises:
            InputError: a joint is missing, doubled or not finite.
        """
        return [
            None
            if feedback is None or messages[feedback.index] is None
            else feedback.read(messages[feedback.index])
            for feedback in self._feedback
        ]

    def position(self, measured: Measured) -> Array:
        """Return (size,) measured values of the wire, NaN where nothing measures them."""
        found = np.full(self.size, np.nan)
        for part, values in zip(self._parts, measured, strict=True):
            if values is not None:
                found[part] = values
        return found

    def target(
        self, action: npt.ArrayLike, measured: Measured
    ) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return (values, clipped), each (size,), for an action of the bundle.

        Raises:
            CommandValueError, NoReference, IkError: the action cannot become a command.
        """
        found = [
            mapper.target(action, joints)
            for mapper, joints in zip(self._mappers, measured, strict=True)
        ]
        return (
            np.concatenate([target.values for target in found]),
            np.concatenate([target.clipped for target in found]),
        )

    def action(self, values: Array, measured: Measured) -> Array:
        """Return the bundle's action behind values (size,) of the wire, the inverse of ``target``.

        Float64 (actions,); NaN where inverse kinematics stands between them. Call it before
        :meth:`sent`.

        Raises:
            NoReference: a delta has nothing to be taken from.
        """
        found = np.full(self._actions, np.nan)
        for mapper, part, joints in zip(self._mappers, self._parts, measured, strict=True):
            if mapper.sink.cartesian is None:
                found[mapper.places] = mapper.action(values[part], mapper.reference(joints))
        return found

    def sent(self, values: Array) -> None:
        """Take values (size,) of the wire for sent: the next delta starts from them."""
        for mapper, part in zip(self._mappers, self._parts, strict=True):
            mapper.sent(values[part])

    def messages(
        self, values: Array, moving: bool, stamp: int, episode: int, tick: int
    ) -> Iterator[tuple[int, Any]]:
        """Yield (sink, message) for what is to leave, and take it for sent.

        Args:
            values: (size,) on the wire.
            moving: whether new motion is allowed; a sink with ``safe: none`` is silent otherwise.
            stamp: ROS time in nanoseconds.
            episode, tick: of the observation answered.
        """
        for i, (adapter, part) in enumerate(zip(self.adapters, self._parts, strict=True)):
            if moving or adapter.sink.safe != "none":
                self._mappers[i].sent(values[part])
                yield i, adapter.encode(values[part], stamp, episode, tick)

    def by_action(self, values: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Return values of the wire in the order of the bundle's action fields.

        None where inverse kinematics stands between them.
        """
        return None if self._order is None else values[self._order]
