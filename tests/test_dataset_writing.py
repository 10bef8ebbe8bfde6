"""Datasets appear whole or not at all; an interrupted writer goes on where it was."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from store_rig import episode

from lram_core.data.manage import verify_dataset
from lram_core.data.store import Dataset
from lram_core.data.writer import DatasetWriter
from lram_core.errors import DataError
from lram_core.testing import SCHEMA, small_dataset


def write(path, episodes, source):
    """Write a dataset; None among the episodes is a Ctrl-C."""
    with DatasetWriter(path, SCHEMA, source) as writer:
        for item in episodes:
            if item is None:
                raise KeyboardInterrupt
            writer.add(item)
        writer.finish({})


class TestWriting:
    source = {"path": "somewhere"}  # noqa: RUF012

    def test_an_interrupted_writer_goes_on(self, tmp_path):
        episodes = [episode(3 + i, i) for i in range(6)]
        with DatasetWriter(tmp_path / "whole", SCHEMA) as writer:
            writer.extend(episodes)
            writer.finish({"a": 1})
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "set", [*episodes[:3], None], self.source)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["set.partial", "whole"]
        # Rows without a line in the journal, and half a line, are of an episode that was cut off.
        with (tmp_path / "set.partial" / "actions").open("ab") as file:
            file.write(b"12345678")
        with (tmp_path / "set.partial" / "journal.jsonl").open("ab") as file:
            file.write(b'{"task": "rea')
        with DatasetWriter(tmp_path / "set", SCHEMA, self.source) as writer:
            assert (writer.episodes, writer.steps) == (3, 12)
            writer.extend(episodes[writer.episodes :])
            writer.finish({"a": 1})
        for name in ("dataset.json", "episodes.parquet", "actions.npy", "observations.npy"):
            ours, theirs = ((tmp_path / f / name).read_bytes() for f in ("set", "whole"))
            assert ours == theirs, name
        assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "whole"]

    def test_a_killed_writer_goes_on(self, tmp_path):
        program = f"""
import os, signal
from store_rig import episode
from lram_core.data.writer import DatasetWriter
from lram_core.testing import SCHEMA
with DatasetWriter({str(tmp_path / "set")!r}, SCHEMA, {self.source!r}) as writer:
    writer.extend(episode(4, i) for i in range(5))
    os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent)
        assert done.returncode == -9
        with pytest.raises(DataError, match="no dataset here"):
            Dataset.open(tmp_path / "set")
        with DatasetWriter(tmp_path / "set", SCHEMA, self.source) as writer:
            assert writer.episodes == 5
            writer.add(episode(7, 5))
            writer.finish({})
        assert verify_dataset(tmp_path / "set").column("length").tolist() == [4, 4, 4, 4, 4, 7]

    def test_of_another_source_it_does_not(self, tmp_path):
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "set", [episode(3, 0), None], self.source)
        with pytest.raises(DataError, match=r'begun with path "somewhere" \(now "elsewhere"\)'):
            DatasetWriter(tmp_path / "set", SCHEMA, {"path": "elsewhere"})
        with pytest.raises(DataError, match="begun with another schema"):
            DatasetWriter(tmp_path / "set", replace(SCHEMA, robot="x"), self.source)
        with (
            DatasetWriter(tmp_path / "set", SCHEMA, self.source),
            pytest.raises(DataError, match="another process is writing it"),
        ):
            DatasetWriter(tmp_path / "set", SCHEMA, self.source)

    @pytest.mark.parametrize("source", [None, source])
    def test_bad_input_leaves_nothing(self, tmp_path, source):
        wide = replace(episode(3, 1), actions=np.zeros((3, 5), np.float32))
        with pytest.raises(DataError, match="actions have shape"):
            write(tmp_path / "set", [episode(3, 0), wide], source)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(DataError, match="no episode to write"):
            write(tmp_path / "set", [], source)
        assert list(tmp_path.iterdir()) == []

    def test_an_existing_folder_is_left_alone(self, tmp_path):
        small_dataset(tmp_path / "set")
        before = (tmp_path / "set" / "dataset.json").read_bytes()
        with pytest.raises(DataError, match="is there already"):
            DatasetWriter(tmp_path / "set", SCHEMA)
        assert (tmp_path / "set" / "dataset.json").read_bytes() == before
