"""Model card: commands, measured tables and curves, from files the project itself writes."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from train_rig import TINY

from lram_core.bundle import load_bundle
from lram_core.errors import CommandError, DataError
from lram_core.testing import small_dataset
from lram_core.training.card import write_measured_card
from lram_core.training.command import train as command
from lram_core.training.config import TrainConfig
from lram_core.training.settings import make_settings
from lram_core.training.train import train

CONFIG = TrainConfig(
    backbone_options={"d_model": 16, "num_layers": 1, "num_heads": 1},
    batch=4,
    context=8,
    steps=4,
    device="cpu",
    evaluate_every=2,
    evaluation_windows=1,
)
RESULTS = {
    "parameters": {"episodes": 10, "first_seeds": [1_000_000_000]},
    "mean": {
        "name": "mean", "episodes": 10, "success_rate": 0.9, "low": 0.6, "high": 0.98,
        "success_rate_200": 0.8, "mean_return": 500.0, "mean_steps": 80.0,
    },
    "tasks": [],
}  # fmt: skip


def test_card_shows_both_phases_results_and_curves(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    first, second = tmp_path / "first", tmp_path / "second"
    train([tmp_path / "data"], first, tmp_path / "run1", CONFIG)
    train([tmp_path / "data"], second, tmp_path / "run2", replace(CONFIG, init=str(first), lr=1e-3))
    (tmp_path / "results.json").write_text(json.dumps(RESULTS))
    results = {"Unseen seeds": tmp_path / "results.json"}
    write_measured_card(second, results, [tmp_path / "run1", tmp_path / "run2"])
    card = (second / "README.md").read_text()
    assert card.count("lram train") == 2
    assert f"--init {first}" in card
    assert "| mean | 10 | 0.900 | 0.60 – 0.98 | 0.800 | 500 | 80 |" in card
    assert "(loss.svg)" in card
    assert (second / "loss.svg").read_text().lstrip().startswith("<?xml")
    load_bundle(second)


def test_continuing_takes_the_weights_and_refuses_another_shape(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    first = tmp_path / "first"
    train([tmp_path / "data"], first, tmp_path / "run1", CONFIG)
    still = replace(CONFIG, init=str(first), lr=1e-12, lr_end=0.0, steps=1)
    train([tmp_path / "data"], tmp_path / "same", tmp_path / "run2", still)
    before, after = (load_bundle(tmp_path / name)[0].state_dict() for name in ("first", "same"))
    for name, value in before.items():
        assert (value - after[name]).abs().max() < 1e-6, name
    wider = replace(still, backbone_options={"d_model": 32, "num_layers": 1, "num_heads": 1})
    with pytest.raises(CommandError, match="cannot be continued"):
        train([tmp_path / "data"], tmp_path / "x", tmp_path / "run3", wider)


def test_wrong_files_are_named(tmp_path: Path) -> None:
    small_dataset(tmp_path / "data")
    train([tmp_path / "data"], tmp_path / "b", tmp_path / "run", CONFIG)
    with pytest.raises(DataError, match="not a result of 'lram eval'"):
        write_measured_card(tmp_path / "b", {"x": tmp_path / "data" / "dataset.json"}, [])
    with pytest.raises(DataError, match="not a training run's folder"):
        write_measured_card(tmp_path / "b", {}, [tmp_path / "data"])


def test_the_command_on_a_card_makes_the_same_settings(tmp_path: Path) -> None:
    """Texts, words to choose from, lists and flags come back from the shell as they were."""
    small_dataset(tmp_path / "data")
    config = replace(TINY, tracker="none", bf16_cpu=False, betas=(0.8, 0.9), rollout_tasks="a,b c")
    train([tmp_path / "data"], tmp_path / "b", tmp_path / "r", config)
    card = (tmp_path / "b" / "README.md").read_text()
    (line,) = [text for text in card.splitlines() if text.startswith("lram train")]
    done = CliRunner().invoke(command, [*shlex.split(line)[2:], "--print-config"])
    assert done.exit_code == 0, done.output
    assert make_settings(yaml.safe_load(done.stdout)).config == config
