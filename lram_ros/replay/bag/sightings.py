"""Which readings a tick of a live run saw, by what it saw.

A bag that is played comes a little later than it was recorded, by an unknown and changing time, so
ages alone do not tell neighbouring readings apart. Their values do, and the trace has those.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.errors import LramError
from lram_ros.bags.recording import Bag
from lram_ros.contract_check import field_readers
from lram_ros.message_fields import FieldReader
from lram_ros.replay.bag.record import BagRecord
from lram_ros.robot_contract import RobotContract

_AROUND = 20  # readings on each side of the one that the ages point to


class Sightings:
    """The values of every reading, as they stand in an observation.

    Left out are pictures, and fields that are made of several readings.
    """

    def __init__(
        self, bag: Bag, record: BagRecord, robot: RobotContract, policy: PolicyContract
    ) -> None:
        self._record = record
        starts, start = {}, 0
        for field in policy.observation:
            if field.delay == 0:
                starts[field.name] = start
            start += field.size
        self._columns: list[list[int]] = []
        readers: list[list[FieldReader]] = []
        for topic in robot.topics:
            found = [
                reader
                for reader in (field_readers(robot, topic, policy) if topic in robot.inputs else [])
                if reader.source.history == 1
                and reader.source.image is None
                and reader.source.name in starts
            ]
            readers.append(found)
            self._columns.append(
                [
                    starts[reader.source.name] + place
                    for reader in found
                    for place in range(reader.size or 0)
                ]
            )
        rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in readers]
        places = {name: index for index, name in enumerate(record.inputs)}
        for message in bag.messages(list(record.inputs)):
            index = places[message.topic]
            size = len(self._columns[index])
            values = np.full(size, np.nan, dtype=np.float32)
            if size:
                decoded = bag.decode(message)
                try:
                    parts = [reader.read(decoded) for reader in readers[index]]
                    values = np.concatenate(parts).astype(np.float32)
                except LramError:
                    pass  # the node refuses it too: no tick saw it
            rows[index].append(values)
        self._tables = [np.array(found, dtype=np.float32) for found in rows]

    def correct(self, chosen: npt.NDArray[np.int64]) -> None:
        """Move every choice, (ticks, inputs), to the nearest reading with the values seen."""
        for column, (table, places) in enumerate(zip(self._tables, self._columns, strict=True)):
            if not places:
                continue
            least = 0
            for row, trace in enumerate(self._record.traces):
                seen = np.asarray(trace.message.observation, dtype=np.float32)[places]
                middle = int(chosen[row, column])
                start = max(least, middle - _AROUND)
                same = np.flatnonzero((table[start : middle + _AROUND + 1] == seen).all(axis=1))
                if len(same):
                    candidates = same + start
                    middle = int(candidates[np.abs(candidates - middle).argmin()])
                least = chosen[row, column] = max(least, middle)
