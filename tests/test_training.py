"""Windows of whole episodes, a trainer that learns, resumes, and writes what it measured."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bundle import load_bundle
from lram_core.codec import ActionCodec
from lram_core.data.arrays import EpisodeSpan, TrainingArrays
from lram_core.data.stream import window_stream
from lram_core.errors import BundleError, CommandError, DataError
from lram_core.policy import Policy
from lram_core.testing import SCHEMA, small_dataset
from lram_core.training.batch import action_loss, gather, spread_loss
from lram_core.training.command import train as command
from lram_core.training.config import TrainConfig
from lram_core.training.optimizers import learning_rate, make_optimizers
from lram_core.training.train import train

CONFIG = TrainConfig(
    backbone_options={"d_model": 32, "num_layers": 2, "num_heads": 2},
    bins=64,
    batch=8,
    context=16,
    steps=60,
    warmup=5,
    lr=5e-3,
    ema=0.9,
    device="cpu",
    evaluate_every=20,
    evaluation_windows=2,
    checkpoint_every=20,
)


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=12),
    batch=st.integers(1, 4),
    ticks=st.integers(1, 20),
)
@settings(max_examples=40, deadline=None)
def test_streams_play_every_episode_from_first_to_last_tick(
    lengths: list[int], batch: int, ticks: int
) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).tolist()
    episodes = [EpisodeSpan(s, n) for s, n in zip(starts, lengths, strict=True)]
    total = 4 * sum(lengths) // (batch * ticks) + 4
    windows = list(itertools.islice(window_stream(episodes, batch, ticks, seed=1), total))
    seen: set[int] = set()
    for stream in range(batch):
        index = np.concatenate([w.index[stream] for w in windows])
        start = np.concatenate([w.start[stream] for w in windows])
        assert start[0]
        # Within an episode the ticks follow each other; a new one begins where the last one ends.
        for t in range(1, len(index)):
            if start[t]:
                assert index[t] in starts
                assert index[t - 1] + 1 in [*starts, sum(lengths)]
            else:
                assert index[t] == index[t - 1] + 1
        seen.update(index.tolist())
    assert seen == set(range(sum(lengths)))


def test_streams_repeat_for_a_seed_and_jitter_once_an_episode() -> None:
    episodes = [EpisodeSpan(0, 10), EpisodeSpan(10, 7)]
    a, b = (list(itertools.islice(window_stream(episodes, 2, 5, 3, 0.5), 20)) for _ in range(2))
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x.index, y.index)
        np.testing.assert_array_equal(x.return_offset, y.return_offset)
    offset = np.concatenate([w.return_offset[0] for w in a])
    start = np.concatenate([w.start[0] for w in a])
    changed = np.flatnonzero(np.diff(offset)) + 1
    assert len(changed) > 3
    assert start[changed].all()


def test_what_training_sees_is_what_control_feeds(tmp_path: Path) -> None:
    """Returns and rewards of a window equal those a policy is fed over the same episode."""
    data = small_dataset(tmp_path / "data")
    arrays = TrainingArrays.load([data], ActionCodec(SCHEMA.action, 64), "cpu")
    row = data.episodes.to_pylist()[3]
    ticks = slice(row["start"], row["start"] + row["length"])
    config = replace(CONFIG, steps=1)
    train([tmp_path / "data"], tmp_path / "bundle", tmp_path / "run", config)
    policy = Policy.load(tmp_path / "bundle")
    policy.reset(target_return=row["return"])
    for t, observation in enumerate(data.observations[ticks]):
        policy.act(observation, float(data.rewards[ticks][t - 1]) if t else 0.0)
        seen = float(arrays.returns_to_go[ticks][t]) * SCHEMA.reward.scale
        assert policy.return_to_go == pytest.approx(seen, abs=1e-3)


def test_held_out_episodes_are_of_every_task_and_disjoint(tmp_path: Path) -> None:
    arrays = TrainingArrays.load(
        [small_dataset(tmp_path / "data")], ActionCodec(SCHEMA.action), "cpu"
    )
    training, validation = arrays.split(0.025)
    assert sorted(training + validation) == list(range(24))
    assert {arrays.tasks[n] for n in validation} == {"reach", "push"}


def test_training_learns_resumes_and_writes_a_bundle(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data", episodes=60)
    data = [tmp_path / "data"]
    whole = train(data, tmp_path / "whole", tmp_path / "run_whole", CONFIG)
    with (tmp_path / "run_whole" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [20, 40, 60]
    assert whole["loss"] < float(rows[0]["loss"]) < np.log(64) + 0.3
    assert whole["mae_rad"] < 0.3

    class Cut(Exception):
        pass

    def cut_at(step: int, config: TrainConfig = CONFIG) -> None:
        def stop(*args: object, **kwargs: object) -> float:
            if args[1] == step:
                raise Cut
            return learning_rate(*args, **kwargs)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lram_core.training.train.learning_rate", stop)
            with pytest.raises(Cut):
                train(data, tmp_path / "cut", tmp_path / "run_cut", config)

    cut_at(45)
    assert not (tmp_path / "cut").exists()
    train(data, tmp_path / "cut", tmp_path / "run_cut", CONFIG)
    resumed, _ = load_bundle(tmp_path / "cut")
    straight, _ = load_bundle(tmp_path / "whole")
    for name, value in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, atol=0, rtol=0)

    summary = json.loads((tmp_path / "whole" / "config.json").read_text())["training"]
    assert summary["steps"] == 60
    assert summary["config"]["lr"] == 5e-3
    with (tmp_path / "run_cut" / "metrics.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [20, 40, 60]
    with pytest.raises(CommandError, match=r"other settings: lr 0\.005 \(now 0\.0001\)"):
        train(data, tmp_path / "cut", tmp_path / "run_cut", replace(CONFIG, lr=1e-4))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("xlstm", {"num_heads": 2}),
        ("xlstm", {"num_heads": 2, "slstm_at": [1]}),
        ("mamba", {}),
        ("transformer", {"num_heads": 2, "context": 8}),
    ],
    ids=["xlstm", "xlstm-7:1", "mamba", "transformer"],
)
def test_every_backbone_trains_and_acts(
    tmp_path: Path, backbone: str, options: dict[str, Any], optimizer: str
) -> None:
    data = small_dataset(tmp_path / "data")
    shape = {"d_model": 32, "num_layers": 2, **options}
    config = replace(
        CONFIG, backbone=backbone, backbone_options=shape, optimizer=optimizer, steps=20
    )
    metrics = train([tmp_path / "data"], tmp_path / "bundle", tmp_path / "run", config)
    assert metrics["train_loss"] < np.log(64)
    policy = Policy.load(tmp_path / "bundle", runtime="torch")
    policy.reset()
    for observation in data.observations[:20]:
        action = policy.act(observation, 0.1)
        assert np.isfinite(action.values).all()


def test_only_matrices_decay_and_only_large_ones_go_to_muon() -> None:
    for backbone, large in (("xlstm", 4), ("mamba", 4), ("transformer", 8)):
        shape = {"d_model": 16, "num_layers": 2}
        model = ActionModel(ModelConfig(5, 2, 8, backbone, shape))
        names = {id(p): name for name, p in model.named_parameters()}
        adamw, muon = make_optimizers(model, CONFIG)
        assert len(muon.param_groups[0]["params"]) == large
        decayed, free = ([names[id(p)] for p in g["params"]] for g in adamw.param_groups)
        assert not [n for n in decayed if n.endswith(("bias", "norm.weight", "A_log", "D"))]
        assert not [n for n in decayed if "embed_" in n or "position" in n]
        assert not [n for n in free if n.endswith(("head.weight", "conv1d.weight"))]


def test_command_names_the_sizes_of_a_backbone(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    arguments = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "b"), "--run"]
    arguments += [str(tmp_path / "run"), "--steps", "1", "--batch", "1", "--device", "cpu"]
    runner = CliRunner()
    wrong = runner.invoke(command, [*arguments, "--backbone", "mamba", "--size", "16M-h128"])
    assert isinstance(wrong.exception, BundleError)
    assert "unknown size '16M-h128'; available: d64, d128" in str(wrong.exception)
    right = runner.invoke(command, [*arguments, "--backbone", "transformer", "--size", "d128"])
    assert right.exit_code == 0, right.output
    model, _ = load_bundle(tmp_path / "b")
    assert model.config.backbone == "transformer"


def test_nothing_but_a_bundle_is_ever_replaced(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    kept = tmp_path / "models" / "mine" / "policy.yaml"
    kept.parent.mkdir(parents=True)
    kept.write_text("another's work\n")
    for out, message in ((tmp_path / "models", "no policy bundle"), (kept, "is a file")):
        with pytest.raises(CommandError, match=message):
            train([tmp_path / "data"], out, tmp_path / "run", CONFIG)
    assert kept.read_text() == "another's work\n"
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_ends_without_a_bundle(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    with pytest.raises(DataError, match="loss is not finite"):
        train([tmp_path / "data"], tmp_path / "b", tmp_path / "run", replace(CONFIG, lr=1e30))
    assert not (tmp_path / "b").exists()


def test_corrupt_data_and_run_folders_are_named(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    run = tmp_path / "run"
    train([tmp_path / "data"], tmp_path / "b", run, replace(CONFIG, steps=2))
    checkpoint = "checkpoints/step-000000002.safetensors"
    for name, message in ((checkpoint, "damaged checkpoint"), ("config.yaml", "settings")):
        good = (run / name).read_bytes()
        (run / name).write_bytes(b"{" + good[: len(good) // 2])
        with pytest.raises(DataError, match=message):
            train([tmp_path / "data"], tmp_path / "b", run, replace(CONFIG, steps=2))
        (run / name).write_bytes(good)
    array = tmp_path / "data" / "rewards.npy"
    array.write_bytes(array.read_bytes()[:-4] + b"\0\0\xc0\x7f")
    with pytest.raises(DataError, match=r"rewards\.npy: checksum"):
        train([tmp_path / "data"], tmp_path / "c", tmp_path / "run2", CONFIG)


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:99", ""])
def test_unknown_devices_are_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(CommandError, match="device"):
        train([tmp_path / "data"], tmp_path / "b", tmp_path / "r", replace(CONFIG, device=device))


def test_gather_adds_the_offset_to_the_return(tmp_path: Path) -> None:
    arrays = TrainingArrays.load(
        [small_dataset(tmp_path / "data")], ActionCodec(SCHEMA.action), "cpu"
    )
    windows = next(window_stream(arrays.episodes, 4, 8, seed=0, return_jitter=1.0))
    batch = gather(arrays, windows, torch.device("cpu"))
    offset = batch["returns_to_go"] - arrays.returns_to_go[torch.from_numpy(windows.index)]
    torch.testing.assert_close(offset, torch.from_numpy(windows.return_offset))
    assert batch["bins"].shape == (4, 8, 2)


def test_schedule_warms_up_and_decays() -> None:
    rates = [learning_rate(CONFIG, step, step / 60) for step in range(60)]
    assert rates[0] == pytest.approx(CONFIG.lr / 5, rel=0.01)
    assert max(rates) == pytest.approx(CONFIG.lr, rel=0.02)
    assert learning_rate(CONFIG, 59, 1.0) == pytest.approx(CONFIG.lr_end)


@given(spread=st.floats(0.05, 8.0), label=st.integers(0, 31), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_a_spread_label_prefers_the_bin_beside_the_right_one(
    spread: float, label: int, seed: int
) -> None:
    bins = torch.tensor([[label]])
    near, far = (label + 1) % 32, (label + 16) % 32
    if abs(near - label) != 1:
        near = label - 1

    def loss(best: int) -> float:
        return float(spread_loss(6.0 * torch.eye(32)[best].reshape(1, 1, 32), bins, spread))

    assert loss(label) < loss(near) <= loss(far) + 1e-5
    logits = torch.randn(1, 1, 32, generator=torch.Generator().manual_seed(seed))
    almost_one_hot = spread_loss(logits, bins, 0.05)
    torch.testing.assert_close(almost_one_hot, action_loss(logits, bins))
    assert spread_loss(logits, bins, 0.0) == action_loss(logits, bins)
