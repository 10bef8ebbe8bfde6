"""Datasets checked, merged and split."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.data.pictures import without_pixels
from lram_core.data.schema import schema_differences
from lram_core.data.split import hold_out
from lram_core.data.store import Dataset
from lram_core.data.writer import ARRAYS, DatasetWriter
from lram_core.errors import CommandError, DataError, listed
from lram_core.returns import episode_return

_BLOCK = 1 << 24  # values
Progress = Callable[[int], None]


def verify_dataset(path: Path) -> Dataset:
    """Read every byte of a dataset and check it; returns it.

    Checked are sizes, checksums, that every number is finite and that the returns of the index
    are those of the rewards.

    Raises:
        DataError: naming the first file, or episode, that is wrong.
    """
    data = Dataset.open(path)
    data.verify(thorough=True)
    check_finite(data)
    columns = (data.column(name) for name in ("start", "length", "success", "return"))
    for number, (start, length, success, total) in enumerate(zip(*columns, strict=True)):
        rewards = data.rewards[start : start + length]
        expected = episode_return(rewards, bool(success), data.schema.reward)
        if not np.isclose(expected, total, rtol=1e-6, atol=1e-6):
            raise DataError(
                f"{path}: episode {number}: the index says return {total:g}, its rewards "
                f"{expected:g}"
            )
    return data


def check_finite(data: Dataset) -> None:
    """Read all numbers of a dataset.

    Raises:
        DataError: one is not finite; it names file, episode and tick.
    """
    starts = data.column("start")
    for name in ARRAYS:
        array = without_pixels(getattr(data, name))
        rows = max(1, _BLOCK // max(1, array[0].size))
        for begin in range(0, len(array), rows):
            bad = ~np.isfinite(array[begin : begin + rows])
            if bad.any():
                row = begin + int(np.argwhere(bad)[0, 0])
                episode = int(np.searchsorted(starts, row, side="right")) - 1
                raise DataError(
                    f"{data.path / name}.npy: not finite in episode {episode}, tick "
                    f"{row - starts[episode]}"
                )


def merge_datasets(paths: list[Path], out: Path, advance: Progress = lambda _: None) -> int:
    """Write the episodes of several datasets, in the order given, as one.

    Args:
        paths: datasets of one schema.
        out: folder of the new one; must not exist.
        advance: called with the number of episodes done, 1 each time.

    Returns:
        The number of episodes.

    Raises:
        CommandError: no dataset is given.
        DataError: the schemas differ, the message says in what; or a dataset is damaged.
    """
    if not paths:
        raise CommandError("nothing to merge")
    datasets = [_sound(path) for path in paths]
    schema = datasets[0].schema
    for data in datasets[1:]:
        if different := schema_differences(data.schema, schema):
            raise DataError(f"{data.path} does not fit {datasets[0].path}: {listed(different, 8)}")
    provenance = {
        "merged": [{"path": str(data.path), "provenance": data.provenance} for data in datasets]
    }
    with DatasetWriter(out, schema) as writer:
        for data in datasets:
            _copy(data, range(len(data)), writer, advance)
        writer.finish(provenance)
    return writer.episodes


def split_dataset(
    path: Path, out: Path, fraction: float, advance: Progress = lambda _: None
) -> dict[str, int]:
    """Write a share of each task's episodes to ``out/valid`` and the others to ``out/train``.

    Which episodes those are follows from the episodes themselves
    (:mod:`lram_core.data.split`): of more data, the same ones go to ``valid``.

    Args:
        path: a dataset.
        out: folder of the two new ones; neither may exist.
        fraction: share that goes to ``valid``, about; at least one episode of each task, but for
            a task with a single one, which stays in ``train``.
        advance: as for :func:`merge_datasets`.

    Returns:
        Name → number of episodes.

    Raises:
        CommandError: a part would be empty.
        DataError: a folder exists, or the dataset is damaged.
    """
    data = _sound(path)
    tasks, seeds = data.column("task").tolist(), data.column("seed").tolist()
    held = hold_out(data.schema.suite, tasks, seeds, fraction)
    parts = {
        name: [number for number, flag in enumerate(held) if flag == wanted]
        for name, wanted in (("train", False), ("valid", True))
    }
    for name, numbers in parts.items():
        if not numbers:
            raise CommandError(f"{path}: fraction {fraction:g} leaves no episode for {name}")
        if (out / name).exists():
            raise DataError(f"{out / name} is there already; name another folder")
    for name, numbers in parts.items():
        provenance: dict[str, Any] = {
            "split": {"path": str(path), "part": name, "fraction": fraction},
            "provenance": data.provenance,
        }
        with DatasetWriter(out / name, data.schema) as writer:
            _copy(data, numbers, writer, advance)
            writer.finish(provenance)
    return {name: len(numbers) for name, numbers in parts.items()}


def _sound(path: Path) -> Dataset:
    """Open a dataset to copy it: the copy's own checksums would vouch for what is damaged."""
    data = Dataset.open(path)
    data.verify(thorough=True)
    return data


def _copy(data: Dataset, numbers: Iterable[int], writer: DatasetWriter, advance: Progress) -> None:
    for number in numbers:
        writer.add(data.episode(number))
        advance(1)
