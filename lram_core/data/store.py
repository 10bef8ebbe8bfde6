"""The dataset store: contiguous arrays read through memory maps, and an index of episodes.

A dataset is a folder::

    dataset.json        schema, provenance, checksums
    episodes.parquet    a row an episode: task, seed, start, length, return, success, noise, source
    observations.npy    float32 (N, observation_size), without pixels
    pictures.npy        uint8 (N, pixels), where there are any
    actions.npy         float32 (N, action_size)
    rewards.npy         float32 (N,)

Opening it reads the two small files only; a window of an episode is read when it is asked for.
:mod:`lram_core.data.writer` writes datasets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lram_core.data.files import sha256
from lram_core.data.pictures import PictureLayout, PictureRows
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.writer import (
    ARRAYS,
    DESCRIPTION,
    FORMAT_VERSION,
    INDEX,
    PICTURES,
    WITH_PICTURES,
)
from lram_core.errors import DataError, LramError, listed
from lram_core.returns import returns_to_go

HASHED = 1 << 30  # bytes; a larger file is hashed only on request: that takes minutes
_COLUMNS = ("task", "seed", "start", "length", "return", "success", "noise")


@dataclass(frozen=True)
class Window:
    """Consecutive ticks of one episode; the first three arrays are views of the memory maps.

    Attributes:
        observations: float32 (length, observation_size).
        actions: float32 (length, action_size).
        rewards: float32 (length,), of the actions.
        returns_to_go: float32 (length,), before each action; in reward units, not scaled.
        start: number of the first tick within the episode.
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    returns_to_go: npt.NDArray[np.float32]
    start: int


@dataclass(frozen=True)
class Dataset:
    """A dataset opened for reading; the arrays are memory maps.

    Observations with pictures are :class:`lram_core.data.pictures.PictureRows`, which are indexed
    as an array is.

    Attributes:
        path: the folder.
        schema: meaning of the arrays' columns.
        provenance: how the data came about.
        checksums: SHA-256 of each file.
        episodes: table with the columns of ``episodes.parquet``.
        observations, actions, rewards: float32 (N, …) over all episodes end to end.
    """

    path: Path
    schema: DatasetSchema
    provenance: dict[str, Any]
    checksums: dict[str, str]
    episodes: pa.Table
    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]

    @classmethod
    def open(cls, path: Path | str) -> Dataset:
        """Open a dataset. Raises DataError naming the file that is missing or does not fit."""
        folder = Path(path)
        if not (folder / DESCRIPTION).is_file():
            raise DataError(f"{folder}: no dataset here ({DESCRIPTION} is missing)")
        try:
            description = json.loads((folder / DESCRIPTION).read_text())
            version = description["format_version"]
            if version not in (FORMAT_VERSION, WITH_PICTURES):
                raise DataError(
                    f"{folder}: format_version {version} found, this release reads "
                    f"{FORMAT_VERSION} and {WITH_PICTURES}"
                )
            schema = DatasetSchema.from_dict(description["schema"])
            arrays: dict[str, Any] = {
                n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in ARRAYS
            }
            if version == WITH_PICTURES:
                arrays["observations"] = _with_pictures(folder, arrays["observations"], schema)
            episodes = pq.read_table(folder / INDEX, memory_map=True)
            dataset = cls(
                path=folder,
                schema=schema,
                provenance=description["provenance"],
                checksums=description["sha256"],
                episodes=episodes,
                **arrays,
            )
            missing = [name for name in _COLUMNS if name not in episodes.column_names]
            if missing:
                raise KeyError(f"column {listed(missing)} of {INDEX}")
            dataset._check_sizes()
        except LramError:
            raise
        except Exception as error:  # damaged files make the libraries fail in many ways
            raise DataError(
                f"{folder}: corrupt dataset ({type(error).__name__}: {error})"
            ) from None
        return dataset

    def _check_sizes(self) -> None:
        """Raises DataError unless the index and the arrays are as long and wide as they must be."""
        starts, lengths = self.column("start"), self.column("length")
        if not len(lengths):
            raise DataError(f"{self.path}: no episode in it")
        if (empty := np.flatnonzero(lengths < 1)).size:
            raise DataError(f"{self.path}/{INDEX}: episode {empty[0]} has no tick")
        steps = int(lengths.sum())
        if not np.array_equal(starts, np.cumsum(lengths) - lengths):
            raise DataError(f"{self.path}/{INDEX}: episodes do not follow each other")
        widths: dict[str, tuple[int, ...]] = {
            "observations": (self.schema.observation_size,),
            "actions": (self.schema.action_size,),
            "rewards": (),
        }
        for name, width in widths.items():
            array = getattr(self, name)
            if array.dtype != np.float32:
                raise DataError(f"{self.path}/{name}.npy: {array.dtype} found, not float32")
            if array.shape != (steps, *width):
                raise DataError(
                    f"{self.path}/{name}.npy: shape {array.shape} found, "
                    f"index and schema say {(steps, *width)}"
                )

    def verify(self, thorough: bool = False) -> None:
        """Compare files with their recorded checksums.

        Args:
            thorough: hash files above 1 GiB as well. Opening has checked the sizes of all.

        Raises:
            DataError: naming the first file whose checksum is not the recorded one.
        """
        for file, expected in self.checksums.items():
            path = self.path / file
            if not thorough and path.stat().st_size > HASHED:
                continue
            found = sha256(path)
            if found != expected:
                raise DataError(f"{path}: checksum {found[:12]}… found, {expected[:12]}… recorded")

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one column of the episode index as an array."""
        column = self.episodes.column(name)
        if pa.types.is_string(column.type) or pa.types.is_dictionary(column.type):
            return np.asarray(column.to_pylist())
        return np.asarray(column.to_numpy())

    @property
    def task_names(self) -> list[str]:
        return sorted(self.episodes.column("task").unique().to_pylist())

    @property
    def steps(self) -> int:
        return len(self.rewards)

    def __len__(self) -> int:
        return int(self.episodes.num_rows)

    def window(self, episode: int, start: int = 0, length: int | None = None) -> Window:
        """Return ticks of one episode; only their pages of the files are read.

        Args:
            episode: number of the episode.
            start: its first tick.
            length: number of ticks; None for the rest of the episode.

        Raises:
            DataError: there is no such episode, or it has not these ticks.
        """
        begin, count, total = self._span(episode)
        stop = count if length is None else start + length
        if not 0 <= start < stop <= count:
            raise DataError(
                f"{self.path}: episode {episode} has ticks 0 … {count - 1}, asked for "
                f"{start} … {stop - 1}"
            )
        rewards = self.rewards[begin : begin + stop]
        rows = slice(begin + start, begin + stop)
        return Window(
            observations=self.observations[rows],
            actions=self.actions[rows],
            rewards=rewards[start:],
            returns_to_go=returns_to_go(rewards, total)[start:].astype(np.float32),
            start=start,
        )

    def episode(self, number: int) -> Episode:
        """Return one episode; its arrays are views of the memory maps. Raises as window."""
        begin, count, _ = self._span(number)
        row = self.episodes.slice(number, 1).to_pylist()[0]
        rows = slice(begin, begin + count)
        return Episode(
            observations=self.observations[rows],
            actions=self.actions[rows],
            rewards=self.rewards[rows],
            task=row["task"],
            seed=row["seed"],
            success=row["success"],
            noise=row["noise"],
            source=row.get("source") or "",
        )

    def _span(self, number: int) -> tuple[int, int, float]:
        """First row, length and return of an episode."""
        if not 0 <= number < len(self):
            raise DataError(f"{self.path}: no episode {number}; there are 0 … {len(self) - 1}")
        columns = (self.episodes.column(name) for name in ("start", "length", "return"))
        begin, count, total = (column[number].as_py() for column in columns)
        return begin, count, total


def _with_pictures(
    folder: Path, values: npt.NDArray[np.float32], schema: DatasetSchema
) -> PictureRows:
    """Open the pixels. Raises DataError where they do not fit schema and other values."""
    layout = PictureLayout.of(schema.observation)
    pixels = np.load(folder / f"{PICTURES}.npy", mmap_mode="r")
    expected = {
        PICTURES: (pixels, np.uint8, (len(values), layout.pixels)),
        "observations": (values, np.float32, (len(values), len(layout.others))),
    }
    for name, (array, kind, shape) in expected.items():
        if array.dtype != kind or array.shape != shape:
            raise DataError(
                f"{folder}/{name}.npy: {array.dtype} of shape {array.shape} found, schema and "
                f"observations say {np.dtype(kind)} of {shape}"
            )
    return PictureRows(values, pixels, layout)
