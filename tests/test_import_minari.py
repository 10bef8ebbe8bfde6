"""Datasets that the Minari library writes."""

from __future__ import annotations

import gymnasium as gym
import minari
import numpy as np
import pytest
from import_rig import cut, load, refused
from minari.data_collector.episode_buffer import EpisodeBuffer

from lram_core.data.importers.minari import MinariSource
from lram_core.data.importers.source import ImportOptions
from lram_core.errors import DataError


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
