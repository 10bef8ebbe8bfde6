"""Imports that are interrupted, and the command line."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from click.testing import CliRunner
from import_rig import LEROBOT, LIFT, load, reference_layout

from lram_core.cli import cli
from lram_core.data.importers.lram_reference import LramSource
from lram_core.data.importers.robomimic import RobomimicSource
from lram_core.data.importers.source import ImportOptions, import_source, load_schema
from lram_core.data.store import Dataset
from lram_core.errors import LramError, RuntimeUnavailable
from lram_core.testing import SCHEMA, random_bundle, small_contract


class TestInterruptions:
    def test_an_import_goes_on_where_it_was(self, tmp_path):
        reference_layout(tmp_path / "metaworld")
        options = ImportOptions(control_rate=80.0)
        whole = load(LramSource(tmp_path / "metaworld", options), tmp_path / "whole")
        seen = []

        def stop(count):
            seen.append(count)
            if sum(seen) == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            import_source(LramSource(tmp_path / "metaworld", options), tmp_path / "set", stop)
        assert not (tmp_path / "set").exists()
        done = import_source(LramSource(tmp_path / "metaworld", options), tmp_path / "set")
        assert (done.episodes, done.resumed) == (6, 4)
        data = Dataset.open(tmp_path / "set")
        np.testing.assert_array_equal(data.observations, whole.observations)
        assert data.episodes.equals(whole.episodes)
        assert not (tmp_path / "set.partial").exists()


class TestCommands:
    def run(self, *arguments):
        done = CliRunner().invoke(cli, ["data", *(str(a) for a in arguments)])
        if isinstance(done.exception, LramError):
            return str(done.exception)
        assert done.exit_code == 0, (done.output, done.exception)
        return done.output

    def test_every_format(self, tmp_path, monkeypatch):
        reference_layout(tmp_path / "metaworld")
        text = self.run("import", "lerobot", LEROBOT, "--out", tmp_path / "a", "--suite", "desk")
        assert text == f"{tmp_path / 'a'}: 4 episodes, 25 ticks\n"
        assert load_schema(tmp_path / "a").suite == "desk"
        assert "3 episodes, 19 ticks" in self.run(
            *("import", "robomimic", LIFT, "--out", tmp_path / "b", "--sparse-reward")
        )
        assert "6 episodes, 26 ticks" in self.run(
            *("import", "lram", tmp_path / "metaworld", "--rate", "80", "--out", tmp_path / "c")
        )
        assert "4 episodes, 25 frames" in self.run(
            *("export", "lerobot", tmp_path / "a", "--out", tmp_path / "d")
        )
        text = self.run("import", "lerobot", LEROBOT, "--out", tmp_path / "a")
        assert "is there already" in text
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(RuntimeUnavailable, match=r"'h5py': pip install 'lram_ros\[data\]'"):
            RobomimicSource(LIFT, ImportOptions())

    def test_like(self, tmp_path):
        bundle = random_bundle(tmp_path / "bundle", small_contract())
        assert load_schema(bundle) == SCHEMA
        text = self.run("import", "lerobot", LEROBOT, "--out", tmp_path / "a", "--like", bundle)
        assert "robot is 'so101', expected 'two_joint_arm'" in text
        text = self.run("import", "lerobot", LEROBOT, "--out", tmp_path / "a", "--like", tmp_path)
        assert "neither a dataset" in text
        assert not (tmp_path / "a").exists()
