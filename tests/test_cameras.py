"""Cameras of the simulator as sensors: recorded, trained on, and looked through in control."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_rig import TINY

from lram_core.bundle import load_contract
from lram_core.contract import ObservationField
from lram_core.data.manage import verify_dataset
from lram_core.data.mapped import MappedRows
from lram_core.data.parts import pack_part, read_part, save_part
from lram_core.data.pictures import PictureRows
from lram_core.data.schema import Episode
from lram_core.data.store import Dataset
from lram_core.data.writer import DatasetWriter
from lram_core.errors import CommandError, ContractError, DataError
from lram_core.testing import SCHEMA
from lram_core.training.train import train
from lram_sim import collect as collection
from lram_sim.cameras import Cameras, View
from lram_sim.demonstrate import Recipe
from lram_sim.metaworld import OBSERVATION_FIELDS, MetaworldSuite

WIDTH, HEIGHT = 24, 16
FIELD = ObservationField("camera_corner2", WIDTH * HEIGHT * 3, "1", picture=(HEIGHT, WIDTH, 3))
NUMBERS = sum(field.size for field in OBSERVATION_FIELDS)
TASK = "reach-v3"
CONFIG = replace(
    TINY,
    steps=2,
    tracker="none",
)
# In a process of its own: what MuJoCo draws with is settled when it is imported, once a process.
LOOK = """
import sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from lram_core.data.store import Dataset
from lram_sim.cameras import Cameras
from lram_sim.evaluate import check_policy, evaluate
from lram_sim.metaworld import MetaworldSuite, MetaworldTask
from lram_sim.rollout import run_episode
from lram_sim.policy_source import PolicySource, cached_policy
from lram_sim.workers import cached_task
bundle, data, out = sys.argv[1:]
suite, source = MetaworldSuite(), PolicySource(bundle, runtime="torch", suite="metaworld")
recorded = Dataset.open(data).episode(0)
MetaworldTask.max_episode_steps = 6
check_policy(source, suite)
policy, seen = cached_policy(source), []
act = policy.act
policy.act = lambda observation, reward: (seen.append(observation), act(observation, reward))[1]
here = lambda function, items, workers: (function(item) for item in items)
seeds = [recorded.seed]
(outcome,) = evaluate(suite, ["reach-v3"], 1, seeds, 1, source, run=here)
actions = iter(recorded.actions)
policy.act = lambda observation, reward: SimpleNamespace(values=next(actions))
task = cached_task("metaworld", "reach-v3", Cameras.of_policy(policy.contract.observation))
again = run_episode(task, policy, recorded.seed)
np.savez(out, steps=outcome.steps, seen=np.stack(seen), again=again.observations)
"""


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"} | environment
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=kept, timeout=240)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cameras") / "data"
    words = ["collect", "metaworld", "--tasks", TASK, "--episodes", 2, "--noise", 0]
    camera = ["--camera", f"corner2:{WIDTH}x{HEIGHT}", "--workers", 1, "--out", out]
    done = run("-m", "lram_core.cli", *words, *camera)
    assert done.returncode == 0, done.stderr
    return out


def test_pictures_are_recorded_as_bytes_behind_the_other_fields(recorded: Path) -> None:
    data = verify_dataset(recorded)
    assert len(data) == 2
    assert data.schema.observation == (*OBSERVATION_FIELDS, FIELD)
    pixels = np.load(recorded / "pictures.npy")
    assert (pixels.dtype, pixels.shape) == (np.uint8, (data.steps, FIELD.size))
    assert pixels.std(axis=1).min() > 5, "no picture is of one colour"
    assert (pixels[0] != pixels[-1]).any(), "the arm moves"
    assert isinstance(data.observations, PictureRows)
    rows = data.episode(1).observations
    assert rows.shape == (data.column("length")[1], NUMBERS + FIELD.size)
    start = data.column("start")[1]
    np.testing.assert_array_equal(rows[:, :NUMBERS], np.load(recorded / "observations.npy")[start:])
    np.testing.assert_array_equal(np.rint(255 * rows[:, NUMBERS:]), pixels[start:])


def test_the_policy_sees_in_control_what_was_recorded(tmp_path: Path, recorded: Path) -> None:
    bundle = tmp_path / "bundle"
    metrics = train([recorded], bundle, tmp_path / "run", CONFIG)
    assert np.isfinite(metrics["train_loss"])
    contract = load_contract(bundle)
    assert contract.observation[-1] == FIELD
    done = run("-c", LOOK, bundle, recorded, tmp_path / "seen.npz", MUJOCO_GL="egl")
    assert done.returncode == 0, done.stderr
    found, episode = np.load(tmp_path / "seen.npz"), Dataset.open(recorded).episode(0)
    assert found["steps"] == len(found["seen"]) == 6
    # The same start; and with the recorded actions, the same pictures after it.
    np.testing.assert_allclose(found["seen"][0], episode.observations[0], atol=1e-6)
    again, kept = found["again"][:, NUMBERS:], episode.observations[:6, NUMBERS:]
    assert np.abs(again - kept).mean() < 1 / 255
    assert np.abs(kept[5] - kept[0]).mean() > 2 * np.abs(again[5] - kept[5]).mean()


def test_a_recording_is_that_of_its_cameras(tmp_path: Path, recorded: Path) -> None:
    suite, recipe = MetaworldSuite(), Recipe(2, 0, 0.0)

    def collect(*cameras: str) -> None:
        collection.collect(suite, [TASK], recipe, recorded, 1, cameras=Cameras.parse(cameras))

    collect(f"corner2:{WIDTH}x{HEIGHT}")  # is there already
    begun = r'begun with cameras \[\["corner2", 24, 16\]\] \(now \[\["corner2", 84, 84\]\]'
    with pytest.raises(DataError, match=begun):
        collect("corner2")
    out = tmp_path / "out"
    for camera, gl, message in (
        ("side", "egl", "no camera 'side'; the task has topview, corner,"),
        ("corner2", "none", "MuJoCo cannot draw with MUJOCO_GL=none: .*egl .*libegl1, libgl1"),
    ):
        cameras = Cameras((View(camera),), gl)
        with pytest.raises(CommandError, match=message):
            collection.collect(suite, [TASK], recipe, out, 1, cameras=cameras)
    assert not list(tmp_path.iterdir()), "nothing half-done"


def test_pixels_are_kept_exactly_by_parts_and_by_a_writer_that_was_cut_off(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fields = (OBSERVATION_FIELDS[0], FIELD, OBSERVATION_FIELDS[1])
    schema = replace(SCHEMA, observation=fields)
    size = FIELD.size + 4

    def episode(seed: int) -> Episode:
        seen = rng.normal(size=(5, size)).astype(np.float32)
        seen[:, 3:-1] = rng.integers(0, 256, (5, FIELD.size)).astype(np.float32) / np.float32(255)
        actions, rewards = np.zeros((5, 2), np.float32), np.zeros(5, np.float32)
        return Episode(seen, actions, rewards, "reach", seed, True, 0.0)

    episodes = [episode(seed) for seed in range(3)]
    save_part(tmp_path / "part.npz", pack_part(episodes, fields))
    kept = read_part(tmp_path / "part.npz", fields)

    def cut_off() -> None:
        with DatasetWriter(tmp_path / "set", schema, {"from": "here"}) as writer:
            writer.add(kept[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    with DatasetWriter(tmp_path / "set", schema, {"from": "here"}) as writer:
        assert writer.episodes == 1
        writer.extend(kept[1:])
        bad = episode(9)
        bad.observations[2, 7] = 2.0
        with pytest.raises(DataError, match=r"seed 9: pixels from .* to 2; expected 0 to 1"):
            writer.add(bad)
        writer.finish({})
    data = Dataset.open(tmp_path / "set")
    whole = np.concatenate([each.observations for each in episodes])
    np.testing.assert_array_equal(np.asarray(data.observations), whole)
    np.testing.assert_array_equal(data.observations[[7, 2]], whole[[7, 2]])
    np.testing.assert_array_equal(data.observations[4:9, [0, 8]], whole[4:9][:, [0, 8]])
    np.testing.assert_array_equal(data.observations[-1], whole[-1])
    rows = MappedRows([data.observations, data.observations], "cpu")
    std, mean = rows.std_mean(torch.tensor([0, 1, 2, size - 1]))
    others = whole[:, [0, 1, 2, -1]].astype(np.float64)
    np.testing.assert_allclose(std.numpy(), others.std(0), rtol=1e-9)
    np.testing.assert_allclose(mean.numpy(), others.mean(0), rtol=1e-9)
    pixels = tmp_path / "set" / "pictures.npy"
    np.save(pixels, np.load(pixels)[:-1])
    with pytest.raises(DataError, match=r"pictures.npy: uint8 of shape \(14, 1152\) found"):
        Dataset.open(tmp_path / "set")


@settings(max_examples=30)
@given(st.text(min_size=1).filter(lambda text: ":" not in text), st.integers(8, 999))
def test_what_names_a_camera_is_read_back(name: str, size: int) -> None:
    view = View.parse(f"{name}:{size}x{size + 1}")
    assert view == View(name, size, size + 1)
    assert View.parse(name) == View(name, 84, 84)
    (read,) = Cameras.of_policy([*OBSERVATION_FIELDS, view.field]).views  # type: ignore[union-attr]
    assert read == view


def test_cameras_that_are_none_are_named() -> None:
    for texts, message in (
        (["a:32"], "camera 'a:32': expected NAME or NAME:WxH"),
        (["a:7x9"], "expected at least 8 × 8 pixels, found 7 × 9"),
        (["a", "a:9x9"], "camera 'a' is named twice"),
    ):
        with pytest.raises(CommandError, match=message):
            Cameras.parse(texts)
    assert Cameras.parse([]) is None
    assert Cameras.of_policy(OBSERVATION_FIELDS) is None
    for other in (replace(FIELD, name="wrist"), replace(FIELD, size=64, picture=(8, 8, 1))):
        with pytest.raises(ContractError, match="none of the simulator; those are called camera_"):
            Cameras.of_policy([other])
