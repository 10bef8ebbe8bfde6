"""A dataset of the LeRobot library, and what is exported for it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_rig import LENGTHS, LEROBOT, cut, load, refused
from store_rig import episode

from lram_core.data.exporters.lerobot import export_lerobot
from lram_core.data.importers.lerobot import LeRobotSource
from lram_core.data.importers.source import ImportOptions
from lram_core.data.store import Dataset
from lram_core.data.writer import DatasetWriter
from lram_core.errors import DataError
from lram_core.testing import SCHEMA, small_dataset


class TestLeRobot:
    def test_a_dataset_of_the_library(self, tmp_path):
        data = load(LeRobotSource(LEROBOT, ImportOptions()), tmp_path / "set")
        assert data.column("length").tolist() == list(LENGTHS)
        assert data.column("success").tolist() == [True, False, True, True]
        assert data.column("task").tolist() == ["pick up the cube", "open the drawer"] * 2
        assert (data.schema.robot, data.schema.control_rate) == ("so101", 20.0)
        assert [(f.name, f.size) for f in data.schema.observation] == [
            ("state", 3),
            ("environment_state", 2),
        ]
        assert [(f.name, f.kind) for f in data.schema.action] == [
            ("shoulder.pos", "joint_position"),
            ("elbow.pos", "joint_position"),
            ("gripper.pos", "gripper"),
        ]
        low = [field.low for field in data.schema.action]
        np.testing.assert_allclose(low, data.actions.min(0), rtol=1e-5)
        for number, length in enumerate(LENGTHS):
            found, tick = data.episode(number), np.arange(length)
            state = np.stack([0.1 * tick, -0.2 * tick + number, tick / 3], 1)
            place = np.stack([np.full(length, number), 1 / (tick + 1)], 1)
            np.testing.assert_allclose(found.observations[:, :3], state, rtol=1e-6)
            np.testing.assert_allclose(found.observations[:, 3:], place, rtol=1e-6)
            np.testing.assert_allclose(found.actions, state + 0.05, rtol=1e-5)
            np.testing.assert_allclose(found.rewards, 0.25 * tick)
            assert f"episode {number}" in found.source

    def test_chosen_features_and_tasks(self, tmp_path):
        options = ImportOptions(tasks=("open the drawer",), unit="rad", reward_scale=5.0)
        source = LeRobotSource(LEROBOT, options, ("observation.environment_state",))
        data = load(source, tmp_path / "set")
        assert data.column("length").tolist() == [4, 5]
        assert data.schema.observation_size == 2
        assert data.schema.action[0].unit == "rad"
        assert data.schema.reward.scale == 5.0
        np.testing.assert_array_equal(data.episode(1).observations[:, 0], 3)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda f: shutil.rmtree(f / "meta"), ["no LeRobotDataset here"]),
            (lambda f: edit(f, codebase_version="v2.1"), ["v2.1 found", "convert_dataset"]),
            (lambda f: edit(f, features={}), ["info.json", "features.action"]),
            (lambda f: edit(f, total_episodes=9), ["4 episodes in the index", "says 9"]),
            (lambda f: (f / "data/chunk-001/file-000.parquet").unlink(), ["file-000.parquet: the"]),
            (lambda f: cut(f / "data/chunk-001/file-001.parquet"), ["file-001.parquet: unread"]),
            (lambda f: (f / "meta/stats.json").write_text("{}"), ["stats.json", "action"]),
            (lambda f: drop_frame(f / "data/chunk-001/file-000.parquet"), ["episode 2", "says 9"]),
        ],
    )
    def test_damaged_ones(self, tmp_path, change, words):
        folder = tmp_path / "copy"
        shutil.copytree(LEROBOT, folder)
        change(folder)
        text = refused(tmp_path, lambda: LeRobotSource(folder, ImportOptions()))
        for word in (str(folder), *words):
            assert word in text

    def test_what_is_asked_for_and_not_there(self, tmp_path):
        options = ImportOptions(tasks=("fly",))
        text = refused(tmp_path, lambda: LeRobotSource(LEROBOT, options))
        assert "no episode of fly; tasks are pick up the cube, open the drawer" in text
        text = refused(tmp_path, lambda: LeRobotSource(LEROBOT, ImportOptions(), ("next",)))
        assert "no vector next" in text

    @given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 99))
    @settings(max_examples=15, deadline=None)
    def test_an_export_comes_back_as_it_was(self, tmp_path_factory, lengths, seed):
        tmp_path = tmp_path_factory.mktemp("trip")
        rng = np.random.default_rng(seed)
        with DatasetWriter(tmp_path / "set", SCHEMA) as writer:
            for number, length in enumerate(lengths):
                made = replace(episode(length, seed + number), task=("a", "b")[number % 2])
                writer.add(replace(made, rewards=rng.normal(size=length).astype(np.float32)))
            writer.finish({"command": "made up"})
        data = Dataset.open(tmp_path / "set")
        export_lerobot(data, tmp_path / "out")
        again = load(LeRobotSource(tmp_path / "out", ImportOptions()), tmp_path / "again")
        assert again.schema == data.schema
        assert again.episodes.drop(["source"]).equals(data.episodes.drop(["source"]))
        for name in ("observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(again, name), getattr(data, name))

    def test_an_export_is_laid_out_as_the_library_does_it(self, tmp_path):
        """What tests/data/lerobot/check_export.py has the library itself do, by its own files."""
        export_lerobot(small_dataset(tmp_path / "set"), tmp_path / "out")
        for folder in (LEROBOT, tmp_path / "out"):
            info = json.loads((folder / "meta/info.json").read_text())
            frames = pq.read_schema(folder / info["data_path"].format(chunk_index=0, file_index=0))
            assert set(frames.names) == set(info["features"])
            for name, about in info["features"].items():
                size = about["shape"][0]
                kind = str(frames.field(name).type)
                assert (f"[{size}]" in kind) == (size > 1), (name, kind)
            stats = json.loads((folder / "meta/stats.json").read_text())
            assert set(stats) == set(info["features"])
            assert {"min", "max", "mean", "std", "count", "q01", "q99"} <= set(stats["action"])
            tasks = pq.read_table(folder / "meta/tasks.parquet")
            assert tasks.column_names == ["task_index", "__index_level_0__"]
            assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == [
                "__index_level_0__"
            ]
            index = pq.read_table(folder / "meta/episodes/chunk-000/file-000.parquet")
            assert {"dataset_from_index", "dataset_to_index", "tasks"} <= set(index.column_names)
        with pytest.raises(DataError, match="is there already"):
            export_lerobot(Dataset.open(tmp_path / "set"), tmp_path / "out")


def edit(folder, **values):
    file = folder / "meta/info.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def drop_frame(file):
    table = pq.read_table(file)
    pq.write_table(table.slice(0, table.num_rows - 1), file)
