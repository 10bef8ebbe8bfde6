"""The action of each tick: from the commands that were recorded, or from where the joints went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError, DataError
from lram_ros.adapters.feedback import find_feedback
from lram_ros.adapters.kinds import NoReference, SinkMapper, make_mapper
from lram_ros.bags.recording import SECOND
from lram_ros.bags.segments import Row, Segment
from lram_ros.bags.survey import Survey
from lram_ros.robot_contract import RobotContract

Array = npt.NDArray[np.float64]
COMMAND, NEXT_POSITION = "command", "next-position"
SOURCES = (COMMAND, NEXT_POSITION)


class ActionReader:
    """Finds the action of every tick of a segment.

    ``command``: a command that carries the tick's own stamp answers it (a lockstep simulation).
    Otherwise it is the last one before the next tick, if it is not older than ``hold`` at the
    tick: what a person or a policy commanded then.

    ``next-position``: where each joint was one tick later, as if that had been commanded.
    """

    def __init__(
        self, robot: RobotContract, policy: PolicyContract, found: Survey, source: str, hold: float
    ) -> None:
        """Args:
            robot: the contract.
            policy: names, kinds and units of the actions.
            found: of the bag.
            source: one of SOURCES.
            hold: seconds that a command stays in force.

        Raises:
            ContractError: the contract's sinks do not tell the policy's actions in this way.
        """
        self._robot, self._source = robot, source
        self._hold = round(hold * SECOND)
        self._period = SECOND / robot.control_rate
        self._size = policy.action_size
        self._mappers = [
            make_mapper(sink, policy, 1.0 / robot.control_rate)
            for sink in robot.sinks
            if _readable(robot, sink.topic, sink.cartesian is None)
        ]
        if source == NEXT_POSITION:
            for sink in robot.sinks:
                if sink.quantity != "position" or find_feedback(robot, sink) is None:
                    raise ContractError(
                        f"{robot.source}: {sink.topic}: actions from the next joint position need "
                        f"a sink of positions whose joints a JointState input reads; it takes "
                        f"{sink.quantity}"
                    )
        self._commands = found.commands
        self._times = [found.ros_time(track.times) for track in found.commands]
        by_stamp = robot.tick_source == "observation"
        self._answers = [
            _first_of_stamp(track.stamps) if by_stamp and (track.stamps > 0).all() else None
            for track in found.commands
        ]

    def read(self, segment: Segment) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return actions (T, action_size) of a segment's ticks, and which ticks have one.

        Raises:
            DataError: deltas have no joints to start from.
        """
        rows = segment.rows
        actions = np.zeros((len(rows), self._size))
        known = np.ones(len(rows), dtype=bool)
        for number, mapper in enumerate(self._mappers):
            measured = [row.measured[number] for row in rows]
            if self._source == NEXT_POSITION:
                after = segment.last_measured[number] if segment.last_measured else None
                values, there = _stacked([*measured[1:], after], len(mapper.sink.fields))
                joints, started = _stacked(measured, values.shape[1])
                there &= started
                reference: Array | None = joints
            else:
                values, there = self._commanded(number, rows)
                reference = self._references(mapper, number, rows, values, there, measured)
            known &= there
            try:
                # What a tick without a command is given is not used.
                found = mapper.action(values, reference)
            except NoReference as error:
                raise DataError(str(error)) from None
            actions[:, mapper.places] = found
        return actions, known

    def _commanded(self, number: int, rows: Sequence[Row]) -> tuple[Array, npt.NDArray[np.bool_]]:
        track, answers = self._commands[number], self._answers[number]
        if answers is not None:
            chosen = np.array([answers.get(row.stamp, -1) for row in rows])
            there = chosen >= 0
        else:
            starts = np.array([row.time for row in rows])
            ends = np.append(starts[1:], starts[-1] + round(self._period))
            # A pause of the recording is no long tick.
            ends = np.minimum(ends, starts + round(1.5 * self._period))
            chosen = np.searchsorted(self._times[number], ends, side="left") - 1
            there = chosen >= 0
            age = starts - self._times[number][np.maximum(chosen, 0)]
            there &= age <= self._hold
        return track.values[np.maximum(chosen, 0)], there

    def _references(
        self,
        mapper: SinkMapper,
        number: int,
        rows: Sequence[Row],
        values: Array,
        there: npt.NDArray[np.bool_],
        measured: list[Array | None],
    ) -> Array | None:
        """What the deltas of a sink were added to, as the node adds them."""
        if not mapper.needs_reference:
            return None
        joints, known = _stacked(measured, values.shape[1])
        if mapper.sink.delta_reference == "measured":
            there &= known
            return joints
        before = np.concatenate([joints[:1], values[:-1]])
        there[0] &= known[0]
        there[1:] &= there[:-1]
        return before


def _readable(robot: RobotContract, topic: str, joints: bool) -> bool:
    if joints:
        return True
    raise ContractError(
        f"{robot.source}: {topic}: moves of the tool cannot be read back from the joints that "
        f"inverse kinematics commands"
    )


def _first_of_stamp(stamps: npt.NDArray[np.int64]) -> dict[int, int]:
    """Stamp → the first command that answers it; a repeated one is the same."""
    found: dict[int, int] = {}
    for row, stamp in enumerate(stamps.tolist()):
        found.setdefault(stamp, row)
    return found


def _stacked(joints: Sequence[Array | None], size: int) -> tuple[Array, npt.NDArray[np.bool_]]:
    """(T, size) and which are there; 0 where not."""
    there = np.array([joint is not None for joint in joints])
    return np.stack([np.zeros(size) if j is None else j for j in joints]), there
