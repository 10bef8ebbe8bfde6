"""Options of a training: accumulation, bfloat16, carried state, too little memory, rollouts."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager
from train_rig import TINY

from lram_core.bundle import load_joint_bundle
from lram_core.contract import PolicyContract
from lram_core.data.store import Dataset
from lram_core.errors import CommandError, ContractError, TaskError
from lram_core.joint_model import JointModel
from lram_core.testing import OTHER_SCHEMA, small_dataset
from lram_core.training.checkpoint import Trainee
from lram_core.training.config import TrainConfig
from lram_core.training.domains import load_domains
from lram_core.training.optimizers import make_optimizers
from lram_core.training.parallel import Processes
from lram_core.training.start import set_input_norms
from lram_core.training.step import next_parts, take_step
from lram_core.training.train import train
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite
from lram_sim.training_rollouts import JointRollouts, make

CPU = torch.device("cpu")
CONFIG = replace(
    TINY,
    ema=0.0,
    evaluate_every=4,
    tracker="none",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    small_dataset(tmp_path / "data")
    return tmp_path / "data"


def gradients(
    paths: list[Path], config: TrainConfig, steps: int = 3
) -> tuple[list[float], list[dict[str, torch.Tensor]]]:
    """Losses and gradients of the first steps."""
    torch.manual_seed(0)
    domains = load_domains([Dataset.open(path) for path in paths], config, CPU)
    model, average = (
        JointModel.create({d.name: d.shape(config) for d in domains}) for _ in range(2)
    )
    set_input_norms(model, domains)
    trainee = Trainee(
        model,
        average,
        make_optimizers(model, config),
        [domain.windows(config, config.accumulate) for domain in domains],
        [model.init_state(config.batch) for _ in range(config.accumulate)],
    )
    losses, found = [], []
    for _ in range(steps):
        parts = next_parts(trainee.streams, domains, config, Processes(), CPU)
        losses.append(float(take_step(model, trainee, parts, domains, config, CPU)))
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    return losses, found


def test_accumulated_gradients_are_those_of_a_large_batch(tmp_path: Path, data: Path) -> None:
    small_dataset(tmp_path / "other", schema=OTHER_SCHEMA)
    still = replace(CONFIG, lr=1e-12, weight_decay=0.0, optimizer="adamw", bf16_cpu=False)
    for paths, batch in (([data], 2), ([data, tmp_path / "other"], 4)):
        config = replace(still, batch=batch)
        large = gradients(paths, replace(config, batch=3 * batch))
        small = gradients(paths, replace(config, accumulate=3))
        for ours, theirs in zip(small[1], large[1], strict=True):
            assert ours.keys() == theirs.keys()
            if len(paths) == 1:
                for name, value in ours.items():
                    torch.testing.assert_close(value, theirs[name], atol=1e-6, rtol=1e-4)
        if len(paths) == 1:
            assert small[0] == pytest.approx(large[0], rel=1e-5)


def test_the_state_is_carried_unless_told_otherwise(data: Path) -> None:
    """A window begins as an episode does, or goes on where the last one ended."""
    still = replace(CONFIG, lr=1e-12, optimizer="adamw")
    carried, fresh = (gradients([data], replace(still, carry_state=c))[0] for c in (True, False))
    assert carried[0] == fresh[0]
    assert carried[1:] != fresh[1:]


@pytest.mark.parametrize(
    "options", [{"num_heads": 2}, {"num_heads": 2, "slstm_at": [0], "slstm_heads": 2}]
)
def test_bfloat16_on_a_cpu_keeps_the_recurrence_in_float32(data: Path, options: dict) -> None:
    shape = {"d_model": 16, "num_layers": 2, **options}
    config = replace(CONFIG, lr=1e-12, optimizer="adamw", backbone_options=shape)
    domains = load_domains([Dataset.open(data)], config, CPU)
    model = JointModel.create({d.name: d.shape(config) for d in domains})
    parts = next_parts([domains[0].windows(config)], domains, config, Processes(), CPU)
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = model(parts[0])
    assert next(iter(logits.values())).dtype == torch.bfloat16
    assert {name: value.dtype for name, value in state.items() if ".conv" not in name} == {
        name: torch.float32 for name in state if ".conv" not in name
    }
    full, half = (gradients([data], replace(config, bf16_cpu=b))[0] for b in (False, True))
    assert full != half
    assert half == pytest.approx(full, rel=0.02)


def test_a_compiled_network_learns_as_any_other_and_goes_on(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced once, forward and backward; the generated code is left to torch's own tests."""
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        graphs.append(graph)
        return aot_eager(graph, inputs)

    def cut_off(network: torch.nn.Module, trainee: Trainee, *rest: Any) -> torch.Tensor:
        if trainee.step == 3:
            raise KeyboardInterrupt
        return take_step(network, trainee, *rest)

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    rows: dict[str, list[list[str]]] = {}
    for name, on in (("eager", False), ("compiled", True)):
        config = replace(CONFIG, compile=on, evaluate_every=1, checkpoint_every=2)
        run = tmp_path / name
        with monkeypatch.context() as patch:
            if on:
                patch.setattr("lram_core.training.train.take_step", cut_off)
                with pytest.raises(KeyboardInterrupt):
                    train([data], tmp_path / "b", run, config)
                assert len(graphs) == 1, "steps of one shape are traced once"
        train([data], tmp_path / "b", run, config)
        with (run / "metrics.csv").open() as file:
            rows[name] = [[r["train_loss"], r["loss"], r["mae_rad"]] for r in csv.DictReader(file)]
    assert np.array(rows["compiled"], float) == pytest.approx(
        np.array(rows["eager"], float), rel=1e-4
    )


@pytest.mark.parametrize(
    "where", ["lram_core.training.train.take_step", "lram_core.training.train.validate_all"]
)
def test_too_little_memory_names_what_to_lower(tmp_path: Path, data: Path, where: str) -> None:
    def full(*args: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, full)
        message = (
            r"too small for batch 2 of 8 ticks; try one of: batch=1 accumulate=2 .*context=4 .*"
            r"bf16=true, or a smaller size \(CUDA out of memory\. Tried to allocate 2\.00 GiB\)"
        )
        with pytest.raises(CommandError, match=message):
            train([data], tmp_path / "b", tmp_path / "run", replace(CONFIG, bf16=False))
    assert not (tmp_path / "b").exists()


def test_too_little_memory_of_the_machine_is_told_as_well(tmp_path: Path, data: Path) -> None:
    message = r"^the memory is too small for batch 2 of 8 ticks; try one of: batch=1 accumulate=2"
    with pytest.raises(CommandError, match=message):
        train([data], tmp_path / "b", tmp_path / "run", replace(CONFIG, bins=10**13))


class ScriptedRollouts:
    """Gives the scores it was told to, in place of a simulator."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = list(scores)
        self.seen: list[dict[str, torch.Tensor]] = []

    def check(self, contracts: Mapping[str, PolicyContract]) -> None:
        assert list(contracts) == ["testing"]

    def measure(self, bundle: Path) -> dict[str, float]:
        self.seen.append(load_joint_bundle(bundle)[0].weights())
        score = self.scores.pop(0)
        return {"reach": score, "push": score / 2}


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_weights_of_the_best_rollouts_become_the_bundle(
    tmp_path: Path, data: Path, keep: str
) -> None:
    config = replace(CONFIG, steps=6, evaluate_every=6, rollout_every=2, keep=keep)
    rollouts = ScriptedRollouts([0.2, 0.8, 0.4])
    train([data], tmp_path / "b", tmp_path / "run", config, rollouts)
    kept = load_joint_bundle(tmp_path / "b")[0].weights()
    chosen = rollouts.seen[1 if keep == "best" else 2]
    for name, value in kept.items():
        torch.testing.assert_close(value, chosen[name], atol=0, rtol=0)
    told = json.loads((tmp_path / "b" / "config.json").read_text())["training"]
    assert told["best_rollouts"] == {"success": pytest.approx(0.6), "step": 4}
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert [row["success"] for row in csv.DictReader(file)] == ["0.15", "0.6", "0.3"]
    with (tmp_path / "run" / "rollouts.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["step", "task", "success"]
    assert rows[3:5] == [["4", "reach", "0.8"], ["4", "push", "0.4"]]


def test_rollouts_in_the_simulator(tmp_path: Path) -> None:
    """Real episodes of the policy in training; the data must be of the suite's robot."""
    small_dataset(tmp_path / "data", schema=dataset_schema(get_suite("metaworld")))
    config = replace(CONFIG, steps=2, rollout_every=2, rollout_episodes=1, keep="best")
    config = replace(config, rollout_tasks="reach-v3")
    threads = torch.get_num_threads()
    metrics = train([tmp_path / "data"], tmp_path / "b", tmp_path / "run", config)
    assert metrics["success"] in (0.0, 1.0)
    assert torch.get_num_threads() == threads
    load_joint_bundle(tmp_path / "run" / "best")
    assert not (tmp_path / "run" / ".candidate").exists()


def test_rollouts_of_several_embodiments_score_all_their_tasks(tmp_path: Path) -> None:
    """Real episodes in the suite of each; the mean over all tasks chooses the weights."""
    suites = ["dmcontrol-cartpole", "dmcontrol-reacher"]
    for name in suites:
        small_dataset(tmp_path / name, schema=dataset_schema(get_suite(name)))
    config = replace(CONFIG, steps=2, rollout_every=2, rollout_episodes=1, keep="best")
    config = replace(config, rollout_suite=", ".join(suites))
    config = replace(config, rollout_tasks="dmcontrol-cartpole:balance,dmcontrol-reacher:all")
    run = tmp_path / "run"
    metrics = train([tmp_path / name for name in suites], tmp_path / "b", run, config)
    with (run / "rollouts.csv").open() as file:
        scores = {row["task"]: float(row["success"]) for row in csv.DictReader(file)}
    assert list(scores) == [
        "dmcontrol-cartpole:balance", "dmcontrol-reacher:easy", "dmcontrol-reacher:hard"
    ]  # fmt: skip
    assert scores["dmcontrol-cartpole:balance"] > 0
    assert metrics["success"] == pytest.approx(sum(scores.values()) / 3, rel=1e-4)
    assert list(load_joint_bundle(run / "best")[1]) == suites


@pytest.mark.parametrize(
    ("suites", "tasks", "chosen"),
    [
        ("metaworld", "reach-v3", {"metaworld": ["reach-v3"]}),
        ("metaworld", "metaworld:reach-v3", {"metaworld": ["reach-v3"]}),
        (
            "robosuite-panda, robosuite-ur5e,",
            "lift,robosuite-ur5e:stack",
            {"robosuite-panda": ["lift"], "robosuite-ur5e": ["lift", "stack"]},
        ),
    ],
)
def test_a_task_is_of_every_suite_or_of_the_one_it_names(
    suites: str, tasks: str, chosen: dict[str, list[str]]
) -> None:
    found = make(suites, tasks, 1, 1)
    each = found.each if isinstance(found, JointRollouts) else (found,)
    assert {one.suite.name: one.tasks for one in each} == chosen
    assert isinstance(found, JointRollouts) == (len(chosen) > 1)


def test_rollouts_that_cannot_be_are_named_before_training(tmp_path: Path, data: Path) -> None:
    roll = replace(CONFIG, rollout_every=2, rollout_tasks="reach-v3")
    for config, error, message in (
        (roll, ContractError, "does not fit: suite: the bundle has testing, the suite metaworld"),
        (replace(roll, rollout_tasks="reach"), TaskError, "unknown task 'reach'"),
        (replace(roll, rollout_suite=","), TaskError, "no suite to roll out in; available: "),
        (
            replace(roll, rollout_tasks="meta:reach-v3"),
            TaskError,
            r"'meta:reach-v3': the suite 'meta' is none of those in rollout_suite \(metaworld\)",
        ),
        (
            replace(
                roll,
                rollout_suite="metaworld,dmcontrol-reacher",
                rollout_tasks="metaworld:reach-v3",
            ),
            TaskError,
            "no task of the suite 'dmcontrol-reacher'; expected one as dmcontrol-reacher:TASK",
        ),
        (replace(roll, rollout_tasks=""), CommandError, "rollout_every needs rollout_tasks"),
        (replace(CONFIG, keep="best"), CommandError, "keep 'best' chooses by rollouts"),
    ):
        with pytest.raises(error, match=message):
            train([data], tmp_path / "b", tmp_path / "run", config)
    assert not (tmp_path / "run").exists()
