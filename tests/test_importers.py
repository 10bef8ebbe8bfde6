"""Files of each format's own library become datasets; damaged and foreign ones are named."""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import h5py
import minari
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from minari.data_collector.episode_buffer import EpisodeBuffer
from store_rig import episode

from lram_core.cli import cli
from lram_core.contract import ObservationField
from lram_core.data.exporters.lerobot import export_lerobot
from lram_core.data.importers.lerobot import LeRobotSource
from lram_core.data.importers.lram_reference import LramSource
from lram_core.data.importers.minari import MinariSource
from lram_core.data.importers.robomimic import RobomimicSource
from lram_core.data.importers.source import ImportOptions, import_source, load_schema
from lram_core.data.store import Dataset
from lram_core.data.writer import DatasetWriter
from lram_core.errors import DataError, LramError, RuntimeUnavailable
from lram_core.testing import SCHEMA, random_bundle, small_contract, small_dataset

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


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def drop_frame(file):
    table = pq.read_table(file)
    pq.write_table(table.slice(0, table.num_rows - 1), file)


class TestRobomimic:
    def test_a_file_of_its_scripts(self, tmp_path):
        data = load(RobomimicSource(LIFT, ImportOptions()), tmp_path / "set")
        assert data.column("length").tolist() == [6, 4, 9]
        assert data.task_names == ["Lift"]
        assert (data.schema.robot, data.schema.control_rate) == ("Panda", 20.0)
        names = ["robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos", "object"]
        assert [f.name for f in data.schema.observation] == names
        assert [f.name for f in data.schema.action] == [
            *("ee_dx", "ee_dy", "ee_dz", "ee_drx", "ee_dry", "ee_drz", "gripper")
        ]
        units = [f.unit for f in data.schema.action]
        assert units == ["0.05 m"] * 3 + ["0.5 rad"] * 3 + ["1"]
        with h5py.File(LIFT) as file:
            for number in range(3):
                demo = file[f"data/demo_{number + 1}"]
                found = data.episode(number)
                whole = np.concatenate([demo["obs"][name][()] for name in names], 1)
                np.testing.assert_array_equal(found.observations, whole.astype(np.float32))
                np.testing.assert_array_equal(found.actions, demo["actions"][()].astype(np.float32))
                assert found.source.endswith(f"lift.hdf5: data/demo_{number + 1}")

    def test_keys_masks_and_rewards(self, tmp_path):
        source = RobomimicSource(
            LIFT, ImportOptions(gripper="hand"), ("robot0_joint_pos",), "train", sparse_reward=True
        )
        data = load(source, tmp_path / "set")
        assert [(f.name, f.size, f.unit) for f in data.schema.observation] == [
            ("robot0_joint_pos", 7, "rad")
        ]
        assert data.schema.gripper == "hand"
        assert data.column("return").tolist() == [1.0] * 3
        assert data.column("success").tolist() == [True] * 3
        with pytest.raises(DataError, match="no mask 'test'; there are train, valid"):
            RobomimicSource(LIFT, ImportOptions(), mask="test")
        with pytest.raises(DataError, match="no observation camera; vectors are object"):
            RobomimicSource(LIFT, ImportOptions(), ("camera",))

    def test_damaged_ones(self, tmp_path):
        copy = tmp_path / "copy.hdf5"
        shutil.copy(LIFT, copy)
        with h5py.File(copy, "a") as file:
            del file["data/demo_2/obs/object"]
        text = refused(tmp_path, lambda: RobomimicSource(copy, ImportOptions()))
        assert "copy.hdf5: data/demo_2: no observation object; it has robot0_eef_pos" in text
        with h5py.File(copy, "a") as file:
            del file["data/demo_1/rewards"]
        text = refused(
            tmp_path, lambda: RobomimicSource(copy, ImportOptions(), ("robot0_eef_pos",))
        )
        assert "data/demo_1: no rewards; --sparse-reward" in text
        with h5py.File(copy, "a") as file:
            for demo in file["data"].values():
                del demo["obs"]
        text = refused(tmp_path, lambda: RobomimicSource(copy, ImportOptions()))
        assert "no observations (obs)" in text
        assert "dataset_states_to_obs" in text
        cut(copy)
        text = refused(tmp_path, lambda: RobomimicSource(copy, ImportOptions()))
        assert "copy.hdf5: not a whole HDF5 file" in text
        with h5py.File(copy, "w") as file:
            file["numbers"] = [1, 2]
        text = refused(tmp_path, lambda: RobomimicSource(copy, ImportOptions()))
        assert "no group 'data'); it has numbers" in text

    def test_as_another_schema(self, tmp_path):
        plain = load(RobomimicSource(LIFT, ImportOptions(gripper="hand")), tmp_path / "plain")
        like = replace(
            plain.schema,
            observation=(
                ObservationField("object", 10, "1"),
                ObservationField("robot0_eef_pos", 3, "m"),
                ObservationField("robot0_eef_pos", 3, "m", delay=1),
            ),
            action=tuple(reversed(plain.schema.action)),
        )
        data = load(RobomimicSource(LIFT, ImportOptions(like=like)), tmp_path / "set")
        assert data.schema == like
        ours, theirs = data.episode(0), plain.episode(0)
        np.testing.assert_array_equal(ours.observations[:, :10], theirs.observations[:, 9:])
        np.testing.assert_array_equal(ours.observations[1:, 13:], theirs.observations[:-1, :3])
        np.testing.assert_array_equal(ours.observations[0, 13:], theirs.observations[0, :3])
        np.testing.assert_array_equal(ours.actions, theirs.actions[:, ::-1])
        for name, value, words in (
            ("robot", "IIWA", "robot is 'Panda', expected 'IIWA'"),
            ("control_rate", 50.0, "control rate is 20 Hz, expected 50 Hz"),
            ("action", like.action[1:], "7 action fields"),
            ("observation", like.observation[:1] * 3, "19 values; expected object (10), 30"),
        ):
            other = replace(like, **{name: value})
            if name == "observation":
                fields = (ObservationField("a", 30, "1"),)
                other, words = replace(like, observation=fields), "19 values; expected a (30), 30"
            options = ImportOptions(like=other)
            text = refused(tmp_path, lambda options=options: RobomimicSource(LIFT, options))
            assert words in text


class TestMinari:
    @pytest.fixture(autouse=True)
    def store(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))

    def make(self, name, observation_space, observe, infos=None):
        rng = np.random.default_rng(0)
        buffers, actions = [], []
        for number, length in enumerate((5, 3)):
            actions.append(rng.uniform(-2, 2, (length, 2)).astype(np.float32))
            buffers.append(
                EpisodeBuffer(
                    observations=observe(number, length + 1),
                    actions=actions[-1],
                    rewards=np.arange(length, dtype=np.float64),
                    terminations=[False] * (length - 1) + [True],
                    truncations=[False] * length,
                    infos=infos(length) if infos else None,
                )
            )
        minari.create_dataset_from_buffers(
            name,
            buffers,
            observation_space=observation_space,
            action_space=gym.spaces.Box(-2, 2, (2,)),
            author="x",
            author_email="x@x.invalid",
            code_permalink="https://x.invalid",
            algorithm_name="random",
        )
        return actions

    def test_a_dataset_of_the_library(self, tmp_path):
        box = gym.spaces.Box(-10, 10, (3,))
        actions = self.make("arm/reach-v0", box, lambda n, t: np.full((t, 3), n, np.float32))
        source = MinariSource("arm/reach-v0", ImportOptions(control_rate=25.0, robot="arm"))
        data = load(source, tmp_path / "set")
        assert data.column("length").tolist() == [5, 3]
        assert data.column("return").tolist() == [10.0, 3.0]
        np.testing.assert_array_equal(data.actions, np.concatenate(actions))
        np.testing.assert_array_equal(data.observations[:, 0], [0] * 5 + [1] * 3)
        assert [(f.low, f.high) for f in data.schema.action] == [(-2, 2)] * 2
        folder = tmp_path / "store" / "arm" / "reach-v0"
        assert load(
            MinariSource(str(folder), ImportOptions(control_rate=25.0)), tmp_path / "again"
        ).column("length").tolist() == [5, 3]

    def test_named_observations_and_success(self, tmp_path):
        space = gym.spaces.Dict(
            {"hand": gym.spaces.Box(-9, 9, (2,)), "goal": gym.spaces.Box(-9, 9, ())}
        )

        def observe(number, rows):
            hand = np.stack([np.arange(rows), np.full(rows, number)], 1).astype(np.float32)
            return {"hand": hand, "goal": np.full(rows, 7, np.float32)}

        def infos(length):
            return {"success": np.arange(length + 1) == length}

        self.make("hand-v1", space, observe, infos)
        source = MinariSource("hand-v1", ImportOptions(control_rate=10.0))
        fields = {f.name: f.size for f in source.schema.observation}
        assert fields == {"hand": 2, "goal": 1}
        data = load(source, tmp_path / "set")
        start = {"hand": 0, "goal": 2} if next(iter(fields)) == "hand" else {"goal": 0, "hand": 1}
        first = data.episode(0).observations
        np.testing.assert_array_equal(first[:, start["hand"]], np.arange(5))
        np.testing.assert_array_equal(first[:, start["goal"]], 7)
        assert data.column("success").tolist() == [True, True]

    def test_what_cannot_be_read(self, tmp_path):
        (tmp_path / "store").mkdir()
        options = ImportOptions(control_rate=10.0)
        text = refused(tmp_path, lambda: MinariSource("nothing-v0", options))
        assert "nothing-v0: no Minari dataset" in text
        box = gym.spaces.Box(-10, 10, (3,))
        self.make("arm-v0", box, lambda n, t: np.zeros((t, 3), np.float32))
        with pytest.raises(DataError, match="does not say the control rate; give --rate"):
            MinariSource("arm-v0", ImportOptions())
        pictures = gym.spaces.Box(0, 255, (2, 2), np.uint8)
        self.make("eye-v0", pictures, lambda n, t: np.zeros((t, 2, 2), np.uint8))
        with pytest.raises(DataError, match="vectors of numbers"):
            MinariSource("eye-v0", options)
        cut(tmp_path / "store" / "arm-v0" / "data" / "main_data.hdf5")
        text = refused(tmp_path, lambda: MinariSource("arm-v0", options))
        assert "arm-v0" in text


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
        from lram_sim.suite import dataset_schema, get_suite

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
            (cut, ["1.hdf5", "not a whole HDF5 file"]),
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
