"""Training one model on several embodiments: shares of a batch, resuming, fine-tuning, the card."""

from __future__ import annotations

import csv
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lram_core.action_model import SHARED
from lram_core.bundle import load_bundle, load_contracts, load_joint_bundle
from lram_core.contract import ObservationField
from lram_core.data.arrays import EpisodeSpan
from lram_core.data.schema import DatasetSchema
from lram_core.data.store import Dataset
from lram_core.data.stream import window_stream
from lram_core.errors import CommandError, DataError
from lram_core.joint_model import JointModel
from lram_core.policy import Policy
from lram_core.testing import OTHER_SCHEMA, SCHEMA, small_dataset
from lram_core.training.card import write_measured_card
from lram_core.training.command import train as command
from lram_core.training.config import TrainConfig
from lram_core.training.domains import apportion, load_domains
from lram_core.training.optimizers import learning_rate
from lram_core.training.train import train

CPU = torch.device("cpu")
ARM, LIFT = SCHEMA.suite, OTHER_SCHEMA.suite
CONFIG = TrainConfig(
    backbone_options={"d_model": 32, "num_layers": 2, "num_heads": 2},
    bins=32,
    batch=6,
    context=12,
    steps=40,
    warmup=5,
    ema=0.9,
    device="cpu",
    evaluate_every=20,
    evaluation_windows=2,
    checkpoint_every=20,
)


@pytest.fixture
def data(tmp_path: Path) -> list[Path]:
    """Two datasets of one embodiment and one of another."""
    small_dataset(tmp_path / "arm", episodes=30)
    small_dataset(tmp_path / "arm2", episodes=10, seed=1)
    small_dataset(tmp_path / "lift", episodes=20, schema=OTHER_SCHEMA)
    return [tmp_path / name for name in ("arm", "arm2", "lift")]


def domains(data: list[Path], **settings: object) -> list[tuple[str, float, int]]:
    config = replace(CONFIG, **settings)  # type: ignore[arg-type]
    found = load_domains([Dataset.open(path) for path in data], config, CPU)
    return [(d.name, d.share, d.streams) for d in found]


def test_one_model_learns_both_and_resumes_number_for_number(
    tmp_path: Path, data: list[Path]
) -> None:
    config = replace(CONFIG, batch=12, context=16, steps=120, evaluate_every=40)
    whole = train(data, tmp_path / "whole", tmp_path / "run", config)
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [40, 80, 120]
    for name in (ARM, LIFT):
        assert whole[f"{name}/loss"] < float(rows[0][f"{name}/loss"]) < np.log(32) + 0.3
    assert whole["loss"] == pytest.approx((whole[f"{ARM}/loss"] + whole[f"{LIFT}/loss"]) / 2)
    errors = (f"{ARM}/mae_rad", f"{LIFT}/mae_m_per_s", f"{LIFT}/mae_1")
    assert [name for name in whole if "mae" in name] == list(errors), "none overall: units differ"
    assert min(whole[name] for name in errors) > 0
    units = ("rad", "m/s", "(gripper)")
    told = [f"{whole[name]:.3g} {unit}" for name, unit in zip(errors, units, strict=True)]
    card = (tmp_path / "whole" / "README.md").read_text()
    assert f" | {told[0]} |\n" in card
    assert f" | {told[1]}, {told[2]} |\n" in card

    class Cut(Exception):
        pass

    def stop(*args: object) -> float:
        if args[1] == 90:
            raise Cut
        return learning_rate(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lram_core.training.train.learning_rate", stop)
        with pytest.raises(Cut):
            train(data, tmp_path / "cut", tmp_path / "run_cut", config)
    train(data, tmp_path / "cut", tmp_path / "run_cut", config)
    straight, resumed = (load_joint_bundle(tmp_path / n)[0].weights() for n in ("whole", "cut"))
    assert straight.keys() == resumed.keys()
    for name, value in straight.items():
        torch.testing.assert_close(resumed[name], value, atol=0, rtol=0)

    contracts = load_contracts(tmp_path / "whole")
    assert [c.suite for c in contracts.values()] == [ARM, LIFT]
    assert contracts[LIFT].observation == OTHER_SCHEMA.observation
    assert set(contracts[LIFT].target_returns) == {"default", "reach", "push"}
    policy = Policy.load(tmp_path / "whole", embodiment=LIFT)
    assert policy.act(np.zeros(9, np.float32), 0.0).values.shape == (3,)


def test_each_embodiment_has_its_own_statistics(tmp_path: Path, data: list[Path]) -> None:
    train(data, tmp_path / "b", tmp_path / "run", replace(CONFIG, steps=1))
    for name, paths in ((ARM, data[:2]), (LIFT, data[2:])):
        model, _ = load_bundle(tmp_path / "b", embodiment=name)
        seen = np.concatenate([Dataset.open(path).observations for path in paths])
        np.testing.assert_allclose(model.observation_norm.mean, seen.mean(0), atol=1e-5)
        np.testing.assert_allclose(model.observation_norm.std, seen.std(0), rtol=1e-4)


def test_one_embodiment_of_a_joint_training_sees_what_it_would_see_alone(data: list[Path]) -> None:
    """The rows of a batch do not depend on the other embodiments."""
    config = replace(CONFIG, batch=6)
    both = load_domains([Dataset.open(path) for path in data], config, CPU)
    alone = load_domains([Dataset.open(path) for path in data[:2]], replace(config, batch=3), CPU)
    assert both[0].streams == alone[0].streams == 3
    pairs = zip(both[0].windows(config), alone[0].windows(config), strict=True)
    for first, second in itertools.islice(pairs, 20):
        np.testing.assert_array_equal(first.index, second.index)


def test_shares_of_the_loss_and_of_the_batch(data: list[Path]) -> None:
    assert domains(data) == [(ARM, 0.5, 3), (LIFT, 0.5, 3)]
    (_, share, rows), (_, rest, others) = domains(data, mix="ticks")
    ticks = [len(Dataset.open(path).rewards) for path in data]
    assert share == pytest.approx((ticks[0] + ticks[1]) / sum(ticks), abs=0.05)
    assert (share + rest, rows + others) == (pytest.approx(1.0), 6)
    assert domains(data, mix="dataset") == [(ARM, 2 / 3, 4), (LIFT, 1 / 3, 2)]
    assert domains(data, mix="task") == [(ARM, 0.5, 3), (LIFT, 0.5, 3)]
    with pytest.raises(CommandError, match="unknown mix 'even'; available: embodiment, ticks, dat"):
        domains(data, mix="even")
    with pytest.raises(CommandError, match=r"batch 1 has fewer streams .* \(2: testing, testing-"):
        domains(data, batch=1)


@given(weights=st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=9), extra=st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_streams_are_shared_out_whole(weights: list[float], extra: int) -> None:
    shares = [weight / sum(weights) for weight in weights]
    total = len(shares) + extra
    counts = apportion(shares, total)
    assert sum(counts) == total
    assert min(counts) >= 1
    for share, count in zip(shares, counts, strict=True):
        assert count == 1 or count < share * total + 1


@given(lengths=st.lists(st.integers(1, 30), min_size=3, max_size=12), seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_groups_get_the_same_number_of_ticks(lengths: list[int], seed: int) -> None:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).tolist()
    episodes = [EpisodeSpan(s, n) for s, n in zip(starts, lengths, strict=True)]
    groups = ["rare" if number == 0 else "common" for number in range(len(lengths))]
    stream = window_stream(episodes, 1, 1, seed, groups=groups)
    half = sum(lengths) + 2 * max(lengths)  # enough for the larger group to be played once
    played = [int(w.index[0, 0]) for w in itertools.islice(stream, 2 * half)]
    rare = sum(index < lengths[0] for index in played)
    assert abs(rare - half) <= 2 * max(lengths)
    assert set(played) == set(range(sum(lengths)))


def test_fine_tuning_onto_a_new_embodiment(tmp_path: Path, data: list[Path]) -> None:
    """The shared weights go on; what is new gets its own embedding, head and statistics."""
    first, second = tmp_path / "first", tmp_path / "second"
    train(data[:2], first, tmp_path / "run1", CONFIG)
    frozen = replace(CONFIG, init=str(first), freeze_shared=True)
    metrics = train(data[2:], second, tmp_path / "run2", frozen)
    assert list(load_contracts(second)) == [LIFT]
    old, new = load_bundle(first)[0], load_bundle(second)[0]
    assert metrics["train_loss"] < np.log(32) - 0.1
    for name, value in new.state_dict().items():
        if name.partition(".")[0] in SHARED:
            torch.testing.assert_close(value, old.state_dict()[name], atol=0, rtol=0)
    seen = Dataset.open(data[2]).observations
    np.testing.assert_allclose(new.observation_norm.mean, seen.mean(0), atol=1e-5)

    free = replace(frozen, freeze_shared=False, steps=3)
    train(data[2:], tmp_path / "third", tmp_path / "run3", free)
    moved = load_bundle(tmp_path / "third")[0].state_dict()
    shared = [n for n in moved if n.partition(".")[0] in SHARED]
    assert any(not torch.equal(moved[n], old.state_dict()[n]) for n in shared)


def test_embodiments_are_added_and_left_out(tmp_path: Path, data: list[Path]) -> None:
    one, two, back = (tmp_path / name for name in ("one", "two", "back"))
    train(data[:1], one, tmp_path / "run1", replace(CONFIG, steps=2))
    still = replace(CONFIG, lr=1e-12, lr_end=0.0, steps=1, init=str(one))
    train([data[0], data[2]], two, tmp_path / "run2", still)
    train(data[2:], back, tmp_path / "run3", replace(still, init=str(two)))
    assert list(load_contracts(two)) == [ARM, LIFT]
    assert list(load_contracts(back)) == [LIFT]
    for name, value in load_bundle(one)[0].state_dict().items():
        kept = load_bundle(two, embodiment=ARM)[0].state_dict()[name]
        assert (value - kept).abs().max() < 1e-6, name
    for name, value in load_bundle(back)[0].state_dict().items():
        kept = load_bundle(two, embodiment=LIFT)[0].state_dict()[name]
        assert (value - kept).abs().max() < 1e-6, name


def changed(path: Path, folder: Path, schema: DatasetSchema) -> Path:
    small_dataset(folder, schema=schema)
    return folder


def test_what_does_not_fit_is_named(tmp_path: Path, data: list[Path]) -> None:
    train(data[:1], tmp_path / "first", tmp_path / "run", replace(CONFIG, steps=1))
    init = replace(CONFIG, init=str(tmp_path / "first"))
    other = changed(data[0], tmp_path / "other", replace(SCHEMA, gripper="suction"))
    said = f"first cannot be continued: of testing, the data {other} have gripper 'suction' instead"
    with pytest.raises(CommandError, match=re.escape(said)):
        train([other], tmp_path / "x", tmp_path / "run2", init)
    with pytest.raises(
        DataError, match=r"differs from .*arm's: gripper 'suction' instead of 'none'; both are of"
    ):
        train([data[0], other], tmp_path / "x", tmp_path / "run2", CONFIG)
    fields = replace(
        SCHEMA, observation=(*SCHEMA.observation[:2], ObservationField("goal", 2, "m"))
    )
    other = changed(data[0], tmp_path / "fields", fields)
    said = (
        r"the data .*fields have observation field goal: size 2 instead of 1, unit 'm' instead of"
    )
    with pytest.raises(CommandError, match=said):
        train([other], tmp_path / "x", tmp_path / "run2", init)
    shape = {"d_model": 16, "num_layers": 2, "num_heads": 2}
    with pytest.raises(CommandError, match=r"shape: backbone_options\.d_model is 32 there, 16"):
        train(data[2:], tmp_path / "x", tmp_path / "run2", replace(init, backbone_options=shape))
    with pytest.raises(CommandError, match="freeze_shared keeps the weights of a bundle"):
        train(data[:1], tmp_path / "x", tmp_path / "run2", replace(CONFIG, freeze_shared=True))
    assert not (tmp_path / "run2").exists()


def test_a_continued_run_holds_the_same_episodes_out(data: list[Path]) -> None:
    """With more data and another seed, nothing that was trained on is validated on."""

    def split(paths: list[Path], seed: int) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
        config = replace(CONFIG, held_out=0.2, seed=seed)
        (domain,) = load_domains([Dataset.open(path) for path in paths], config, CPU)
        keys = list(zip(domain.arrays.tasks, domain.arrays.seeds, strict=True))
        return {keys[n] for n in domain.training}, {keys[n] for n in domain.validation}

    trained, held = split(data[:1], seed=0)
    _, held_later = split(data[:2], seed=5)
    assert held
    assert held <= held_later
    assert not trained & held_later


def test_the_command_takes_the_shape_of_the_bundle_to_start_from(
    tmp_path: Path, data: list[Path]
) -> None:
    mamba = replace(CONFIG, backbone="mamba", steps=1, bins=256)
    options = {"d_model": 16, "num_layers": 1}
    train(data[:1], tmp_path / "b", tmp_path / "r1", replace(mamba, backbone_options=options))
    words = ["--data", str(data[2]), "--out", str(tmp_path / "c"), "--run", str(tmp_path / "r2")]
    words += ["--steps", "1", "--batch", "2", "--device", "cpu", "--init", str(tmp_path / "b")]
    done = CliRunner().invoke(command, [*words, "--freeze-shared", "--mix", "ticks"])
    assert done.exit_code == 0, done.output
    config = load_bundle(tmp_path / "c")[0].config
    assert (config.backbone, config.backbone_options) == ("mamba", options)
    assert "new: testing-gripper; left out: testing" in " ".join(done.stderr.split())
    card = (tmp_path / "c" / "README.md").read_text()
    assert f"--init {tmp_path / 'b'} --mix ticks" in card
    assert "--freeze-shared" in card


def test_the_card_lists_the_embodiments_with_their_tables(tmp_path: Path, data: list[Path]) -> None:
    metrics = train(data, tmp_path / "b", tmp_path / "run", replace(CONFIG, steps=2))
    row = {
        "name": "mean", "episodes": 10, "success_rate": 0.9, "low": 0.6, "high": 0.98,
        "success_rate_200": 0.8, "mean_return": 500.0, "mean_steps": 80.0,
    }  # fmt: skip
    results = {}
    for name in (ARM, LIFT):
        parameters = {"episodes": 10, "first_seeds": [1_000_000_000], "suite": name}
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps({"parameters": parameters, "mean": row, "tasks": []}))
        results[f"Unseen seeds, {name}"] = file
    write_measured_card(tmp_path / "b", results, [tmp_path / "run"])
    card = (tmp_path / "b" / "README.md").read_text()
    assert card.startswith("# Policy for 2 embodiments: testing, testing-gripper\n")
    loss = f"{metrics[f'{LIFT}/loss']:.4g}"
    assert (
        f"| {LIFT} | one_joint_lift, two_finger | 20 Hz | 9 | 3 | 2 | 20 | 0.500 | {loss}" in card
    )
    for name in (ARM, LIFT):
        assert f"## Contract: {name}\n" in card
        assert f"## Unseen seeds, {name}\n\n{name}: 10 episodes a task" in card
    assert "held out anew" not in card
    load_joint_bundle(tmp_path / "b")


def test_the_joint_model_takes_whole_sets_of_weights_only(tmp_path: Path, data: list[Path]) -> None:
    train(data, tmp_path / "b", tmp_path / "run", replace(CONFIG, steps=1))
    model, _ = load_joint_bundle(tmp_path / "b")
    copy = JointModel.create({name: model.select(name).config for name in model.names})
    copy.load_weights(model.weights())
    for name, value in copy.weights().items():
        torch.testing.assert_close(value, model.weights()[name], atol=0, rtol=0)
    with pytest.raises(KeyError):
        copy.load_weights({n: v for n, v in model.weights().items() if n != f"{ARM}/head.bias"})
