"""Writing a dataset: episode by episode, in constant memory; it appears whole or not at all.

While it grows, the dataset is a folder of another name that nothing opens: the arrays, each behind
the place of its header, and a journal with one line an episode. A line is written after its rows,
so what the journal holds is complete, and a writer that was killed can go on from there.
"""

from __future__ import annotations

import fcntl
import glob
import io
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lram_core.data.files import sha256
from lram_core.data.pictures import PictureLayout
from lram_core.data.schema import DatasetSchema, Episode
from lram_core.errors import DataError, LramError, listed
from lram_core.returns import episode_return

FORMAT_VERSION, WITH_PICTURES = 1, 2
"""Of a dataset without pictures, as ever; and of one with them, which earlier releases cannot read.
They kept pixels among the observations."""
ARRAYS = ("observations", "actions", "rewards")
PICTURES = "pictures"
"""A fourth array, of what the observations see in pictures."""
INDEX = "episodes.parquet"
DESCRIPTION = "dataset.json"
_JOURNAL, _SOURCE, _LOCK = "journal.jsonl", "source.json", "lock"
_HEADER = 128  # bytes numpy gives the header of an array of any length
_ROW_GROUP = 1 << 16


class DatasetWriter:
    """Writes a dataset; use as a context manager and end with :meth:`finish`.

    Without ``source`` whatever ends the block early leaves nothing. With it, an interruption
    (Ctrl-C, a killed process) leaves ``<out>.partial``, and a writer of the same source goes on
    from there; bad input (an LramError) leaves nothing in either case.

    Attributes:
        episodes: number of episodes that are written; not 0 at the start of a continued one.
        steps: their control ticks.
    """

    def __init__(
        self, out: Path, schema: DatasetSchema, source: dict[str, Any] | None = None
    ) -> None:
        """Args:
            out: the dataset's folder; must not exist.
            schema: what the arrays hold.
            source: everything that determines the episodes, as plain data.

        Raises:
            DataError: ``out`` exists, another process writes it, or an interrupted writer of
                another source left ``<out>.partial``.
        """
        self.out = Path(out)
        self.schema = schema
        self.episodes = self.steps = 0
        if self.out.exists():
            raise DataError(f"{self.out} is there already; name another folder, or remove it")
        self._widths: dict[str, tuple[int, ...]] = {
            "observations": (schema.observation_size,),
            "actions": (schema.action_size,),
            "rewards": (),
        }
        self._layout = PictureLayout.of(schema.observation)
        pixels = self._layout.pixels
        self._kinds: dict[str, tuple[str, tuple[int, ...]]] = {
            name: ("<f4", width) for name, width in self._widths.items()
        }
        if pixels:
            self._kinds["observations"] = "<f4", (schema.observation_size - pixels,)
            self._kinds[PICTURES] = "|u1", (pixels,)
        self._resumable = source is not None
        self._source = {"schema": schema.to_dict(), "source": source}
        suffix = ".partial" if self._resumable else f".{os.getpid()}.partial"
        hidden = "" if self._resumable else "."
        self.folder = self.out.with_name(f"{hidden}{self.out.name}{suffix}")
        self._rows: list[dict[str, Any]] = []
        self._files: dict[str, Any] = {}
        self._open()

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._close()
        kept = self._resumable and kind is not None and not issubclass(kind, LramError)
        if not kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, episode: Episode) -> None:
        """Append an episode.

        Raises:
            DataError: it is empty, not finite, or of other sizes than the schema.
        """
        episode.check()
        length = len(episode.rewards)
        for name, width in self._widths.items():
            shape = getattr(episode, name).shape
            if shape != (length, *width):
                raise DataError(
                    f"{episode.where}: {name} have shape {shape[1:]} a step, "
                    f"the schema says {width}"
                )
        row = {
            "task": episode.task,
            "seed": episode.seed,
            "start": self.steps,
            "length": length,
            "return": episode_return(episode.rewards, episode.success, self.schema.reward),
            "success": episode.success,
            "noise": episode.noise,
            "source": episode.source,
        }
        arrays = {name: getattr(episode, name) for name in ARRAYS}
        if PICTURES in self._kinds:
            both = self._layout.split(episode.observations, episode.where)
            arrays["observations"], arrays[PICTURES] = both
        for name, (kind, _) in self._kinds.items():
            file = self._files[name]
            file.write(np.ascontiguousarray(arrays[name], dtype=kind).data)
            file.flush()
        self._files[_JOURNAL].write(json.dumps(row).encode() + b"\n")
        self._files[_JOURNAL].flush()
        self._rows.append(row)
        self.episodes += 1
        self.steps += length

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Append episodes; those of a continued writer's beginning are in it already: leave
        ``self.episodes`` of them out."""
        for episode in episodes:
            self.add(episode)

    def finish(self, provenance: dict[str, Any], longest: bool = False) -> None:
        """Complete the dataset.

        Args:
            provenance: how the data came about, kept as is.
            longest: the schema's ``max_episode_steps`` becomes the longest episode's.

        Raises:
            DataError: no episode was written.
        """
        if not self._rows:
            raise DataError(f"{self.out}: no episode to write")
        if longest:
            most = max(row["length"] for row in self._rows)
            self.schema = replace(self.schema, max_episode_steps=most)
        for name, (kind, width) in self._kinds.items():
            self._files[name].seek(0)
            self._files[name].write(_header((self.steps, *width), kind))
        self._close()
        pq.write_table(pa.Table.from_pylist(self._rows), self.folder / INDEX, _ROW_GROUP)
        for name in self._kinds:
            (self.folder / name).rename(self.folder / f"{name}.npy")
        for name in (_JOURNAL, _SOURCE, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        files = [*(f"{name}.npy" for name in self._kinds), INDEX]
        description = {
            "format_version": WITH_PICTURES if PICTURES in self._kinds else FORMAT_VERSION,
            "episodes": self.episodes,
            "steps": self.steps,
            "schema": self.schema.to_dict(),
            "provenance": provenance,
            "sha256": {file: sha256(self.folder / file) for file in files},
        }
        (self.folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
        self.folder.rename(self.out)

    def _open(self) -> None:
        if self._resumable and self.folder.exists():
            self._check_source()
        else:
            self._sweep()
            self.folder.mkdir(parents=True)
            (self.folder / _SOURCE).write_text(json.dumps(self._source))
        self._lock()
        self._read_journal()
        for name, (kind, width) in self._kinds.items():
            path = self.folder / name
            path.touch()
            row = np.dtype(kind).itemsize * int(np.prod(width, dtype=np.int64))
            size = _HEADER + self.steps * row
            if self.episodes and path.stat().st_size < size:
                self._close()
                raise DataError(f"{path} is shorter than its journal says; remove {self.folder}")
            os.truncate(path, size)
            self._files[name] = path.open("r+b")
            self._files[name].seek(size)
        self._files[_JOURNAL] = (self.folder / _JOURNAL).open("ab")

    def _sweep(self) -> None:
        """Remove what killed writers of the same dataset left."""
        for folder in self.out.parent.glob(f".{glob.escape(self.out.name)}.*.partial"):
            number = folder.name.split(".")[-2]
            if number.isdigit() and not Path("/proc", number).exists():
                shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_source(self) -> None:
        try:
            recorded = json.loads((self.folder / _SOURCE).read_text())
        except (OSError, ValueError):
            raise DataError(
                f"{self.folder}: not an interrupted import (no readable {_SOURCE}); remove it, or "
                f"name another folder"
            ) from None
        ours = json.loads(json.dumps(self._source))
        if recorded != ours:
            before, now = recorded.get("source") or {}, ours["source"]
            different = [
                f"{key} {json.dumps(before.get(key))} (now {json.dumps(value)})"
                for key, value in now.items()
                if before.get(key) != value
            ]
            raise DataError(
                f"{self.folder} was begun with {listed(different or ['another schema'])}; "
                f"remove it, or name another folder"
            )

    def _lock(self) -> None:
        lock = (self.folder / _LOCK).open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DataError(f"{self.folder}: another process is writing it") from None
        self._files[_LOCK] = lock

    def _read_journal(self) -> None:
        path = self.folder / _JOURNAL
        whole = b""
        if path.exists():
            whole = path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]  # the last line may have been cut
        path.write_bytes(whole)
        self._rows = [json.loads(line) for line in whole.splitlines()]
        self.episodes = len(self._rows)
        self.steps = sum(row["length"] for row in self._rows)

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}


def _header(shape: tuple[int, ...], kind: str) -> bytes:
    """The header of an array file; always of the same size, so it can be written last."""
    buffer = io.BytesIO()
    fields = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, fields)
    header = buffer.getvalue()
    assert len(header) == _HEADER, len(header)
    return header
