"""From the fields of a source to those of a schema: by name, or by position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lram_core.contract import ActionField, ObservationField
from lram_core.data.importers.source import UNKNOWN, Array, ImportOptions
from lram_core.data.schema import DatasetSchema
from lram_core.errors import DataError, listed


@dataclass(frozen=True)
class SourceField:
    """One named piece of a source's observation: values a tick and unit."""

    name: str
    size: int
    unit: str = "1"


class Layout:
    """Brings a source's observations and actions into the order of a schema.

    Attributes:
        schema: of the result.
        notes: how fields were matched, where that is not by name.
    """

    def __init__(
        self,
        where: str,
        observation: Sequence[SourceField],
        action: Sequence[ActionField],
        found: DatasetSchema,
        options: ImportOptions,
    ) -> None:
        """Args:
            where: what is imported, for messages.
            observation: fields of the source's observation vector, in its order.
            action: of its action vector.
            found: what the source says of itself; used where ``options`` says nothing.
            options: of the user.

        Raises:
            DataError: the source does not have what ``options.like`` asks for, or is of another
                robot, gripper or rate.
        """
        self.notes: list[str] = []
        self._assembled = False
        self._action_order: list[int] | None = None
        if options.like is None:
            fields = tuple(ObservationField(f.name, f.size, f.unit) for f in observation)
            self.schema = replace(found, observation=fields, action=tuple(action))
            return
        like = options.like
        _check_same_robot(where, found, like, options)
        self.schema = like
        self._source = list(observation)
        self._match_observation(where, like)
        self._match_action(where, list(action), like)

    def observations(self, values: Array) -> npt.NDArray[np.float32]:
        """Return (T, observation_size) of one episode from the source's (T, size)."""
        if not self._assembled:
            return np.ascontiguousarray(values, dtype=np.float32)
        ends = np.cumsum([f.size for f in self._source])
        parts = {
            f.name: values[:, end - f.size : end] for f, end in zip(self._source, ends, strict=True)
        }
        # As ObservationAssembler does it, tick by tick: at an episode's start the past is taken to
        # equal the first reading.
        ticks = np.arange(len(values))
        columns = [parts[f.name][np.maximum(ticks - f.delay, 0)] for f in self.schema.observation]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def actions(self, values: Array) -> npt.NDArray[np.float32]:
        """Return (T, action_size) of one episode from the source's."""
        if self._action_order is not None:
            values = values[:, self._action_order]
        return np.ascontiguousarray(values, dtype=np.float32)

    def _match_observation(self, where: str, like: DatasetSchema) -> None:
        ours = {f.name: f.size for f in self._source}
        wanted = {f.name: f.size for f in like.observation}
        if all(ours.get(name) == size for name, size in wanted.items()):
            self._assembled = True
            return
        size = sum(f.size for f in self._source)
        if size != like.observation_size:
            raise DataError(
                f"{where}: observation fields {_sizes(ours)}, {size} values; "
                f"expected {_sizes(wanted)}, {like.observation_size} values"
            )
        self.notes.append(
            f"observation fields were matched by position: {listed(ours)} became {listed(wanted)}"
        )

    def _match_action(self, where: str, action: list[ActionField], like: DatasetSchema) -> None:
        ours, wanted = [f.name for f in action], [f.name for f in like.action]
        if len(ours) != len(wanted):
            raise DataError(
                f"{where}: {len(ours)} action fields ({listed(ours)}), "
                f"expected {len(wanted)} ({listed(wanted)})"
            )
        if set(ours) == set(wanted):
            self._action_order = [ours.index(name) for name in wanted]
        else:
            self.notes.append(
                f"action fields were matched by position: {listed(ours)} became {listed(wanted)}"
            )


def _check_same_robot(
    where: str, found: DatasetSchema, like: DatasetSchema, options: ImportOptions
) -> None:
    for name in ("robot", "gripper"):
        ours, theirs = getattr(found, name), getattr(like, name)
        if ours and ours != theirs and ours != UNKNOWN:
            raise DataError(
                f"{where}: {name} is '{ours}', expected '{theirs}'; if they are the same, "
                f"say so with --{name} {theirs}"
            )
    if not np.isclose(found.control_rate, like.control_rate, rtol=1e-6):
        raise DataError(
            f"{where}: control rate is {found.control_rate:g} Hz, expected {like.control_rate:g} Hz"
        )


def _sizes(fields: dict[str, int]) -> str:
    return listed(f"{name} ({size})" for name, size in fields.items())
