"""Imports as the tests of every format make them, and the data that are imported."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from lram_core.data.importers.source import import_source
from lram_core.data.store import Dataset
from lram_core.errors import DataError

DATA = Path(__file__).parent / "data"
LEROBOT, LIFT = DATA / "lerobot" / "two_tasks", DATA / "robomimic" / "lift.hdf5"
LENGTHS = (7, 4, 9, 5)  # of tests/data/lerobot/make.py


def load(source, out):
    done = import_source(source, out)
    data = Dataset.open(out)
    data.verify(thorough=True)
    assert (done.episodes, done.steps) == (len(data), data.steps)
    return data


def refused(tmp_path, make):
    """The message of an import that must leave nothing behind."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(DataError) as caught:
        import_source(make(), tmp_path / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    return str(caught.value)


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def reference_layout(folder, kind="hdf5", tasks=("reach-v2", "push-v2"), lengths=(4, 6, 3)):
    """Task folders as the reference code writes them; returns task → list of arrays."""
    rng = np.random.default_rng(0)
    made = {}
    for task in tasks:
        (folder / task).mkdir(parents=True)
        made[task] = []
        for number, length in enumerate(lengths):
            rewards = rng.uniform(0, 10, length).astype(np.float32)
            arrays = {
                "states": rng.normal(size=(length, 39)).astype(np.float32),
                "actions": rng.uniform(-1, 1, (length, 4)).astype(np.float32),
                "rewards": rewards,
                "returns_to_go": np.cumsum(rewards[::-1])[::-1].astype(np.float32),
                "dones": np.arange(length) == length - 1,
            }
            made[task].append(arrays)
            file = folder / task / f"{number}.{kind}"
            if kind == "npz":
                np.savez_compressed(file, **{**arrays, "dones": True})
            else:
                with h5py.File(file, "w") as h5:
                    for key, value in arrays.items():
                        h5.create_dataset(key, data=value, compression="gzip", compression_opts=1)
        names = [str(i) for i in range(len(lengths))]
        sidecars = {
            "episode_lengths": dict(zip(names, lengths, strict=True)),
            "episode_trjids": {name: len(names) - int(name) for name in names},
            "episode_seeds": {name: 70 + int(name) for name in names},
            "stats": {"episodes": len(names)},
        }
        for name, content in sidecars.items():
            (folder / task / f"{name}.json").write_text(json.dumps(content))
    return made
