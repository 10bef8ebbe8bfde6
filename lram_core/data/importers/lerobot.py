"""LeRobotDataset v3: tables of frames, several episodes a file, and an index of episodes.

Read with pyarrow alone. Pictures and videos are left out: policies here take vectors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lram_core.contract import ActionField
from lram_core.data.importers.layout import Layout, SourceField
from lram_core.data.importers.source import UNKNOWN, Array, ImportOptions, base_schema, limits_of
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.errors import DataError, listed, one_line

VERSION = "v3."
OWN, OWN_EPISODES = "meta/lram.json", "meta/lram_episodes.parquet"
_PICTURES = ("image", "video")
_INDEX = ("episode_index", "length", "data/chunk_index", "data/file_index", "dataset_from_index")


class LeRobotSource:
    """A folder of a LeRobotDataset v3.

    A dataset that was exported from here carries its schema, seeds and success flags in files of
    its own, and comes back as it was.

    Attributes: as in :class:`lram_core.data.importers.source.Source`.
    """

    format = "lerobot"

    def __init__(self, path: Path, options: ImportOptions, features: tuple[str, ...] = ()) -> None:
        """Look through a dataset.

        Args:
            path: its folder, with ``meta/info.json``.
            options: of the user.
            features: observation features, in order; by default all vectors whose names begin
                with ``observation.``.

        Raises:
            DataError: it is no such dataset, of another version, or lacks a feature.
        """
        self.path = Path(path)
        self._info = self._read_info()
        self._features = self._info["features"]
        self._tasks = self._read_tasks()
        self._index = self._read_index(options)
        self.total = len(self._index["length"])
        self._own = self._read_own()
        chosen = self._choose(features)
        fields = [SourceField(_short(f), self._size(f)) for f in chosen]
        found = base_schema(
            options,
            suite="lerobot",
            robot=str(self._info.get("robot_type") or UNKNOWN),
            gripper=UNKNOWN,
            control_rate=float(self._info["fps"]),
            reward="next.reward of the dataset" if "next.reward" in self._features else "none: 0",
            where=str(self.path),
        )
        self._observation = chosen
        self._layout: Layout | None = None
        if self._own is not None and options.like is None:
            self.schema = self._own
        else:
            actions = self._action_fields(options)
            self._layout = Layout(str(self.path), fields, actions, found, options)
            self.schema = self._layout.schema
        self.notes = [] if self._layout is None else [*self._layout.notes]
        left_out = [n for n, f in self._features.items() if f["dtype"] in _PICTURES]
        if left_out:
            self.notes.append(f"pictures are left out: {listed(left_out)}")
        self.parameters = {"features": chosen, "tasks": list(options.tasks)}

    def episodes(self, first: int = 0) -> Iterator[Episode]:
        """Yield the episodes; a file is read once however many it holds."""
        opened, table, begin = None, None, 0
        for row in range(first, self.total):
            place = (self._index["data/chunk_index"][row], self._index["data/file_index"][row])
            if place != opened:
                opened, table = place, self._read_file(*place)
                begin = int(table["index"][0].as_py())
            assert table is not None
            start = int(self._index["dataset_from_index"][row]) - begin
            yield self._episode(row, table.slice(start, int(self._index["length"][row])))

    def _episode(self, row: int, frames: pa.Table) -> Episode:
        number = int(self._index["episode_index"][row])
        where = f"{self.path}: episode {number}"
        length = int(self._index["length"][row])
        found = np.asarray(frames["episode_index"].to_numpy())
        if len(found) != length or (found != number).any():
            raise DataError(
                f"{where}: {int((found == number).sum())} frames in its file, the index says "
                f"{length}"
            )
        frame = np.asarray(frames["frame_index"].to_numpy())
        if (frame != np.arange(length)).any():
            at = int(np.argmax(frame != np.arange(length)))
            raise DataError(f"{where}: frame {at} is numbered {int(frame[at])}")
        columns = [_matrix(frames[name]) for name in self._observation]
        observations, actions = np.concatenate(columns, 1), _matrix(frames["action"])
        if self._layout is not None:
            observations = self._layout.observations(observations)
            actions = self._layout.actions(actions)
        rewards = np.zeros(length, dtype=np.float32)
        if "next.reward" in frames.column_names:
            rewards = _matrix(frames["next.reward"])[:, 0].astype(np.float32)
        success = False
        if "next.success" in frames.column_names:
            success = bool(_matrix(frames["next.success"]).any())
        own = self._index.get("own")
        return Episode(
            observations=np.ascontiguousarray(observations, dtype=np.float32),
            actions=np.ascontiguousarray(actions, dtype=np.float32),
            rewards=rewards,
            task=self._tasks.get(int(frames["task_index"][0].as_py()), UNKNOWN),
            seed=int(own["seed"][row]) if own else number,
            success=bool(own["success"][row]) if own else success,
            noise=float(own["noise"][row]) if own else 0.0,
            source=str(own["source"][row]) if own else where,
        )

    def _read_info(self) -> dict[str, Any]:
        file = self.path / "meta" / "info.json"
        if not file.is_file():
            raise DataError(f"{self.path}: no LeRobotDataset here (meta/info.json is missing)")
        try:
            info: dict[str, Any] = json.loads(file.read_text())
            version = str(info["codebase_version"])
            if not version.startswith(VERSION):
                raise DataError(
                    f"{file}: codebase_version {version} found, {VERSION}x is read; lerobot "
                    f"converts older ones (convert_dataset_v21_to_v30)"
                )
            missing = [key for key in ("features", "fps", "data_path") if key not in info]
            if missing or "action" not in info["features"]:
                raise KeyError(listed(missing or ["features.action"]))
            for about in info["features"].values():
                _ = str(about["dtype"]), [int(size) for size in about["shape"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: not a dataset's description ({error})") from None
        return info

    def _read_tasks(self) -> dict[int, str]:
        table = _read(self.path / "meta" / "tasks.parquet")
        texts = next((n for n in table.column_names if n != "task_index"), None)
        if texts is None or "task_index" not in table.column_names:
            raise DataError(f"{self.path}/meta/tasks.parquet: no task_index and task in it")
        return dict(zip(table["task_index"].to_pylist(), table[texts].to_pylist(), strict=True))

    def _read_index(self, options: ImportOptions) -> dict[str, Any]:
        files = sorted((self.path / "meta" / "episodes").glob("*/*.parquet"))
        if not files:
            raise DataError(f"{self.path}: no index of episodes (meta/episodes/*/*.parquet)")
        columns = [*_INDEX, "tasks"]
        try:
            table = pa.concat_tables([_read(file, columns) for file in files])
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path}/meta/episodes: {error}") from None
        table = table.sort_by("episode_index")
        expected = self._info.get("total_episodes", table.num_rows)
        if table.num_rows != expected:
            raise DataError(
                f"{self.path}: {table.num_rows} episodes in the index, info.json says {expected}"
            )
        chosen = [i for i, t in enumerate(table["tasks"].to_pylist()) if any(map(options.wants, t))]
        if not chosen:
            raise DataError(
                f"{self.path}: no episode of {listed(options.tasks)}; "
                f"tasks are {listed(self._tasks.values())}"
            )
        table = table.take(chosen)
        found: dict[str, Any] = {name: table[name].to_numpy() for name in _INDEX}
        if (self.path / OWN_EPISODES).is_file():
            own = _read(self.path / OWN_EPISODES).take(chosen)
            found["own"] = {n: own[n].to_pylist() for n in ("seed", "success", "noise", "source")}
        return found

    def _read_own(self) -> DatasetSchema | None:
        file = self.path / OWN
        if not file.is_file():
            return None
        try:
            return DatasetSchema.from_dict(json.loads(file.read_text())["schema"])
        except (ValueError, KeyError) as error:
            raise DataError(f"{file}: not readable ({error})") from None

    def _read_file(self, chunk: int, number: int) -> pa.Table:
        relative = self._info["data_path"].format(
            chunk_index=int(chunk), file_index=int(number), chunk=int(chunk), file=int(number)
        )
        wanted = [*self._observation, "action", "index", "episode_index", "frame_index"]
        optional = [n for n in ("next.reward", "next.success") if n in self._features]
        return _read(self.path / relative, [*wanted, *optional, "task_index"])

    def _choose(self, features: tuple[str, ...]) -> list[str]:
        vectors = [
            name
            for name, about in self._features.items()
            if about["dtype"] not in (*_PICTURES, "string") and len(about["shape"]) <= 1
        ]
        if features:
            missing = [name for name in features if name not in vectors]
            if missing:
                raise DataError(
                    f"{self.path}: no vector {listed(missing)}; there are {listed(vectors)}"
                )
            return list(features)
        chosen = [name for name in vectors if name.startswith("observation")]
        if not chosen:
            raise DataError(
                f"{self.path}: no vector of observations; features are {listed(self._features)}"
            )
        return chosen

    def _size(self, feature: str) -> int:
        return int(np.prod(self._features[feature]["shape"], dtype=int))

    def _action_fields(self, options: ImportOptions) -> list[ActionField]:
        size = self._size("action")
        names = _names(self._features["action"].get("names"))
        if len(names) != size or len(set(names)) != size:
            names = [f"action_{i}" for i in range(size)]
        limits = limits_of(*self._action_range(size), usual=None)
        return [
            ActionField(name, options.unit, options.kind or _kind(name), low, high)
            for name, (low, high) in zip(names, limits, strict=True)
        ]

    def _action_range(self, size: int) -> tuple[Array, Array]:
        file = self.path / "meta" / "stats.json"
        try:
            stats = json.loads(file.read_text())["action"]
            low, high = np.asarray(stats["min"], float), np.asarray(stats["max"], float)
            if low.shape == high.shape == (size,):
                return low, high
            raise DataError(f"{file}: min and max of action are not {size} values")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: no range of action in it ({error})") from None


def _read(file: Path, columns: list[str] | None = None) -> pa.Table:
    if not file.is_file():
        raise DataError(f"{file}: the file is missing")
    try:
        return pq.read_table(file, columns=columns, partitioning=None)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise DataError(f"{file}: unreadable ({one_line(error)})") from None


def _matrix(column: pa.ChunkedArray) -> Array:
    """(rows, size) of a column of numbers or of lists of numbers."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunk at all, in older releases
        array = pa.concat_arrays(array.chunks)
    rows = len(array)
    kind = array.type
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return np.asarray(array.flatten().to_numpy(zero_copy_only=False)).reshape(rows, -1)
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(rows, -1)


def _names(names: Any) -> list[str]:
    """Names come as a list, or as a list under a heading such as ``motors``."""
    if isinstance(names, dict):
        return [str(n) for part in names.values() if isinstance(part, list) for n in part]
    return [str(n) for n in names] if isinstance(names, list) else []


def _kind(name: str) -> str:
    if "gripper" in name:
        return "gripper"
    return "joint_position" if name.endswith(".pos") else "native"


def _short(feature: str) -> str:
    return feature.removeprefix("observation.")
