"""``lram bench`` times what is right, refuses by name what is not, and says which rates hold."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from lram_core.bench.bench import BundleReport, Way, bench_bundle
from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import compare
from lram_core.bench.timing import Latency
from lram_core.cli import cli
from lram_core.errors import BundleError, CommandError, LramError
from lram_core.runtimes import RUNTIMES
from lram_core.runtimes.eager import TorchRuntime
from lram_core.testing import random_bundle, small_contract, small_model


class Perturbed(TorchRuntime):
    """A runtime with one wrong weight."""

    name = "perturbed"

    def __init__(self, model, options=None):
        wrong = copy.deepcopy(model)
        with torch.no_grad():
            wrong.backbone.blocks[0].xlstm.proj_down.weight[0] += 1.0
        super().__init__(wrong, options)


class Absent(TorchRuntime):
    """A runtime that this machine cannot run."""

    name = "absent"

    @classmethod
    def unavailable(cls, config, options):
        return "no such accelerator here"


class Corrupt(TorchRuntime):
    """A runtime that cannot use what lies in the bundle."""

    name = "corrupt"

    def __init__(self, model, options=None):
        raise BundleError("model.bin: unreadable")


@pytest.fixture
def bundle(tmp_path):
    return random_bundle(tmp_path / "bundle", small_contract())


def run(*arguments):
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["bench", *map(str, arguments)])


def test_command_prints_tables_and_writes_json(bundle, tmp_path):
    report = tmp_path / "report.json"
    done = run(bundle, "--ticks", 12, "--runtimes", "torch,", "--rate", "33", "--json", report)
    assert done.exit_code == 0, done.output
    assert max(len(line) for line in done.output.splitlines()) <= 80
    for text in ("torch (fp32)", "p99.9", "fastest: torch (fp32), 1 thread", "33 Hz", "50 Hz"):
        assert text in done.output
    assert "this bundle's" in next(
        line for line in done.output.splitlines() if line.strip().startswith("50 Hz")
    )
    (data,) = json.loads(report.read_text())
    (way,) = data["ways"]
    assert way["parity"]["passed"]
    assert way["tick"]["ticks"] == way["tick_reward_early"]["ticks"] == 12
    assert data["fastest"]["runtime"] == "torch"
    assert [rate["rate"] for rate in data["fastest"]["rates"]] == [20, 33, 50, 100, 250, 500, 1000]


def test_wrong_and_absent_runtimes_are_named_and_not_timed(bundle, monkeypatch):
    monkeypatch.setitem(RUNTIMES, "perturbed", f"{__name__}:Perturbed")
    monkeypatch.setitem(RUNTIMES, "absent", f"{__name__}:Absent")
    monkeypatch.setitem(RUNTIMES, "unimportable", "no_such_module_at_all:Runtime")
    monkeypatch.setitem(RUNTIMES, "corrupt", f"{__name__}:Corrupt")
    names = ["torch", "perturbed", "absent", "unimportable", "corrupt"]
    done = run(bundle, "--ticks", 5, "--runtimes", ",".join(names))
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "refused: perturbed (fp32)" in words
    assert "not here: absent fp32: no such accelerator here" in words
    assert "not here: corrupt fp32: model.bin: unreadable" in words
    assert "not here: unimportable: No module named 'no_such_module_at_all'" in words
    report = bench_bundle(bundle, names, ticks=5, parity_ticks=20)
    assert [way.tick is not None for way in report.ways] == [True, False, False, False, False]
    assert report.fastest().runtime == "torch"


def test_nothing_right_is_said(bundle, monkeypatch):
    monkeypatch.setitem(RUNTIMES, "perturbed", f"{__name__}:Perturbed")
    done = run(bundle, "--ticks", 5, "--runtimes", "perturbed")
    assert "refused: perturbed (fp32)" in done.output
    assert isinstance(done.exception, LramError)
    assert str(done.exception) == f"no runtime here runs this right: {bundle}"


def test_fp32_is_held_to_its_logits_and_rounded_weights_to_their_bins():
    model = small_model()
    inputs = RandomWalk(model).take(20)
    reference = TorchRuntime(model)
    off = TorchRuntime(copy.deepcopy(model))
    with torch.no_grad():
        off._model.head.bias += 0.1 * off.logits.max() + 0.1  # the same bins, other logits
    assert not compare(reference, off, inputs).passed
    off.precision = "int8"
    found = compare(reference, off, inputs)
    assert found.passed
    assert found.agreement == 1.0
    assert found.logit_error > 1e-3


def test_a_nan_is_no_agreement():
    model = small_model()
    broken = copy.deepcopy(model)
    with torch.no_grad():
        broken.head.bias[3] = float("nan")
    found = compare(TorchRuntime(model), TorchRuntime(broken), RandomWalk(model).take(3))
    assert not found.passed
    assert found.logit_error == float("inf")


def test_walk_is_continuous_and_as_wide_as_the_training_data():
    model = small_model()
    model.observation_norm.mean.fill_(5.0)
    model.observation_norm.std.fill_(2.0)
    whole = RandomWalk(model, seed=3).take(4000)
    walk = RandomWalk(model, seed=3)
    first, rest = walk.take(1), walk.take(10)
    assert first.observations.shape == (1, 5)
    assert len(rest) == 10
    assert abs(whole.observations.mean() - 5.0) < 0.6
    assert abs(whole.observations.std() - 2.0) < 0.4
    assert np.abs(np.diff(whole.observations, axis=0)).max() < 2.5


def test_margin_is_the_period_over_the_slowest_of_a_thousand():
    latency = Latency.of(np.linspace(0.001, 0.01, 1000))
    assert latency.p999 == pytest.approx(10.0, rel=1e-2)
    way = Way("torch", "fp32", 1, tick=latency)
    report = BundleReport("b", 50.0, (50.0, 200.0), "m", "t", (way,))
    slow, fast = report.held(way)
    assert slow.holds
    assert slow.margin == pytest.approx(2.0, rel=1e-2)
    assert not fast.holds
    assert report.fastest_rounded is None


def test_bad_input_is_refused(bundle, tmp_path):
    with pytest.raises(CommandError, match=r"unknown runtime 'warp'; available: .*torch"):
        bench_bundle(bundle, ["warp"])
    with pytest.raises(BundleError, match="no such bundle"):
        bench_bundle(tmp_path / "nowhere")
    with pytest.raises(CommandError, match=r"^threads must be positive, found 0$"):
        bench_bundle(bundle, threads=[0])
    with pytest.raises(CommandError, match="ticks must be positive"):
        bench_bundle(bundle, ticks=0)
    assert run(bundle, "--threads", "two").exit_code == 2


def test_threads_are_tried_in_turn(bundle):
    before = torch.get_num_threads()
    report = bench_bundle(bundle, ["torch"], ticks=3, threads=[1, 2], parity_ticks=3)
    assert [way.threads for way in report.ways] == [1, 2]
    assert torch.get_num_threads() == before
