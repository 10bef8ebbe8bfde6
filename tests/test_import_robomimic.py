"""A file of robomimic's own scripts."""

from __future__ import annotations

import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
from import_rig import LIFT, cut, load, refused

from lram_core.contract import ObservationField
from lram_core.data.importers.robomimic import RobomimicSource
from lram_core.data.importers.source import ImportOptions
from lram_core.errors import DataError


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
