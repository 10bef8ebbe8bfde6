"""The layout of the LRAM reference code: ``<task>/<episode>.hdf5`` (or ``.npz``), and its archives.

An episode has ``states``, ``actions``, ``rewards``, ``dones``, and often ``returns_to_go``; beside
the episodes stand ``episode_lengths.json`` and, sometimes, ``episode_trjids.json`` (their order)
and ``episode_seeds.json``. The published sets come as one ``.tar.gz`` a task.
"""

from __future__ import annotations

import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.contract import ActionField
from lram_core.data.importers.layout import Layout, SourceField
from lram_core.data.importers.source import (
    UNKNOWN,
    ImportOptions,
    base_schema,
    damaged,
    limits_of,
    needs,
)
from lram_core.data.schema import Episode
from lram_core.errors import DataError, listed

ENDINGS = (".hdf5", ".npz")
KEYS = ("states", "actions", "rewards")
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_TOLERANCE = 1e-3


class LramSource:
    """A folder of tasks, or one task's folder or archive.

    Attributes: as in :class:`lram_core.data.importers.source.Source`; ``total`` is counted for
    folders only, an archive is not read through for it.
    """

    format = "lram"

    def __init__(self, path: Path, options: ImportOptions) -> None:
        """Look through a folder.

        Raises:
            DataError: there is no episode, or the first one is unreadable; names the file.
        """
        self.path = Path(path)
        self._h5 = None
        self._options = options
        self._places = [p for p in _places(self.path) if options.wants(_task(p))]
        if not self._places:
            raise DataError(
                f"{self.path}: no task folder with {listed(ENDINGS)} files"
                + (f" of {listed(options.tasks)}" if options.tasks else "")
                + f", and no archive ({listed(_ARCHIVES)})"
            )
        self.total = sum(_count(place) for place in self._places)
        _, where, first = next(self._read_all(0))
        size, actions = first["states"].shape[1], first["actions"].shape[1]
        suite = options.suite or (self.path.name if self.path.is_dir() else UNKNOWN)
        found = base_schema(
            options, suite, UNKNOWN, UNKNOWN, None, "reward of the environment", str(self.path)
        )
        # The layout has no names and no limits: actions are taken to be -1 … 1.
        fields = [
            ActionField(f"action_{i}", options.unit, options.kind or "native", low, high)
            for i, (low, high) in enumerate(limits_of(-np.ones(actions), np.ones(actions)))
        ]
        self._layout = Layout(where, [SourceField("state", size)], fields, found, options)
        self._sizes = {"states": size, "actions": actions}
        self.schema = self._layout.schema
        self.notes = [*self._layout.notes]
        self.parameters: dict[str, Any] = {"tasks": list(options.tasks)}

    def episodes(self, first: int = 0) -> Iterator[Episode]:
        """Yield the episodes, task by task."""
        for (task, seed), where, arrays in self._read_all(first):
            for name, size in self._sizes.items():
                if arrays[name].shape[1] != size:
                    raise DataError(
                        f"{where}: {name} have {arrays[name].shape[1]} values a step, those of "
                        f"the first episode {size}"
                    )
            if float(np.abs(arrays["actions"]).max()) > 1 + _TOLERANCE:
                raise DataError(
                    f"{where}: an action of {np.abs(arrays['actions']).max():g}; the layout's "
                    f"actions are within -1 … 1"
                )
            rewards = arrays["rewards"]
            yield Episode(
                observations=self._layout.observations(arrays["states"]),
                actions=self._layout.actions(arrays["actions"]),
                rewards=rewards.astype(np.float32),
                task=task,
                seed=seed,
                success=False,
                noise=0.0,
                source=where,
            )

    def _read_all(self, first: int) -> Iterator[tuple[tuple[str, int], str, dict[str, Any]]]:
        number = 0
        for place in self._places:
            task = _task(place)
            episodes = _from_folder(place) if place.is_dir() else _from_archive(place)
            for name, where, content, seed in episodes:
                if number >= first:
                    seed = number if seed is None else seed
                    yield (task, seed), where, self._arrays(name, where, content)
                number += 1

    def _arrays(self, name: str, where: str, content: Path | bytes) -> dict[str, Any]:
        with damaged(where):
            return self._checked(name, where, content)

    def _checked(self, name: str, where: str, content: Path | bytes) -> dict[str, Any]:
        found = _npz(where, content) if name.endswith(".npz") else self._hdf5(where, content)
        missing = [key for key in KEYS if key not in found]
        if missing:
            raise DataError(f"{where}: no {listed(missing)}; it has {listed(found)}")
        rows = len(found["rewards"])
        if found["actions"].ndim == 1:
            found["actions"] = found["actions"][:, None]
        for key in ("states", "actions"):
            if found[key].ndim != 2:
                what = "pictures" if found[key].ndim > 2 else "no vectors"
                raise DataError(f"{where}: {key} have shape {found[key].shape}: {what}")
            if len(found[key]) != rows:
                raise DataError(f"{where}: {len(found[key])} {key}, but {rows} rewards")
        if not np.issubdtype(found["actions"].dtype, np.floating):
            raise DataError(
                f"{where}: actions are {found['actions'].dtype}: discrete ones are not supported"
            )
        self._check_returns(where, found)
        return found

    def _check_returns(self, where: str, found: dict[str, Any]) -> None:
        """Rewards and returns-to-go must be those of one undiscounted episode."""
        if "returns_to_go" not in found or not len(found["rewards"]):
            return
        told = float(np.asarray(found["returns_to_go"], np.float64).reshape(-1)[0])
        total = float(np.asarray(found["rewards"], np.float64).sum())
        if abs(told - total) > _TOLERANCE * max(1.0, abs(total)):
            raise DataError(
                f"{where}: its returns_to_go begin at {told:g}, its rewards add up to {total:g}: "
                f"they are discounted, or of another reward"
            )

    def _hdf5(self, where: str, content: Path | bytes) -> dict[str, Any]:
        self._h5 = self._h5 or needs("h5py", "reading HDF5")
        assert self._h5 is not None
        source = content if isinstance(content, Path) else io.BytesIO(content)
        with damaged(where), self._h5.File(source) as file:
            keys = [k for k in (*KEYS, "returns_to_go") if k in file]
            found = {key: file[key][()] for key in keys}
            return found or dict.fromkeys(file)


def _npz(where: str, content: Path | bytes) -> dict[str, Any]:
    source = content if isinstance(content, Path) else io.BytesIO(content)
    with damaged(where), np.load(source, allow_pickle=False) as file:
        return {key: file[key] for key in (*KEYS, "returns_to_go") if key in file}


def _places(path: Path) -> list[Path]:
    """Folders that hold episodes, and archives; in order of their names."""
    if path.is_file():
        if not path.name.endswith(_ARCHIVES):
            raise DataError(f"{path}: expected a folder, or an archive ({listed(_ARCHIVES)})")
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such folder")
    folders = {file.parent for ending in ENDINGS for file in path.rglob(f"*{ending}")}
    archives = [p for p in path.rglob("*.t*") if p.name.endswith(_ARCHIVES)]
    return sorted([*folders, *archives])


def _task(place: Path) -> str:
    return place.name.partition(".")[0] if place.is_file() else place.name


def _count(place: Path) -> int:
    return 0 if place.is_file() else len(_files(place))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.name.endswith(ENDINGS))


def _from_folder(folder: Path) -> Iterator[tuple[str, str, Path, int | None]]:
    """(name, where, file, seed) of each episode, in the order of the sidecar if there is one."""
    order, seeds = (_sidecar(folder, f"episode_{w}.json") for w in ("trjids", "seeds"))
    files = _files(folder)
    lengths = _sidecar(folder, "episode_lengths.json")
    missing = sorted(set(lengths) - {file.stem for file in files})
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of the {len(lengths)} episodes in episode_lengths.json are "
            f"missing: {listed(missing, 3)}"
        )
    for file in sorted(files, key=lambda f: (order.get(f.stem, 0), f.name)):
        yield file.name, str(file), file, seeds.get(file.stem)


def _from_archive(archive: Path) -> Iterator[tuple[str, str, bytes, int | None]]:
    """The same out of an archive, in its own order; nothing is unpacked to disk."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(ENDINGS):
                    file = tar.extractfile(member)
                    assert file is not None
                    yield member.name, f"{archive}: {member.name}", file.read(), None
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DataError(f"{archive}: not a whole archive ({error})") from None


def _sidecar(folder: Path, name: str) -> dict[str, Any]:
    file = folder / name
    if not file.is_file():
        return {}
    try:
        found = json.loads(file.read_text())
    except ValueError:
        raise DataError(f"{file}: not a JSON file") from None
    return found if isinstance(found, dict) else {}
