"""Imports of one recording: what comes of it, or why it was refused."""

from __future__ import annotations

import shutil

import pytest
from arm_recording import (
    SECOND,
    START,
    arm,
)

from lram_core.data.store import Dataset
from lram_core.errors import DataError
from lram_ros.bags.importing import BagOptions, import_bags


def load(tmp_path, bag, robot=None, **options):
    """Import one bag and open the dataset; the folder then holds both and nothing else."""
    out = tmp_path / "set"
    shutil.rmtree(out, ignore_errors=True)
    done = import_bags([bag], robot or arm(), out, BagOptions(**options))
    data = Dataset.open(out)
    data.verify()
    assert (done.episodes, done.steps) == (len(data), data.steps)
    return data, done.notes


def refused(tmp_path, bag, robot=None, kind=DataError, **options):
    """The message of an import that must leave nothing."""
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(kind) as caught:
        import_bags([bag], robot or arm(), tmp_path / "set", BagOptions(**options))
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    return str(caught.value)


def ticks_of(count, first=START):
    return [first + number * SECOND // 10 for number in range(count)]
