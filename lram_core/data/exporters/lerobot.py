"""A dataset as a LeRobotDataset v3, with pyarrow alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lram_core.contract import ObservationField
from lram_core.data.files import atomic_folder
from lram_core.data.importers.lerobot import OWN, OWN_EPISODES
from lram_core.data.schema import Episode
from lram_core.data.store import Dataset
from lram_core.errors import DataError

CHUNKS, FILE_MB = 1000, 100  # files a folder, size of a file; the library's own defaults
_QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
_AXES = ("x", "y", "z", "w")
Progress = Callable[[int], None]


def export_lerobot(data: Dataset, out: Path, advance: Progress = lambda _: None) -> None:
    """Write a dataset as a LeRobotDataset v3; the folder appears whole or not at all.

    ``observation.state`` is the observation vector, ``action`` the action; rewards and the end
    are ``next.reward``, ``next.done`` and ``next.success``. Schema, seeds and success flags are
    kept beside the format's own files, so that an import gives back the same dataset.

    Args:
        data: the dataset.
        out: folder to write; must not exist.
        advance: called with the number of episodes just done.

    Raises:
        DataError: ``out`` exists.
    """
    if out.exists():
        raise DataError(f"{out} is there already; name another folder, or remove it")
    with atomic_folder(out) as folder:
        _Export(data, folder).write(advance)


class _Export:
    def __init__(self, data: Dataset, folder: Path) -> None:
        self._data, self._folder = data, folder
        self._tasks = {task: i for i, task in enumerate(data.task_names)}
        observation = [n for f in data.schema.observation for n in _names(f)]
        action = [field.name for field in data.schema.action]
        self._features: dict[str, dict[str, Any]] = {
            "observation.state": _feature("float32", len(observation), observation),
            "action": _feature("float32", len(action), action),
            "next.reward": _feature("float32", 1, None),
            "next.done": _feature("bool", 1, None),
            "next.success": _feature("bool", 1, None),
            "timestamp": _feature("float32", 1, None),
            **{
                name: _feature("int64", 1, None)
                for name in ("frame_index", "episode_index", "index", "task_index")
            },
        }
        self._types = pa.schema([(n, _arrow(f)) for n, f in self._features.items()])
        self._total = _Stats()

    def write(self, advance: Progress) -> None:
        rows = []
        chunk, file, size = 0, 0, 0.0
        writer = self._open(chunk, file)
        for number in range(len(self._data)):
            table = self._frames(number, self._data.episode(number))
            if size and size + table.nbytes > FILE_MB * 1e6:
                writer.close()
                chunk, file = (chunk, file + 1) if file + 1 < CHUNKS else (chunk + 1, 0)
                writer, size = self._open(chunk, file), 0.0
            writer.write_table(table)
            size += table.nbytes
            rows.append(self._row(number, table, chunk, file))
            advance(1)
        writer.close()
        self._write_meta(rows)

    def _open(self, chunk: int, file: int) -> pq.ParquetWriter:
        path = self._folder / f"data/chunk-{chunk:03d}/file-{file:03d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        return pq.ParquetWriter(path, self._types)

    def _frames(self, number: int, episode: Episode) -> pa.Table:
        rows = len(episode.rewards)
        start = int(self._data.episodes["start"][number].as_py())
        last = np.arange(rows) == rows - 1
        columns = {
            "observation.state": _lists(episode.observations),
            "action": _lists(episode.actions),
            "next.reward": pa.array(np.asarray(episode.rewards)),
            "next.done": pa.array(last),
            "next.success": pa.array(last & episode.success),
            "timestamp": pa.array(
                (np.arange(rows) / self._data.schema.control_rate).astype(np.float32)
            ),
            "frame_index": pa.array(np.arange(rows)),
            "episode_index": pa.array(np.full(rows, number)),
            "index": pa.array(np.arange(start, start + rows)),
            "task_index": pa.array(np.full(rows, self._tasks[episode.task])),
        }
        return pa.table(columns).cast(self._types)

    def _row(self, number: int, table: pa.Table, chunk: int, file: int) -> dict[str, Any]:
        index = self._data.episodes
        start, length = (int(index[name][number].as_py()) for name in ("start", "length"))
        row = {
            "episode_index": number,
            "tasks": [index["task"][number].as_py()],
            "length": length,
            "data/chunk_index": chunk,
            "data/file_index": file,
            "dataset_from_index": start,
            "dataset_to_index": start + length,
            "meta/episodes/chunk_index": 0,
            "meta/episodes/file_index": 0,
        }
        for name in self._features:
            values = _values(table[name])
            self._total.add(name, values)
            for key, value in _statistics(values).items():
                row[f"stats/{name}/{key}"] = value
        return row

    def _write_meta(self, rows: list[dict[str, Any]]) -> None:
        schema, meta = self._data.schema, self._folder / "meta"
        (meta / "episodes" / "chunk-000").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), meta / "episodes/chunk-000/file-000.parquet")
        _write_tasks(meta / "tasks.parquet", list(self._tasks))
        rate = schema.control_rate
        info = {
            "codebase_version": "v3.0",
            "robot_type": schema.robot,
            "total_episodes": len(self._data),
            "total_frames": self._data.steps,
            "total_tasks": len(self._tasks),
            "chunks_size": CHUNKS,
            "data_files_size_in_mb": FILE_MB,
            "video_files_size_in_mb": 200,
            "fps": int(rate) if rate == int(rate) else rate,
            "splits": {"train": f"0:{len(self._data)}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": None,
            "features": self._features,
        }
        own = {"schema": schema.to_dict(), "provenance": self._data.provenance}
        for name, content in (
            ("info.json", info),
            ("stats.json", self._total.result()),
            (Path(OWN).name, own),
        ):
            (meta / name).write_text(json.dumps(content, indent=4) + "\n")
        index = self._data.episodes
        if "source" not in index.column_names:
            index = index.append_column("source", pa.array([""] * index.num_rows))
        pq.write_table(index, self._folder / OWN_EPISODES)


class _Stats:
    """Statistics over all frames: exact but for the quantiles, which are means of the episodes'."""

    def __init__(self) -> None:
        self._parts: dict[str, list[tuple[int, dict[str, npt.NDArray[np.float64]]]]] = {}

    def add(self, name: str, values: npt.NDArray[Any]) -> None:
        found = {k: np.asarray(v, np.float64) for k, v in _statistics(values).items()}
        self._parts.setdefault(name, []).append((len(values), found))

    def result(self) -> dict[str, dict[str, list[float]]]:
        return {name: self._joined(parts) for name, parts in self._parts.items()}

    def _joined(self, parts: list[tuple[int, dict[str, Any]]]) -> dict[str, list[float]]:
        counts = np.array([count for count, _ in parts], np.float64)[:, None]
        total = counts.sum()

        def stack(key: str) -> npt.NDArray[np.float64]:
            return np.stack([found[key] for _, found in parts])

        mean = (stack("mean") * counts).sum(0) / total
        variance = ((stack("std") ** 2 + (stack("mean") - mean) ** 2) * counts).sum(0) / total
        joined = {
            "min": stack("min").min(0),
            "max": stack("max").max(0),
            "mean": mean,
            "std": np.sqrt(variance),
            "count": np.array([total]),
            **{key: (stack(key) * counts).sum(0) / total for key in _QUANTILES},
        }
        return {
            key: value.astype(int).tolist() if key == "count" else value.tolist()
            for key, value in joined.items()
        }


def _statistics(values: npt.NDArray[Any]) -> dict[str, list[float]]:
    wide = np.asarray(values, np.float64)
    found = {
        "min": wide.min(0).tolist(),
        "max": wide.max(0).tolist(),
        "mean": wide.mean(0).tolist(),
        "std": wide.std(0).tolist(),
        "count": [len(wide)],
    }
    quantiles = np.quantile(wide, list(_QUANTILES.values()), axis=0)
    return {**found, **dict(zip(_QUANTILES, quantiles.tolist(), strict=True))}


def _values(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        return np.asarray(array.flatten().to_numpy()).reshape(len(array), -1)
    return np.asarray(array.to_numpy(zero_copy_only=False)).reshape(len(array), 1)


def _lists(values: npt.NDArray[np.float32]) -> pa.Array:
    """A list each row; a single value is a plain number in this format."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.shape[1] == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _feature(dtype: str, size: int, names: list[str] | None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [size], "names": names}


def _arrow(feature: dict[str, Any]) -> pa.DataType:
    kind = {"float32": pa.float32(), "bool": pa.bool_(), "int64": pa.int64()}[feature["dtype"]]
    return pa.list_(kind, feature["shape"][0]) if feature["shape"][0] > 1 else kind


def _names(field: ObservationField) -> list[str]:
    """A name for each value: ``ee_position.x``, or with a number where there are not 3 or 4."""
    late = f".{field.delay}_ticks_ago" if field.delay else ""
    if field.size == 1:
        return [field.name + late]
    parts = _AXES if field.size in (3, 4) else [str(i) for i in range(field.size)]
    return [f"{field.name}.{part}{late}" for part, _ in zip(parts, range(field.size), strict=False)]


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """The library reads this table with pandas, the tasks as its index."""
    index, number = "__index_level_0__", "task_index"
    about: dict[str, Any] = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {"name": number, "field_name": number, "pandas_type": "int64", "numpy_type": "int64"},
            {"name": None, "field_name": index, "pandas_type": "unicode", "numpy_type": "object"},
        ],
    }
    for column in about["columns"]:
        column["metadata"] = None
    table = pa.table({number: pa.array(range(len(tasks)), pa.int64()), index: pa.array(tasks)})
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(about)}), path)
