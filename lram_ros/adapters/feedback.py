"""Measured joints of a command sink: what deltas start from, and safe behaviour holds."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import ContractError, listed
from lram_ros.adapters.sink import CommandSink
from lram_ros.adapters.table import JOINT_STATE
from lram_ros.input_topic import FieldSource
from lram_ros.message_fields import FieldReader
from lram_ros.robot_contract import RobotContract
from lram_ros.units import TABLE, conversion, parse_unit

Array = npt.NDArray[np.float64]


class Feedback:
    """Reads the measured positions of a sink's joints.

    Attributes:
        index: of the topic in ``RobotContract.inputs`` and ``topics``.
    """

    def __init__(self, robot: RobotContract, sink: CommandSink, index: int) -> None:
        """Raises ContractError where the topic's unit of a joint is not one of the sink's."""
        topic = robot.inputs[index]
        where = f"{robot.source}: {topic.topic}"
        self.index = index
        source = FieldSource("measured joints", "position", "", tuple(sink.wire_names))
        self._reader = FieldReader(source, topic.type, where, frame=topic.frame)
        units = {n: f.unit for f in topic.fields if f.path == "position" for n in f.names}
        gains = []
        for field in sink.fields:
            # A JointState that the contract does not read from is in SI units.
            own = next(iter(TABLE[parse_unit(field.unit).dimension]))
            try:
                gains.append(conversion(units.get(field.wire_name, own), field.unit))
            except ContractError as error:
                raise ContractError(f"{where}: {field.wire_name}: {error}") from None
        self._gains = np.array(gains)

    def read(self, message: Any) -> Array:
        """Return (fields,) positions in the units of the sink's fields.

        Raises:
            InputError: a joint is missing, doubled or not finite.
        """
        return self._reader.read(message) * self._gains


def find_feedback(robot: RobotContract, sink: CommandSink) -> Feedback | None:
    """Return where a sink's joints are measured.

    That is its ``feedback`` topic, else the first JointState input whose fields read the positions
    of all its joints in units of the same dimension. None where there is neither, or the sink does
    not take positions.

    Raises:
        ContractError: ``feedback`` is no JointState input, or its units do not fit.
    """
    if sink.quantity != "position":
        return None
    states = {t.topic: i for i, t in enumerate(robot.inputs) if t.type == JOINT_STATE}
    if sink.feedback:
        if sink.feedback not in states:
            raise ContractError(
                f"{robot.source}: {sink.topic}: feedback '{sink.feedback}' is no JointState input; "
                f"there are {listed(states)}"
            )
        return Feedback(robot, sink, states[sink.feedback])
    for index in states.values():
        fields = robot.inputs[index].fields
        measured = {name for f in fields if f.path == "position" for name in f.names}
        if measured.issuperset(sink.wire_names):
            with contextlib.suppress(ContractError):  # in another kind of unit: not what is meant
                return Feedback(robot, sink, index)
    return None
