"""The layout of the LRAM reference code, as folders and as archives."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from import_rig import cut, load, reference_layout, refused

from lram_core.data.importers.lram_reference import LramSource
from lram_core.data.importers.source import ImportOptions


class TestReferenceLayout:
    options = ImportOptions(control_rate=80.0)

    @pytest.mark.parametrize("kind", ["hdf5", "npz"])
    def test_folders_of_tasks(self, tmp_path, kind):
        made = reference_layout(tmp_path / "metaworld", kind)
        data = load(LramSource(tmp_path / "metaworld", self.options), tmp_path / "set")
        assert data.schema.suite == "metaworld"
        assert data.column("task").tolist() == ["push-v2"] * 3 + ["reach-v2"] * 3
        assert data.column("seed").tolist() == [72, 71, 70] * 2  # in the order of the sidecar
        for number, (task, place) in enumerate(
            (task, place) for task in ("push-v2", "reach-v2") for place in (2, 1, 0)
        ):
            found, theirs = data.episode(number), made[task][place]
            np.testing.assert_array_equal(found.observations, theirs["states"])
            np.testing.assert_array_equal(found.actions, theirs["actions"])
            np.testing.assert_array_equal(found.rewards, theirs["rewards"])
            to_go = data.window(number).returns_to_go
            np.testing.assert_allclose(to_go, theirs["returns_to_go"], rtol=1e-5)

    def test_archives_and_one_task(self, tmp_path):
        made = reference_layout(tmp_path / "made")
        (tmp_path / "meta-world").mkdir()
        for task in made:
            with tarfile.open(tmp_path / "meta-world" / f"{task}.tar.gz", "w:gz") as tar:
                tar.add(tmp_path / "made" / task, task)
        options = replace(self.options, tasks=("reach-v2",))
        data = load(LramSource(tmp_path / "meta-world", options), tmp_path / "set")
        assert data.column("task").tolist() == ["reach-v2"] * 3
        np.testing.assert_array_equal(
            data.observations, np.concatenate([a["states"] for a in made["reach-v2"]])
        )

    def test_as_the_suites_own_schema(self, tmp_path):
        """39 numbers without names get the fields that the bundle knows them by."""
        from lram_sim.suite import dataset_schema
        from lram_sim.suite_registry import get_suite

        schema = dataset_schema(get_suite("metaworld"))
        made = reference_layout(tmp_path / "metaworld", tasks=("reach-v2",))
        source = LramSource(tmp_path / "metaworld", replace(self.options, like=schema))
        data = load(source, tmp_path / "set")
        assert data.schema == schema
        np.testing.assert_array_equal(data.episode(0).observations, made["reach-v2"][2]["states"])
        assert any("matched by position: state became ee_position" in n for n in source.notes)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda f: rewrite(f, actions=np.full((6, 4), 3.0)), ["1.hdf5", "-1 … 1"]),
            (
                lambda f: rewrite(f, returns_to_go=np.ones(6)),
                ["1.hdf5", "begin at 1"],
            ),
            (lambda f: rewrite(f, states=np.ones((6, 7))), ["1.hdf5", "states have 7 values"]),
            (lambda f: rewrite(f, states=np.ones((5, 39))), ["1.hdf5", "5 states, but 6 rewards"]),
            (lambda f: rewrite(f, states=np.ones((6, 2, 2))), ["1.hdf5", "pictures"]),
            (lambda f: rewrite(f, actions=np.ones(6, int)), ["1.hdf5", "discrete"]),
            (lambda f: rewrite(f, rewards=None), ["1.hdf5", "no rewards; it has"]),
            (lambda f: rewrite(f, states=np.full((6, 39), np.nan)), ["1.hdf5", "not finite"]),
            (cut, ["1.hdf5", "damaged"]),
            (Path.unlink, ["push-v2", "1 of the 3 episodes", "missing: 1"]),
            (lambda f: f.with_name("episode_lengths.json").write_text("{"), ["lengths.json"]),
        ],
    )
    def test_damaged_ones(self, tmp_path, change, words):
        reference_layout(tmp_path / "metaworld")
        change(tmp_path / "metaworld" / "push-v2" / "1.hdf5")
        text = refused(tmp_path, lambda: LramSource(tmp_path / "metaworld", self.options))
        for word in (str(tmp_path / "metaworld"), *words):
            assert word in text

    def test_no_episodes(self, tmp_path):
        (tmp_path / "empty").mkdir()
        text = refused(tmp_path, lambda: LramSource(tmp_path / "empty", self.options))
        assert "no task folder with .hdf5, .npz files" in text
        (tmp_path / "a.zip").write_text("x")
        assert "expected a folder" in refused(
            tmp_path, lambda: LramSource(tmp_path / "a.zip", self.options)
        )


def rewrite(file, **arrays):
    with h5py.File(file, "a") as h5:
        for name, values in arrays.items():
            del h5[name]
            if values is not None:
                h5[name] = values
