"""What a training tells people while it runs and at its end."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from train_rig import TINY

from lram_core.bundle import load_joint_bundle
from lram_core.contract import ActionField
from lram_core.data.store import Dataset
from lram_core.joint_model import JointModel
from lram_core.testing import SCHEMA, small_dataset
from lram_core.training.domains import load_domains
from lram_core.training.progress import duration
from lram_core.training.rollouts import Rollouts
from lram_core.training.train import train
from lram_core.training.validation import perplexity, validate_all

CONFIG = replace(TINY, tracker="none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("report") / "data").path


def seconds(line: str) -> float:
    (found,) = re.findall(r"(\d+):(\d\d):(\d\d) left", line)
    return sum(int(part) * unit for part, unit in zip(found, (3600, 60, 1), strict=True))


def test_a_log_has_a_line_a_validation_with_the_time_left(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train([data], tmp_path / "b", tmp_path / "r", CONFIG)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "testing: 22 episodes to train on, 2 held out"
    figures = r"train_loss [\d.]+  loss [\d.]+  accuracy [\d.]+  mae_rad [\d.]+  \d+ ticks/s"
    assert re.fullmatch(rf"step 2/4  {figures}  0:0\d:\d\d left", lines[1])
    assert re.fullmatch(rf"step 4/4  {figures}", lines[2])
    train([data], tmp_path / "b", tmp_path / "r", CONFIG)
    assert "goes on from step 4" in capfd.readouterr().err.splitlines()


def test_a_run_of_some_minutes_tells_what_is_left_of_these(
    tmp_path: Path, data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = replace(CONFIG, steps=10**6, minutes=0.03, evaluate_every=5)
    train([data], tmp_path / "b", tmp_path / "r", config)
    lines = [line for line in capfd.readouterr().err.splitlines() if " left" in line]
    left = [seconds(line) for line in lines]
    assert left[0] <= 3
    assert left == sorted(left, reverse=True)
    assert all(line.startswith("step ") and "/1000000" not in line for line in lines[:-1])
    made = (tmp_path / "b" / "model.safetensors").read_bytes()
    (tmp_path / "b" / "README.md").write_text("# With the figures of an evaluation\n")
    train([data], tmp_path / "b", tmp_path / "r", config)  # its time is over
    assert (tmp_path / "b" / "model.safetensors").read_bytes() == made
    assert (tmp_path / "b" / "README.md").read_text().endswith("evaluation\n")
    (tmp_path / "b" / "model.safetensors").write_bytes(made[:-1])
    train([data], tmp_path / "b", tmp_path / "r", config)
    assert (tmp_path / "b" / "model.safetensors").read_bytes() == made


def test_nothing_is_said_of_what_is_not_held_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small_dataset(tmp_path / "data", episodes=2)
    train([tmp_path / "data"], tmp_path / "b", tmp_path / "r", CONFIG)
    said = capfd.readouterr().err
    assert "testing: 2 episodes to train on, 0 held out" in said
    assert "nan" not in said


@pytest.mark.parametrize(
    ("given", "text"), [(0.4, "0:00:00"), (3725, "1:02:05"), (90061, "1 d 1:01:01")]
)
def test_durations(given: float, text: str) -> None:
    assert duration(given) == text


def test_a_perplexity_beyond_a_float_is_infinite() -> None:
    assert perplexity(math.log(7)) == pytest.approx(7)
    assert perplexity(1e4) == math.inf
    assert math.isnan(perplexity(math.nan))


class Worse(Rollouts):
    """Each rollout is worse than the one before."""

    def __init__(self) -> None:
        self.score = 1.0

    def check(self, contracts: object) -> None: ...

    def measure(self, bundle: Path) -> dict[str, float]:
        self.score /= 2
        return {"reach": self.score}


def test_the_figures_of_the_best_weights_are_theirs(tmp_path: Path, data: Path) -> None:
    config = replace(CONFIG, rollout_every=2, keep="best")
    metrics = train([data], tmp_path / "b", tmp_path / "r", config, Worse())
    domains = load_domains([Dataset.open(data)], config, torch.device("cpu"))
    model = load_joint_bundle(tmp_path / "b")[0]
    own = validate_all(model, domains, config, torch.device("cpu"))
    assert {name: metrics[name] for name in own} == own
    assert metrics["success"] == 0.5
    card = (tmp_path / "b" / "README.md").read_text()
    assert "weights are those of step 2, which did best in rollouts while training: 0.500." in card
    assert f"Held out: loss {own['loss']:.3f}" in card


def test_errors_are_of_the_actions_that_control_would_take(tmp_path: Path) -> None:
    """A bin beyond the last choice is the last choice, in the errors as on the robot."""
    schema = replace(SCHEMA, action=(ActionField("move", "1", "discrete", 0.0, 1.0),))
    data = small_dataset(tmp_path / "data", schema=schema)
    (domain,) = load_domains([data], CONFIG, torch.device("cpu"))
    model = JointModel.create({domain.name: domain.shape(CONFIG)})
    with torch.no_grad():
        model.first.head.weight.zero_()
        model.first.head.bias.copy_(torch.arange(CONFIG.bins))
    found = validate_all(model, [domain], CONFIG, torch.device("cpu"))
    assert found["mae_1"] <= 2.0
