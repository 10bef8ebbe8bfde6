"""The dataset store: contiguous arrays read through memory maps, and an index of episodes.

A dataset is a folder::

    dataset.json        schema, provenance, checksums
    episodes.parquet    one row an episode: task, seed, start, length, return, success, noise
    observations.npy    float32 (N, observation_size)
    actions.npy         float32 (N, action_size)
    rewards.npy         float32 (N,)

Opening it reads the two small files only. Collection writes *parts* first (one compressed file a
batch of episodes, each whole or absent), so that an interrupted run resumes where it was.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lram_core.data.files import atomic_folder, atomic_path, sha256
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.errors import DataError
from lram_core.returns import episode_return

FORMAT_VERSION = 1
ARRAYS = ("observations", "actions", "rewards")
INDEX_COLUMNS = ("task", "seed", "success", "noise", "length")


def write_part(path: Path, episodes: list[Episode]) -> None:
    """Write episodes to one compressed file, whole or not at all (a part may be empty)."""
    for episode in episodes:
        episode.check()
    columns = {
        "task": np.array([e.task for e in episodes], dtype=np.str_),
        "seed": np.array([e.seed for e in episodes], dtype=np.int64),
        "success": np.array([e.success for e in episodes], dtype=np.bool_),
        "noise": np.array([e.noise for e in episodes], dtype=np.float64),
        "length": np.array([len(e.rewards) for e in episodes], dtype=np.int64),
    }
    arrays = (
        {name: np.concatenate([getattr(e, name) for e in episodes]) for name in ARRAYS}
        if episodes
        else {}
    )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **columns, **arrays)


def read_part(path: Path) -> list[Episode]:
    """Read the episodes of a part. Raises DataError naming the file if it is unreadable."""
    try:
        with np.load(path, allow_pickle=False) as data:
            columns = {name: data[name] for name in INDEX_COLUMNS}
            ends = np.cumsum(columns["length"])
            arrays = {name: data[name] for name in ARRAYS} if len(ends) else {}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable part of a dataset ({error})") from None
    episodes = []
    for row, (length, end) in enumerate(zip(columns["length"], ends, strict=True)):
        episodes.append(
            Episode(
                **{name: array[end - length : end] for name, array in arrays.items()},
                task=str(columns["task"][row]),
                seed=int(columns["seed"][row]),
                success=bool(columns["success"][row]),
                noise=float(columns["noise"][row]),
            )
        )
    return episodes


def merge_parts(
    parts: Iterable[Path], out_dir: Path, schema: DatasetSchema, provenance: dict[str, Any]
) -> None:
    """Join parts, in the order given, into a dataset folder; it appears whole or not at all.

    Args:
        parts: files of :func:`write_part`.
        out_dir: the dataset's folder.
        schema: what the arrays hold.
        provenance: how the data came about, kept as is in ``dataset.json``.

    Raises:
        DataError: a part is unreadable, does not fit ``schema``, or there is no episode.
    """
    widths = {"observations": schema.observation_size, "actions": schema.action_size}
    chunks: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in ARRAYS}
    rows: list[dict[str, Any]] = []
    start = 0
    for part in parts:
        for episode in read_part(part):
            for name, width in widths.items():
                if getattr(episode, name).shape[1:] != (width,):
                    raise DataError(
                        f"{part}: {name} have shape {getattr(episode, name).shape[1:]} a step, "
                        f"the schema says ({width},)"
                    )
            for name in ARRAYS:
                chunks[name].append(getattr(episode, name))
            rows.append(
                {
                    "task": episode.task,
                    "seed": episode.seed,
                    "start": start,
                    "length": len(episode.rewards),
                    "return": episode_return(episode.rewards, episode.success, schema.reward),
                    "success": episode.success,
                    "noise": episode.noise,
                }
            )
            start += len(episode.rewards)
    if not rows:
        raise DataError(f"{out_dir}: no episode to write")
    with atomic_folder(out_dir) as folder:
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", np.concatenate(chunks[name]))
            chunks[name].clear()
        pq.write_table(pa.Table.from_pylist(rows), folder / "episodes.parquet")
        files = [*(f"{name}.npy" for name in ARRAYS), "episodes.parquet"]
        description = {
            "format_version": FORMAT_VERSION,
            "episodes": len(rows),
            "steps": start,
            "schema": schema.to_dict(),
            "provenance": provenance,
            "sha256": {file: sha256(folder / file) for file in files},
        }
        (folder / "dataset.json").write_text(json.dumps(description, indent=1) + "\n")


@dataclass(frozen=True)
class Dataset:
    """A dataset opened for reading; the arrays are memory maps.

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
        if not (folder / "dataset.json").is_file():
            raise DataError(f"{folder}: no dataset here (dataset.json is missing)")
        try:
            description = json.loads((folder / "dataset.json").read_text())
            version = description["format_version"]
            if version != FORMAT_VERSION:
                raise DataError(
                    f"{folder}: format_version {version} found, this release reads {FORMAT_VERSION}"
                )
            arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in ARRAYS}
            episodes = pq.read_table(folder / "episodes.parquet")
            dataset = cls(
                path=folder,
                schema=DatasetSchema.from_dict(description["schema"]),
                provenance=description["provenance"],
                checksums=description["sha256"],
                episodes=episodes,
                **arrays,
            )
            starts, lengths = dataset.column("start"), dataset.column("length")
            for name in ("task", "seed", "return", "success", "noise"):
                dataset.column(name)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise DataError(
                f"{folder}: corrupt dataset ({type(error).__name__}: {error})"
            ) from None
        steps = int(lengths.sum())
        if not np.array_equal(starts, np.cumsum(lengths) - lengths):
            raise DataError(f"{folder}/episodes.parquet: episodes do not follow each other")
        widths: dict[str, tuple[int, ...]] = {
            "observations": (dataset.schema.observation_size,),
            "actions": (dataset.schema.action_size,),
            "rewards": (),
        }
        for name, width in widths.items():
            if arrays[name].shape != (steps, *width):
                raise DataError(
                    f"{folder}/{name}.npy: shape {arrays[name].shape} found, "
                    f"index and schema say {(steps, *width)}"
                )
        return dataset

    def verify(self) -> None:
        """Raises DataError naming the first file whose checksum is not the recorded one."""
        for file, expected in self.checksums.items():
            found = sha256(self.path / file)
            if found != expected:
                raise DataError(
                    f"{self.path / file}: checksum {found[:12]}… found, {expected[:12]}… recorded"
                )

    def column(self, name: str) -> npt.NDArray[Any]:
        """Return one column of the episode index as an array."""
        return np.asarray(self.episodes.column(name).to_pylist())

    @property
    def task_names(self) -> list[str]:
        return sorted(set(self.episodes.column("task").to_pylist()))
