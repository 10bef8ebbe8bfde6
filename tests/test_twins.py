"""Embodiments with the same fields that share embedding, head and statistics: twins."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lram_core.action_model import ModelConfig
from lram_core.bundle import CONFIG as MODEL_FILE
from lram_core.bundle import load_bundle, load_joint_bundle
from lram_core.data.store import Dataset
from lram_core.errors import BundleError
from lram_core.joint_model import TWIN, JointModel, model_from_dict
from lram_core.policy import Policy
from lram_core.testing import OTHER_SCHEMA, SCHEMA, small_dataset
from lram_core.training.config import TrainConfig
from lram_core.training.optimizers import learning_rate
from lram_core.training.train import train

LEFT, RIGHT, LIFT = SCHEMA.suite, "right", OTHER_SCHEMA.suite
CONFIG = TrainConfig(
    backbone_options={"d_model": 32, "num_layers": 1, "num_heads": 2},
    bins=32,
    batch=6,
    context=12,
    steps=8,
    warmup=5,
    ema=0.9,
    device="cpu",
    evaluate_every=4,
    evaluation_windows=1,
    checkpoint_every=4,
    share_alike=True,
    tracker="none",
)


@pytest.fixture
def data(tmp_path: Path) -> list[Path]:
    """Two arms of one layout, and an embodiment of another."""
    small_dataset(tmp_path / "left", episodes=20)
    small_dataset(tmp_path / "right", episodes=10, seed=1, schema=replace(SCHEMA, suite=RIGHT))
    small_dataset(tmp_path / "lift", episodes=10, schema=OTHER_SCHEMA)
    return [tmp_path / name for name in ("left", "right", "lift")]


def test_twins_are_one_model_with_the_statistics_of_both(tmp_path: Path, data: list[Path]) -> None:
    train(data, tmp_path / "b", tmp_path / "run", CONFIG)
    model, contracts = load_joint_bundle(tmp_path / "b")
    assert list(contracts) == [LEFT, RIGHT, LIFT]
    assert model.select(RIGHT) is model.select(LEFT)
    assert model.select(LIFT) is not model.select(LEFT)
    assert not any(name.startswith(f"{RIGHT}/") for name in model.weights())
    seen = np.concatenate([Dataset.open(path).observations for path in data[:2]])
    norm = model.select(RIGHT).observation_norm
    np.testing.assert_allclose(norm.mean, seen.mean(0), atol=1e-5)
    np.testing.assert_allclose(norm.std, seen.std(0), rtol=1e-4)
    policies = [Policy.load(tmp_path / "b", embodiment=name) for name in (LEFT, RIGHT)]
    size = policies[0].contract.observation_size
    first, second = (policy.act(np.ones(size, np.float32), 0.0).values for policy in policies)
    np.testing.assert_array_equal(first, second)


def test_without_the_setting_each_has_its_own(tmp_path: Path, data: list[Path]) -> None:
    train(data[:2], tmp_path / "b", tmp_path / "run", replace(CONFIG, share_alike=False, steps=1))
    model, _ = load_joint_bundle(tmp_path / "b")
    assert model.select(RIGHT) is not model.select(LEFT)
    assert f"{RIGHT}/head.weight" in model.weights()


def test_a_cut_training_goes_on_number_for_number(
    tmp_path: Path, data: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, tmp_path / "whole", tmp_path / "run", CONFIG)

    def stop(config: TrainConfig, step: int, done: float) -> float:
        if step == 6:
            raise KeyboardInterrupt
        return learning_rate(config, step, done)

    with monkeypatch.context() as patch:
        patch.setattr("lram_core.training.train.learning_rate", stop)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "cut", tmp_path / "cut-run", CONFIG)
    train(data, tmp_path / "cut", tmp_path / "cut-run", CONFIG)
    whole, cut = (load_joint_bundle(tmp_path / n)[0].weights() for n in ("whole", "cut"))
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_new_twin_goes_on_with_what_the_first_has_learnt(
    tmp_path: Path, data: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    train(data[:1], tmp_path / "a", tmp_path / "run", CONFIG)
    still = replace(CONFIG, init=str(tmp_path / "a"), steps=1, lr=1e-12, lr_end=0.0, ema=0.0)
    train([data[1], data[0]], tmp_path / "b", tmp_path / "run-b", still)
    said = " ".join(capsys.readouterr().err.split())
    assert "goes on with: " in said
    assert "new: " not in said
    before, after = load_bundle(tmp_path / "a")[0], load_bundle(tmp_path / "b", "cpu", RIGHT)[0]
    for name, value in before.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shapes: shapes["b"].update({TWIN: "c"}), "'c' is no embodiment before it; .* a$"),
        (lambda shapes: shapes["b"].update({TWIN: ["a"]}), "is no embodiment before it"),
        (lambda shapes: shapes["b"].update(action_size=3), "twin_of: a has another shape"),
    ],
)
def test_a_twin_that_cannot_be_is_refused(
    change: Callable[[dict[str, Any]], None], message: str
) -> None:
    config = ModelConfig(3, 2, 8, "xlstm", {"d_model": 32, "num_layers": 1, "num_heads": 2})
    told = JointModel.create({"a": config, "b": config}, {"b": "a"}).to_dict()
    again = model_from_dict(json.loads(json.dumps(told)), ["a", "b"], MODEL_FILE)
    assert again.to_dict() == told
    change(told["embodiments"])
    with pytest.raises(BundleError, match=message):
        model_from_dict(told, ["a", "b"], MODEL_FILE)
