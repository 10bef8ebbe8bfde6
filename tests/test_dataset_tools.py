"""Datasets are merged, split, verified, described and drawn; the commands of ``lram data``."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from store_rig import episode

from lram_core.cli import cli
from lram_core.contract import ActionField
from lram_core.data.manage import merge_datasets, split_dataset, verify_dataset
from lram_core.data.schema import schema_differences
from lram_core.data.split import hold_out
from lram_core.data.writer import DatasetWriter
from lram_core.errors import CommandError, DataError, LramError
from lram_core.testing import SCHEMA, small_dataset


def run(*arguments):
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    if isinstance(done.exception, LramError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


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
        for command in ("merge", "split"):  # a copy's own checksums would vouch for it
            words = ("data", command, tmp_path / "set", "--out", tmp_path / "copy")
            assert "observations.npy: checksum" in run(*words)
            assert not (tmp_path / "copy").exists()
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
