"""The last ticks before a fault, kept in memory and written to one file. Free of ROS.

The file is a NumPy archive without pickle, with a JSON header: the vectors that went into the
policy and came out of it, which is what explains a fault and what can be fed to a policy again. It
needs no message types and no bag library, neither where it is written (a process that has just
failed) nor where it is read; the topics themselves are the recorder's business.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import DataError, listed, one_line

FORMAT = "lram black box"
FORMAT_VERSION = 1
# What numpy and zipfile raise on files that are no archives, damaged, or hold pickles.
_UNREADABLE = (
    *(OSError, ValueError, TypeError, AttributeError, EOFError, KeyError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
_REASON = "U120"  # longer ones are cut
# Array → type of its elements and the layout entry that names its columns ("" for one a tick).
_COLUMNS: dict[str, tuple[str, str]] = {
    "stamp": ("int64", ""),  # ns of ROS time
    "time": ("float64", ""),  # s of time.monotonic
    "episode": ("int64", ""),
    "tick": ("int64", ""),
    "observation": ("float32", "observation"),
    "reward": ("float64", ""),
    "return_to_go": ("float64", ""),
    "state_norm": ("float64", ""),
    "raw": ("float64", "actions"),
    "commanded": ("float64", "actions"),  # NaN where no command was sent
    "ages": ("float64", "inputs"),  # s
    "stages": ("float64", "stages"),  # s
    "lateness": ("float64", ""),  # s
    "reason": (_REASON, ""),  # why no or another command was sent; empty when all was well
}


@dataclass(frozen=True)
class Layout:
    """Names of the columns of a tick's vectors."""

    observation: tuple[str, ...]
    actions: tuple[str, ...]
    inputs: tuple[str, ...]
    stages: tuple[str, ...]

    def columns(self, name: str) -> int:
        """Number of columns of an array of the file."""
        names: tuple[str, ...] = getattr(self, name)
        return len(names)


@dataclass(frozen=True)
class Recording:
    """The ticks before a fault, oldest first.

    Attributes:
        layout: names of the columns.
        ticks: array name → values of every tick, (ticks,) or (ticks, columns); see _COLUMNS.
        reason: the fault, in one line.
        time: when it happened, UTC in ISO 8601.
        about: what else the header says: bundle, contract, runtime, machine.
    """

    layout: Layout
    ticks: dict[str, npt.NDArray[Any]]
    reason: str
    time: str
    about: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ticks["stamp"])

    def save(self, folder: Path | str) -> Path:
        """Write ``blackbox-TIME.npz`` into ``folder`` and return its path.

        The file appears whole or not at all, and replaces no other.

        Raises:
            DataError: it cannot be written.
        """
        folder = Path(folder)
        header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "reason": self.reason,
            "time": self.time,
            "layout": vars(self.layout),
            "about": self.about,
        }
        digits = "".join(c for c in self.time.partition("+")[0] if c.isalnum())
        partial = folder / f".blackbox-{digits}-{os.getpid()}.partial"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez_compressed(file, header=np.array(json.dumps(header)), **self.ticks)
                file.flush()
                os.fsync(file.fileno())
            number = 0
            while True:
                more = f"-{number}" if number else ""
                path = folder / f"blackbox-{digits}{more}.npz"
                try:
                    os.link(partial, path)  # unlike a rename it refuses to replace
                    return path
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise DataError(f"black box {folder}: not written: {error.strerror}") from None
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path | str) -> Recording:
        """Read a file of :meth:`save`.

        Raises:
            DataError: it is missing, no black box, of another version, or damaged.
        """
        where = f"black box {path}"
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: np.asarray(archive[name]) for name in archive.files}
        except FileNotFoundError:
            raise DataError(f"{where}: no such file") from None
        except _UNREADABLE as error:
            raise DataError(f"{where}: cannot be read: {one_line(error)}") from None
        header = _header(arrays.pop("header", None), where)
        layout = _layout(header.get("layout"), where)
        _check_arrays(arrays, layout, where)
        return cls(
            layout, arrays, str(header["reason"]), str(header["time"]), dict(header["about"])
        )


class BlackBox:
    """Keeps the last ticks. A tick writes into rows that exist since the start.

    Args:
        layout: names of the columns.
        capacity: ticks kept.
        about: facts for the header.

    Raises:
        ValueError: ``capacity`` is below 1.
    """

    def __init__(
        self, layout: Layout, capacity: int = 500, about: Mapping[str, str] | None = None
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, found {capacity}")
        self.layout = layout
        self._about = dict(about or {})
        self._capacity = capacity
        self._count = 0
        self._rows = {
            name: np.zeros((capacity, layout.columns(columns)) if columns else capacity, kind)
            for name, (kind, columns) in _COLUMNS.items()
        }

    def add(
        self,
        stamp: int,
        time: float,
        episode: int = 0,
        tick: int = 0,
        observation: npt.ArrayLike | None = None,
        reward: float = math.nan,
        return_to_go: float = math.nan,
        state_norm: float = math.nan,
        raw: npt.ArrayLike | None = None,
        commanded: npt.ArrayLike | None = None,
        ages: Sequence[float] | None = None,
        stages: Sequence[float] | None = None,
        lateness: float = 0.0,
        reason: str = "",
    ) -> None:
        """Keep one tick, a refused one too: what is not given is NaN.

        Args:
            stamp: ROS time of the tick in nanoseconds.
            time: ``time.monotonic`` in seconds.
            observation: float32 (observation,) as given to the model.
            raw, commanded: float64 (actions,); ``commanded`` None when nothing was sent.
            ages, stages: seconds, in the order of the layout.
            reason: why no command or another one was sent.

        Raises:
            ValueError: a vector has another size than the layout.
        """
        row = self._count % self._capacity
        given = locals()
        for name, rows in self._rows.items():
            value = given[name]
            rows[row] = math.nan if value is None else value
        self._count += 1

    def clear(self) -> None:
        """Forget all ticks."""
        self._count = 0

    def snapshot(self, reason: str, about: Mapping[str, str] | None = None) -> Recording:
        """Return a copy of what is kept, to be saved on any thread while the loop goes on.

        Args:
            reason: the fault that it is taken for.
            about: more facts for the header.
        """
        kept = min(self._count, self._capacity)
        rows = np.arange(self._count - kept, self._count) % self._capacity
        return Recording(
            self.layout,
            {name: values[rows] for name, values in self._rows.items()},
            " ".join(reason.split()),
            datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            {**self._about, **(about or {})},
        )


def _header(found: npt.NDArray[Any] | None, where: str) -> dict[str, Any]:
    try:
        header = json.loads(str(found))
    except ValueError:
        header = None
    if found is None or not isinstance(header, dict) or header.get("format") != FORMAT:
        raise DataError(f"{where}: is not a black box file")
    if header.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{where}: format version {header.get('format_version')}, "
            f"this release reads {FORMAT_VERSION}"
        )
    missing = [key for key in ("reason", "time", "layout", "about") if key not in header]
    if missing or not isinstance(header["about"], dict):
        raise DataError(f"{where}: the header lacks {listed(missing or ['about'])}")
    return header


def _layout(found: object, where: str) -> Layout:
    expected = list(Layout.__dataclass_fields__)
    if not isinstance(found, dict) or sorted(found) != sorted(expected):
        raise DataError(f"{where}: layout: expected {listed(expected)}, found {found!r}")
    return Layout(**{name: tuple(str(entry) for entry in found[name]) for name in expected})


def _check_arrays(arrays: dict[str, npt.NDArray[Any]], layout: Layout, where: str) -> None:
    if sorted(arrays) != sorted(_COLUMNS):
        raise DataError(f"{where}: arrays {listed(arrays)}, expected {listed(_COLUMNS)}")
    ticks = arrays["stamp"].shape[0] if arrays["stamp"].ndim else -1
    for name, (kind, columns) in _COLUMNS.items():
        shape = (ticks, layout.columns(columns)) if columns else (ticks,)
        array = arrays[name]
        if array.shape != shape or array.dtype != np.dtype(kind):
            raise DataError(
                f"{where}: {name} is {array.dtype} {array.shape}, expected {kind} {shape}"
            )
    if (np.diff(arrays["time"]) < 0).any():
        raise DataError(f"{where}: the ticks are not in order of time")
