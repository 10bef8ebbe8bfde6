"""Parts: one compressed file a batch of episodes, each whole or absent.

Collection writes them first, so that an interrupted run resumes where it was, and joins them into a
dataset.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.contract import ObservationField
from lram_core.data.files import atomic_path
from lram_core.data.pictures import PictureLayout
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.data.writer import ARRAYS, PICTURES, DatasetWriter
from lram_core.errors import DataError

_COLUMNS = ("task", "seed", "success", "noise", "length")


def write_part(path: Path, episodes: list[Episode]) -> None:
    """Write episodes to one compressed file, whole or not at all (a part may be empty)."""
    save_part(path, pack_part(episodes))


def save_part(path: Path, packed: bytes) -> None:
    """Write what :func:`pack_part` returned, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed)


def pack_part(episodes: list[Episode], observation: tuple[ObservationField, ...] = ()) -> bytes:
    """Return the file of :func:`write_part`; compressing it is the greater part of the work.

    Pictures among the fields of the ``observation`` are kept as bytes; :func:`read_part` is to be
    told of them, too.
    """
    for episode in episodes:
        episode.check()
    columns = {
        "task": np.array([e.task for e in episodes], dtype=np.str_),
        "seed": np.array([e.seed for e in episodes], dtype=np.int64),
        "success": np.array([e.success for e in episodes], dtype=np.bool_),
        "noise": np.array([e.noise for e in episodes], dtype=np.float64),
        "length": np.array([len(e.rewards) for e in episodes], dtype=np.int64),
        "source": np.array([e.source for e in episodes], dtype=np.str_),
    }
    arrays = (
        {name: np.concatenate([getattr(e, name) for e in episodes]) for name in ARRAYS}
        if episodes
        else {}
    )
    layout = PictureLayout.of(observation)
    if layout.pixels and episodes:
        where = f"episodes of {episodes[0].task}"
        arrays["observations"], arrays[PICTURES] = layout.split(arrays["observations"], where)
    packed = io.BytesIO()
    np.savez_compressed(packed, **columns, **arrays)
    return packed.getvalue()


def read_part(path: Path, observation: tuple[ObservationField, ...] = ()) -> list[Episode]:
    """Read the episodes of a part. Raises DataError naming the file if it is unreadable."""
    try:
        with np.load(path, allow_pickle=False) as data:
            columns = {name: data[name] for name in _COLUMNS}
            # Parts of an interrupted collection of an earlier release have none.
            none = np.full(len(columns["seed"]), "")
            columns["source"] = data.get("source", none)
            ends = np.cumsum(columns["length"])
            arrays = {name: data[name] for name in ARRAYS} if len(ends) else {}
            if PICTURES in data:
                layout = PictureLayout.of(observation)
                arrays["observations"] = layout.join(arrays["observations"], data[PICTURES])
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
                source=str(columns["source"][row]),
            )
        )
    return episodes


def merge_parts(
    parts: Iterable[Path], out_dir: Path, schema: DatasetSchema, provenance: dict[str, Any]
) -> None:
    """Join parts, in the order given, into a dataset folder; it appears whole or not at all.

    Args:
        parts: files of :func:`write_part`.
        out_dir: the dataset's folder; must not exist.
        schema: what the arrays hold.
        provenance: how the data came about, kept as is in ``dataset.json``.

    Raises:
        DataError: ``out_dir`` exists, a part is unreadable, does not fit ``schema``, or there is
            no episode.
    """
    with DatasetWriter(out_dir, schema) as writer:
        for part in parts:
            try:
                writer.extend(read_part(part, schema.observation))
            except DataError as error:
                text = str(error)
                raise DataError(text if str(part) in text else f"{part}: {text}") from None
        writer.finish(provenance)
