"""Minari datasets, read by the ``minari`` library itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.contract import ActionField
from lram_core.data.importers.layout import Layout, SourceField
from lram_core.data.importers.source import (
    UNKNOWN,
    Array,
    ImportOptions,
    base_schema,
    damaged,
    limits_of,
    needs,
)
from lram_core.data.schema import Episode
from lram_core.errors import DataError, listed


class MinariSource:
    """A dataset of Minari's local store, or a folder of one.

    Attributes: as in :class:`lram_core.data.importers.source.Source`.
    """

    format = "minari"

    def __init__(self, dataset: str, options: ImportOptions) -> None:
        """Open a dataset; nothing is downloaded.

        Args:
            dataset: name in the local store (``~/.minari/datasets``, or MINARI_DATASETS_PATH),
                or a folder that holds ``data/main_data.hdf5`` or its like.
            options: of the user.

        Raises:
            DataError: there is no such dataset, it is damaged, or its spaces are not vectors of
                numbers.
        """
        minari = needs("minari", "reading Minari datasets")
        self.path = _folder(minari, dataset)
        with damaged(dataset):
            self._data = minari.MinariDataset(self.path)
            metadata = self._data.storage.metadata
        self.total = self._data.total_episodes
        if not self.total:
            raise DataError(f"{dataset}: no episode in it")
        fields = _fields(self._data.observation_space, str(dataset))
        space = self._data.action_space
        if type(space).__name__ != "Box" or len(space.shape) != 1:
            raise DataError(f"{dataset}: actions are {space}; a vector (Box) is expected")
        spec = self._data.env_spec
        name = options.tasks[0] if len(options.tasks) == 1 else spec.id if spec else ""
        self._task = name or self.path.parent.name
        env = {} if spec is None else dict(spec.kwargs or {})
        found = base_schema(
            options,
            suite="minari",
            robot=UNKNOWN,
            gripper=UNKNOWN,
            control_rate=env.get("control_freq"),
            reward="reward of the environment",
            where=str(dataset),
        )
        finite = np.isfinite(space.low).all() and np.isfinite(space.high).all()
        limits = (
            list(zip(space.low.tolist(), space.high.tolist(), strict=True))
            if finite
            else limits_of(*self._action_range())
        )
        actions = [
            ActionField(f"action_{i}", options.unit, options.kind or "native", low, high)
            for i, (low, high) in enumerate(limits)
        ]
        self._layout = Layout(str(dataset), fields, actions, found, options)
        self.schema = self._layout.schema
        self.notes = [*self._layout.notes]
        self.parameters: dict[str, Any] = {"dataset_id": str(metadata.get("dataset_id", ""))}

    def episodes(self, first: int = 0) -> Iterator[Episode]:
        """Yield the episodes; an observation after the last action is left out."""
        for number in range(first, self.total):
            where = f"{self.path}: episode {number}"
            with damaged(where):
                found = next(iter(self._data.iterate_episodes([number])))
            rows = len(found.rewards)
            observations = np.concatenate(
                [np.asarray(part, np.float64).reshape(len(part), -1)[:rows] for part in
                 _parts(found.observations)],
                axis=1,
            )  # fmt: skip
            yield Episode(
                observations=self._layout.observations(observations),
                actions=self._layout.actions(np.asarray(found.actions)),
                rewards=np.asarray(found.rewards, dtype=np.float32),
                task=self._task,
                seed=number,
                success=_success(found, rows),
                noise=0.0,
                source=where,
            )

    def _action_range(self) -> tuple[Array, Array]:
        lows, highs = zip(
            *((e.actions.min(0), e.actions.max(0)) for e in self._data.iterate_episodes()),
            strict=True,
        )
        return np.min(lows, 0), np.max(highs, 0)


def _folder(minari: Any, dataset: str) -> Path:
    given = Path(dataset)
    if (given / "metadata.json").is_file():
        return given
    if (given / "data" / "metadata.json").is_file():
        return given / "data"
    store = os.environ.get("MINARI_DATASETS_PATH", "~/.minari/datasets")
    try:
        names = list(minari.list_local_datasets())
    except (OSError, ValueError):
        names = []
    if dataset not in names:
        raise DataError(
            f"{dataset}: no Minari dataset: neither a folder with metadata.json, nor in {store}, "
            f"which has {listed(names)}"
        )
    return Path(minari.load_dataset(dataset).storage.data_path)


def _fields(space: Any, where: str, name: str = "observation") -> list[SourceField]:
    """A field for each leaf of the observation space, in the order of Minari's own parts."""
    kind = type(space).__name__
    if kind == "Dict":
        return [f for key, part in space.spaces.items() for f in _fields(part, where, str(key))]
    if kind == "Tuple":
        return [
            f for i, part in enumerate(space.spaces) for f in _fields(part, where, f"{name}_{i}")
        ]
    if kind != "Box" or len(space.shape) > 1:
        raise DataError(f"{where}: {name} is {space}; vectors of numbers (Box) are expected")
    return [SourceField(name, int(np.prod(space.shape, dtype=int)))]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for inner in value.values() for part in _parts(inner)]
    if isinstance(value, tuple):
        return [part for inner in value for part in _parts(inner)]
    return [value]


def _success(found: Any, rows: int) -> bool:
    """Whether the environment said so (``success`` or ``is_success`` in its infos)."""
    for key in ("success", "is_success"):
        flags = found.infos.get(key) if isinstance(found.infos, dict) else None
        if flags is not None and len(flags):
            return bool(np.asarray(flags, dtype=float)[-rows:].any())
    return False
