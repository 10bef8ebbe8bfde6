"""In-context learning: a state carried over episodes, in training and in evaluation alike."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks import in_context
from lram_core import cli
from lram_core.action_model import ActionModel, ModelConfig
from lram_core.backbones import size_options
from lram_core.bundle import load_bundle, save_bundle
from lram_core.data.arrays import EpisodeSpan
from lram_core.data.store import Dataset
from lram_core.data.stream import Spans, history_stream
from lram_core.errors import CommandError, DataError
from lram_core.training.config import TrainConfig
from lram_core.training.domains import load_domains
from lram_core.training.train import train
from lram_sim import trials
from lram_sim.darkroom import TRIAL_STEPS, DarkRooms, one_hot
from lram_sim.darkroom_histories import collect_histories
from lram_sim.darkroom_suite import DarkRoomSuite
from lram_sim.suite import dataset_schema
from lram_sim.trials import Plan, run_trials

SUITE = DarkRoomSuite()
TASKS = ["goal-0-1", "goal-5-5", "goal-9-0"]


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("histories") / "data"
    collect_histories(SUITE, TASKS, trials=12, every=2, seed=0, out=out)
    return out


def bundle(path: Path, backbone: str, **options: object) -> Path:
    torch.manual_seed(1)
    shape = size_options(backbone, "d64", **options)
    model = ActionModel(ModelConfig(20, 1, 5, backbone, shape)).eval()
    contract = dataset_schema(SUITE).contract({"default": 80.0}, context=200)
    save_bundle(path, model, contract, "# test\n")
    return path


def test_spans_carry_the_state_from_trial_to_trial() -> None:
    lengths = [3, 4, 2, 5, 3, 4, 6]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    history = [EpisodeSpan(s, n) for s, n in zip(starts, lengths, strict=True)]
    other = [EpisodeSpan(100, 3)]
    stream = history_stream([history, other], 1, 5, seed=0, spans=Spans(3, stride=2))
    rows = list(itertools.islice(stream, 200))
    index = np.concatenate([r.index[0] for r in rows])
    fresh = np.concatenate([r.start[0] for r in rows])
    spans = np.split(index, np.flatnonzero(fresh)[1:])
    expected = set()
    for first in range(len(history)):
        played = history[first::2][:3]
        expected.add(tuple(r for e in played for r in range(e.start, e.start + e.length)))
    expected.add((100, 101, 102))
    assert {tuple(span.tolist()) for span in spans[:-1]} == expected
    # Each history comes once before any comes again.
    pairs = [span[0] >= 100 for span in spans[: 2 * ((len(spans) - 1) // 2)]]
    assert all(a != b for a, b in zip(pairs[::2], pairs[1::2], strict=True))


def test_histories_follow_tasks_and_hold_nothing_out(histories: Path) -> None:
    config = TrainConfig(span=4, stride=2, bins=5, batch=2, context=100)
    (domain,) = load_domains([Dataset.open(histories)], config, torch.device("cpu"))
    assert [len(history) for history in domain.arrays.histories()] == [6, 6, 6]
    assert domain.validation == []
    windows = next(domain.windows(config))
    assert windows.index.shape == (2, 100)
    for wrong, said in (
        ({"span": 0}, "span and stride must be at least 1, found 0 and 1"),
        ({"span": 1, "stride": 2}, "it needs a span above 1"),
    ):
        with pytest.raises(CommandError, match=said):
            load_domains([Dataset.open(histories)], TrainConfig(**wrong), torch.device("cpu"))
    with pytest.raises(DataError, match="no episode to train on"):
        history_stream([], 1, 5, 0, Spans(2))


@pytest.mark.parametrize(
    ("backbone", "options"),
    [("xlstm", {"slstm_at": [1]}), ("mamba", {}), ("transformer", {"context": 250})],
)
def test_a_life_is_the_sequence_that_training_plays(
    backbone: str, options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundle(tmp_path / "bundle", backbone, **options)
    cells, moves, rewards = [], [], []

    class Recorded(DarkRooms):
        def step(self, chosen):
            cells.append(self.cells)
            moves.append(chosen)
            after, given = super().step(chosen)
            rewards.append(given)
            return after, given

    monkeypatch.setattr(trials, "DarkRooms", Recorded)
    lives = run_trials(path, SUITE, Plan(TASKS, 1, 2, 80.0, 7, greedy=False))
    monkeypatch.undo()
    given = np.stack(rewards, 1)
    by_trial = given.reshape(len(TASKS), 2, TRIAL_STEPS)
    for number, task in enumerate(TASKS):
        np.testing.assert_array_equal(lives[task], by_trial[number].sum(-1)[None])
    # Both trials in one sequence from a fresh state; the return to go starts anew with each.
    to_go = 80.0 - np.cumsum(by_trial, -1) + by_trial
    model, contract = load_bundle(path)
    scale = contract.reward.scale
    with torch.inference_mode():
        logits, _ = model(
            torch.from_numpy(one_hot(np.stack(cells, 1))),
            torch.from_numpy(to_go.reshape(given.shape) / scale).float(),
            torch.from_numpy(given) / scale,
        )
    rng = np.random.default_rng(7)
    noise = np.stack([rng.gumbel(size=(len(TASKS), 5)) for _ in cells], 1)
    noisy = logits[:, :, 0].numpy() + noise
    chosen = np.take_along_axis(noisy, np.stack(moves, 1)[..., None], -1)[..., 0]
    assert (noisy.max(-1) - chosen).max() < 1e-2
    assert len(set(np.stack(moves).ravel().tolist())) == 5


def test_moves_are_drawn_by_their_probabilities(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle", "xlstm")
    plan = Plan(["goal-0-1"], 8, 1, 80.0, 3, greedy=False)
    lives = run_trials(path, SUITE, plan)["goal-0-1"]
    assert lives.shape == (8, 1)
    assert len(set(lives[:, 0].tolist())) > 1
    np.testing.assert_array_equal(lives, run_trials(path, SUITE, plan)["goal-0-1"])
    greedy = run_trials(path, SUITE, Plan(["goal-0-1"], 3, 1, 80.0, 3, greedy=True))
    assert len(set(greedy["goal-0-1"][:, 0].tolist())) == 1


def test_an_older_run_folder_means_the_defaults_of_what_it_does_not_name(
    histories: Path, tmp_path: Path
) -> None:
    shape = size_options("xlstm", "d64")
    same = {"backbone_options": shape, "bins": 5, "batch": 1, "context": 20, "device": "cpu"}
    run, out = tmp_path / "run", tmp_path / "bundle"
    train([histories], out, run, TrainConfig(steps=1, evaluation_windows=1, **same))
    settings = yaml.safe_load((run / "config.yaml").read_text())
    del settings["span"], settings["stride"]
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    train([histories], out, run, TrainConfig(steps=1, evaluation_windows=1, **same))
    with pytest.raises(CommandError, match=r"other settings: span 1 \(now 2\)"):
        train([histories], out, run, TrainConfig(steps=1, evaluation_windows=1, span=2, **same))


def test_the_whole_experiment_small_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In this process: the imports of three others would take longer than all they do.
    commands: list[str] = []

    def lram(*words: object, log: Path | None = None) -> None:
        commands.append(str(words[0]))
        cli.cli.main([*map(str, words)], standalone_mode=False)

    monkeypatch.setattr(in_context, "lram", lram)
    words = [
        *("--models", "xLSTM [7:1]", "--train-tasks", "goal-0-1,goal-5-5"),
        *("--eval-tasks", "goal-5-5,goal-0-5", "--history", "6", "--every", "2", "--span", "2"),
        *("--stride", "1", "--context", "60", "--batch", "1", "--minutes", "1e-5"),
        *("--trials", "3", "--lives", "2", "--work", str(tmp_path / "work")),
        *("--json", str(tmp_path / "a.json")),
    ]
    in_context.main([*words, "--train-only", "--jobs", "2"])
    assert commands == ["collect", "train"]
    assert not (tmp_path / "a.json").exists()
    histories = ["--histories", str(tmp_path / "work" / "histories")]
    in_context.main([*words, *histories, "--plot", str(tmp_path / "curve.svg")])
    assert commands[2:] == ["eval"]
    report = json.loads((tmp_path / "a.json").read_text())
    (run,) = report["models"]["xLSTM [7:1]"]
    assert 1 <= run["steps"] < 100
    assert np.array(run["returns"]["train"]).shape == (2, 3)
    assert np.array(run["returns"]["test"]).shape == (2, 3)
    tables = in_context.markdown(report)
    assert "| xLSTM [7:1] | " in tables["test"]
    assert "<svg" in (tmp_path / "curve.svg").read_text()
    results = tmp_path / "work" / "results" / "xlstm-7-1-0"
    with (results / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["1", "2", "3"]
    assert float(rows[0]["test mean"]) == pytest.approx(np.mean(run["returns"]["test"], 0)[0])
    assert "<svg" in (results / "curve.svg").read_text()
    in_context.main([*words[:-1], str(tmp_path / "b.json")])
    assert commands[3:] == ["collect"]
    assert json.loads((tmp_path / "b.json").read_text())["models"] == report["models"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("collect metaworld --tasks reach-v3 --episodes 2 --histories", "are of suite 'darkroom'"),
        ("collect darkroom --tasks test --episodes 2 --every 2", "an option of --histories"),
        ("eval --suite darkroom --tasks test --trials 2 --expert", "nothing to find out"),
        ("eval --suite darkroom --tasks test --greedy --expert", "an option of --trials"),
        ("train --data {out} --set context", "--set: expected OPTION=VALUE, found 'context'"),
        ("train --data {out} --set speed=3", "unknown option speed; available: d_model"),
    ],
)
def test_bad_input_exits_with_2(
    words: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["lram", *words.format(out=out).split(), "--out", str(out)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not out.exists()
