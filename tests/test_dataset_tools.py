"""Datasets written in pieces, continued, read by windows; merged, split, drawn."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from store_rig import episode

import lram_core.data.arrays as arrays_module
from lram_core.cli import cli
from lram_core.codec import ActionCodec
from lram_core.contract import ActionField
from lram_core.data.arrays import TrainingArrays
from lram_core.data.describe import describe
from lram_core.data.manage import merge_datasets, split_dataset, verify_dataset
from lram_core.data.mapped import MappedRows
from lram_core.data.schema import schema_differences
from lram_core.data.split import hold_out
from lram_core.data.store import Dataset
from lram_core.data.stream import window_stream
from lram_core.data.writer import DatasetWriter
from lram_core.errors import CommandError, DataError, LramError
from lram_core.returns import returns_to_go
from lram_core.testing import SCHEMA, small_dataset
from lram_core.training.batch import gather
from lram_core.training.config import TrainConfig
from lram_core.training.train import train


def run(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    if isinstance(done.exception, LramError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


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


class TestTools:
    def test_merge_and_split(self, tmp_path):
        sets = [small_dataset(tmp_path / name, 12, i) for i, name in enumerate("ab")]
        assert merge_datasets([s.path for s in sets], tmp_path / "all") == 24
        merged = verify_dataset(tmp_path / "all")
        for name in ("observations", "actions", "rewards"):
            both = np.concatenate([getattr(s, name) for s in sets])
            np.testing.assert_array_equal(getattr(merged, name), both)
        counts = split_dataset(tmp_path / "all", tmp_path / "parts", 0.25)
        parts = {name: verify_dataset(tmp_path / "parts" / name) for name in counts}
        assert sum(part.steps for part in parts.values()) == merged.steps
        held = hold_out(
            *(SCHEMA.suite, merged.column("task").tolist(), merged.column("seed").tolist(), 0.25)
        )
        assert counts == {"train": 24 - sum(held), "valid": sum(held)}
        assert parts["valid"].task_names == ["push", "reach"]
        seeds = merged.column("seed")[np.array(held)].tolist()
        assert parts["valid"].column("seed").tolist() == seeds
        with pytest.raises(DataError, match="is there already"):
            split_dataset(tmp_path / "all", tmp_path / "parts", 0.25)

    def test_schemas_that_differ_are_told_apart(self, tmp_path):
        small_dataset(tmp_path / "a")
        elbow = ActionField("elbow", "rad", "joint_position", -0.5, 0.7)
        other = replace(SCHEMA, robot="x", action=(SCHEMA.action[0], elbow))
        with DatasetWriter(tmp_path / "b", other) as writer:
            writer.add(episode(3, 0))
            writer.finish({})
        with pytest.raises(DataError) as caught:
            merge_datasets([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
        for word in (
            "robot 'x' instead of 'two_joint_arm'",
            "action field elbow: kind 'joint_position' instead of 'joint_delta'",
            "high 0.7 instead of 0.5",
        ):
            assert word in str(caught.value)
        assert not (tmp_path / "all").exists()
        with pytest.raises(CommandError, match="nothing to merge"):
            merge_datasets([], tmp_path / "all")
        assert schema_differences(SCHEMA, SCHEMA) == []

    def test_verify_finds_what_opening_does_not(self, tmp_path):
        data = small_dataset(tmp_path / "set")
        data.verify(thorough=True)
        array = np.lib.format.open_memmap(tmp_path / "set" / "observations.npy", "r+")
        array[30, 2] = np.nan
        del array
        assert "observations.npy: checksum" in run("data", "verify", tmp_path / "set")
        description = json.loads((tmp_path / "set" / "dataset.json").read_text())
        from lram_core.data.files import sha256

        description["sha256"]["observations.npy"] = sha256(tmp_path / "set" / "observations.npy")
        (tmp_path / "set" / "dataset.json").write_text(json.dumps(description))
        assert "observations.npy: not finite in episode" in run("data", "verify", tmp_path / "set")

    def test_another_version_is_named(self, tmp_path):
        small_dataset(tmp_path / "set")
        file = tmp_path / "set" / "dataset.json"
        file.write_text(file.read_text().replace('"format_version": 1', '"format_version": 7'))
        text = run("data", "info", tmp_path / "set")
        assert text == f"{tmp_path / 'set'}: format_version 7 found, this release reads 1 and 2"

    def test_commands(self, tmp_path):
        small_dataset(tmp_path / "set")
        text = run("data", "info", tmp_path / "set")
        assert "\x1b" not in text
        for word in ("24 episodes", "two_joint_arm", "reach", "push", "joint_position (delay 1)",
                     "shoulder (joint_delta)", "-0.5 … 0.5", "rad", "distance reward"):  # fmt: skip
            assert word in text
        about = json.loads(run("data", "info", tmp_path / "set", "--json"))
        assert about["episodes"] == 24
        assert [(t["task"], t["episodes"]) for t in about["tasks"]] == [("push", 12), ("reach", 12)]
        assert about["action"][0]["max"] == pytest.approx(0.9, abs=0.05)
        assert "24 episodes" in run("data", "verify", tmp_path / "set")
        run("data", "split", tmp_path / "set", "--out", tmp_path / "p", "--fraction", "0.3")
        parts = (tmp_path / "p" / "train", tmp_path / "p" / "valid")
        assert "24 episodes" in run("data", "merge", *parts, "--out", tmp_path / "merged")
        assert "merged from" in run("data", "info", tmp_path / "merged")

    def test_plots(self, tmp_path):
        small_dataset(tmp_path / "set")
        for name, more in (("all.svg", ()), ("one.svg", ("--episode", "3"))):
            run("data", "plot", tmp_path / "set", "--out", tmp_path / name, *more)
            drawn = (tmp_path / name).read_text()
            for word in ("joint_position", "goal", "action: elbow", "value, rad"):
                assert word in drawn
        assert "time, s" in drawn
        assert "return to go" in drawn
        run("data", "plot", tmp_path / "set", "--out", tmp_path / "all.png")
        with Image.open(tmp_path / "all.png") as picture:
            colours = picture.convert("RGB").getcolors(1 << 20)
            assert picture.width > 1000
            assert len(colours) > 20
        text = run("data", "plot", tmp_path / "set", "--out", tmp_path / "all.gif")
        assert text.endswith("all.gif: a plot is a file of .svg, .png, .pdf")
        assert "no episode 99" in run(
            *("data", "plot", tmp_path / "set", "--out", tmp_path / "x.png", "--episode", "99")
        )
        assert not (tmp_path / "x.png").exists()
