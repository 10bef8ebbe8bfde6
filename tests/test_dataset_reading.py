"""Windows of episodes read from memory-mapped files, and training on them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from store_rig import episode

import lram_core.data.arrays as arrays_module
from lram_core.codec import ActionCodec
from lram_core.data.arrays import TrainingArrays
from lram_core.data.describe import describe
from lram_core.data.mapped import MappedRows
from lram_core.data.store import Dataset
from lram_core.data.stream import window_stream
from lram_core.data.writer import DatasetWriter
from lram_core.errors import DataError
from lram_core.returns import returns_to_go
from lram_core.testing import SCHEMA, small_dataset
from lram_core.training.batch import gather
from lram_core.training.config import TrainConfig
from lram_core.training.train import train


class TestWindows:
    @given(st.data())
    @settings(max_examples=40, deadline=None)
    def test_a_window_is_a_slice_of_its_episode(self, tmp_path_factory, data):
        path = tmp_path_factory.mktemp("set") / "set"
        found = small_dataset(path, episodes=4, seed=data.draw(st.integers(0, 5)))
        number = data.draw(st.integers(0, 3))
        row = found.episodes.to_pylist()[number]
        start = data.draw(st.integers(0, row["length"] - 1))
        length = data.draw(st.integers(1, row["length"] - start))
        window = found.window(number, start, length)
        rows = slice(row["start"] + start, row["start"] + start + length)
        for name in ("observations", "actions", "rewards"):
            np.testing.assert_array_equal(getattr(window, name), getattr(found, name)[rows])
            assert getattr(window, name).base is not None  # a view, not a copy
        rewards = found.rewards[row["start"] : row["start"] + row["length"]]
        whole = returns_to_go(rewards, row["return"])
        np.testing.assert_allclose(window.returns_to_go, whole[start : start + length], rtol=1e-6)

    def test_what_is_not_there_is_named(self, tmp_path):
        data = small_dataset(tmp_path / "set", episodes=2)
        last = int(data.column("length")[1]) - 1
        with pytest.raises(DataError, match=rf"episode 1 has ticks 0 … {last}, asked for 0 … 99"):
            data.window(1, 0, 100)
        with pytest.raises(DataError, match="no episode 2; there are 0 … 1"):
            data.window(2)

    def test_a_set_of_100_gigabytes(self, tmp_path):
        """Sparse files stand for the arrays: opening and a window touch almost nothing of them."""
        episodes, length = 500_000, 1000
        steps = episodes * length
        wide = replace(SCHEMA, observation=(replace(SCHEMA.observation[0], size=50),))
        with DatasetWriter(tmp_path / "set", wide) as writer:
            writer.add(replace(episode(3, 0), observations=np.ones((3, 50), np.float32)))
            writer.finish({})
        folder = tmp_path / "set"
        for name, shape in (("observations", (50,)), ("actions", (2,)), ("rewards", ())):
            array = np.lib.format.open_memmap(
                folder / f"{name}.npy", "w+", np.float32, (steps, *shape)
            )
            array[-length:] = 1.0
            del array
        row = pq.read_table(folder / "episodes.parquet").to_pylist()[0]
        columns = {name: pa.array([value] * episodes) for name, value in row.items()}
        columns["start"] = pa.array(np.arange(episodes) * length)
        columns["length"] = pa.array(np.full(episodes, length))
        columns["return"] = pa.array(np.zeros(episodes))
        pq.write_table(pa.table(columns), folder / "episodes.parquet")
        size = sum(file.stat().st_size for file in folder.glob("*.npy"))
        assert size > 100e9
        assert sum(file.stat().st_blocks * 512 for file in folder.glob("*.npy")) < 1e9

        begun = time.perf_counter()
        data = Dataset.open(folder)
        print(f"opened {size / 1e9:.0f} GB in {time.perf_counter() - begun:.3f} s")
        assert (len(data), data.steps) == (episodes, steps)
        np.testing.assert_array_equal(data.window(episodes - 1, 990, 10).observations, 1.0)
        assert data.window(7, 5, 20).returns_to_go.tolist() == [0.0] * 20
        assert describe(data)["hours"] == pytest.approx(steps / 50 / 3600)


class TestTrainingFromFiles:
    def test_batches_are_those_of_loaded_arrays(self, tmp_path):
        datasets = [small_dataset(tmp_path / name, seed=i) for i, name in enumerate("ab")]
        codec = ActionCodec(SCHEMA.action)
        loaded = TrainingArrays.load(datasets, codec, "cpu")
        mapped = TrainingArrays.load(datasets, codec, "cpu", mapped=True)
        assert isinstance(mapped.observations, MappedRows)
        assert mapped.episodes == loaded.episodes
        assert mapped.split(0.1) == loaded.split(0.1)
        stream = window_stream(loaded.episodes, batch=4, ticks=13, seed=0)
        for _ in range(20):
            windows = next(stream)
            ours, theirs = (gather(a, windows, torch.device("cpu")) for a in (mapped, loaded))
            for name, values in theirs.items():
                assert ours[name].dtype == values.dtype
                assert torch.equal(ours[name], values), name

    def test_a_run_on_files_is_the_run_on_loaded_arrays(self, tmp_path, monkeypatch):
        """Where the data would take more than half of the memory the trainer leaves them there."""
        small_dataset(tmp_path / "set")
        options = {"d_model": 32, "num_layers": 2, "num_heads": 2}
        config = TrainConfig(
            backbone_options=options, steps=8, batch=4, context=8, device="cpu",
            evaluate_every=4, checkpoint_every=8, evaluation_windows=2, bins=32,
        )  # fmt: skip
        loaded = train([tmp_path / "set"], tmp_path / "a", tmp_path / "run_a", config)
        monkeypatch.setattr(arrays_module, "memory", lambda device: 1000)
        made = []
        monkeypatch.setattr(
            arrays_module, "MappedRows", lambda *args: made.append(args) or MappedRows(*args)
        )
        mapped = train([tmp_path / "set"], tmp_path / "b", tmp_path / "run_b", config)
        assert len(made) == 3
        assert mapped == pytest.approx(loaded, rel=1e-4)

    @given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4), seed=st.integers(0, 9))
    @settings(max_examples=30, deadline=None)
    def test_statistics_are_those_of_all_rows(self, sizes, seed):
        rng = np.random.default_rng(seed)
        arrays = [rng.normal(5, 3, (size, 3)).astype(np.float32) for size in sizes]
        std, mean = MappedRows(arrays, "cpu").std_mean()
        whole = torch.from_numpy(np.concatenate(arrays)).double()
        theirs = torch.std_mean(whole, dim=0, correction=0)
        torch.testing.assert_close(std, theirs[0])
        torch.testing.assert_close(mean, theirs[1])

    def test_rows_that_are_not_there(self):
        rows = MappedRows([np.zeros((4, 2), np.float32)], "cpu")
        with pytest.raises(IndexError):
            rows[torch.tensor([4])]
