"""Every benchmark runs at a tiny size and reports what the manual documents; no time is judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import (
    backbones,
    backbones_report,
    batch_throughput,
    document,
    int8_agreement,
    latency_tables,
    simulation,
    soak,
    tick_latency,
    training,
    training_table,
)
from benchmarks.candidates import package_candidate, random_model, runtime_candidates
from benchmarks.interleave import WARM_UP, Budget, take_turns
from benchmarks.latency_targets import targets
from benchmarks.limit import StreamLimit, state_bytes, weight_bytes
from lram_core.action_model import ActionModel, ModelConfig
from lram_core.bench.inputs import RandomWalk
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime
from lram_core.testing import random_bundle, small_contract, small_dataset, small_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def latency(tmp_path_factory):
    """A report of the smallest sizes there are."""
    file = tmp_path_factory.mktemp("latency") / "report.json"
    words = "--sizes d128 --models xlstm mamba --contexts 4 --ticks 2 --runtimes torch native"
    tick_latency.main(
        [*words.split(), "--json", str(file), "--plot", str(file.with_suffix(".svg"))]
    )
    return file


def test_tick_latency_reports_every_contestant(latency):
    report = json.loads(latency.read_text())
    assert {"machine", "device", "threads", "torch", "tokens_per_tick", "seconds"} <= set(report)
    xlstm, mamba, context = report["groups"]
    assert (xlstm["kind"], xlstm["size"], xlstm["model"]) == ("model", "d128", "xlstm")
    ways = {row["way"] for row in xlstm["rows"]}
    assert ways >= {"limit", "floor", "torch fp32", "native fp32", "native int8"}
    assert "xlstm package .step × 3" in ways
    assert not any("package" in row["way"] for row in mamba["rows"])
    assert (context["kind"], context["context"]) == ("context", 4)
    assert {row["model"] for row in context["rows"]} == {None, "transformer", "xlstm"}
    for group in report["groups"]:
        for row in group["rows"]:
            assert row["ticks"] == 2
            assert row["p50_ms"] > 0 <= row["p99_ms"] <= row["max_ms"]
            if group["kind"] == "model":
                assert row["over_limit"] > 0
                assert row["over_floor"] > 0
    assert latency.with_suffix(".svg").read_text().startswith("<?xml")


def test_tables_show_every_way_and_size(latency):
    tables = latency_tables.markdown(json.loads(latency.read_text()))
    assert set(tables) == {"setting", "targets", "xlstm", "mamba", "contexts"}
    assert "| native int8 | " in tables["xlstm"]
    assert "| limit, int8 weights | " in tables["xlstm"]
    assert "| d128 | 4 | Decision Transformer, KV cache | " in tables["contexts"]


def test_package_computes_what_ours_does():
    model = random_model("xlstm", "d128")
    package = package_candidate("xlstm", model, CPU)
    runtime = TorchRuntime(model)
    inputs = RandomWalk(model).take(5)
    for tick in range(5):
        observation, to_go, reward = (
            inputs.observations[tick],
            float(inputs.returns_to_go[tick]),
            float(inputs.rewards[tick]),
        )
        runtime.tokenise(observation, to_go, reward)
        assert package.tick(observation, to_go, reward)[0].tolist() == runtime.step().tolist()


def test_transformer_is_measured_with_a_full_cache():
    model = random_model("transformer", "d128", context=4)
    (candidate,), absent = runtime_candidates(
        "transformer", model, RuntimeOptions(), [("torch", "fp32")], context=4
    )
    assert absent == []
    assert candidate.context == 4
    runtime = candidate.tick.__closure__[0].cell_contents
    assert int(runtime.state()["position"][0]) == 12
    assert all(np.abs(v).min() > 0 for n, v in runtime.state().items() if n.endswith(".k"))


def test_limit_counts_each_byte_of_a_tick():
    options = {"d_model": 64, "num_layers": 4, "num_heads": 2}
    model = ActionModel(ModelConfig(5, 2, backbone_options=options))
    parameters = sum(p.numel() for p in model.parameters())
    assert weight_bytes(model, "fp32") == 4 * parameters
    projections = 2 * (4 * 64 * 64 + 64 * 2 * 64)  # up and down; not of the first and last block
    rounded = projections + projections // 32 * 4
    assert weight_bytes(model, "int8") == 4 * (parameters - projections) + rounded
    state = sum(value.numel() for value in model.init_state(1).values())
    assert state_bytes(model) == 4 * state
    limit = StreamLimit(10_000, 3_000, CPU)
    limit.limit()
    limit.floor()
    assert limit._all.nbytes == 10240 + 2 * 3072


def test_turns_are_taken_in_rounds_until_time_is_up():
    order = []
    contestants = {name: lambda number, name=name: order.append((number, name)) for name in "abc"}
    found = take_turns(contestants, Budget(ticks=40, seconds=0.0, least=7))
    assert {latency.ticks for latency in found.values()} == {7}
    rounds = [{name for number, name in order if number == r} for r in range(WARM_UP + 7)]
    assert all(names == {"a", "b", "c"} for names in rounds)
    assert len({tuple(n for r, n in order if r == number) for number in range(12)}) > 1


def row(way, p50, precision="fp32", model="xlstm", limit=1.0):
    return {
        "way": way,
        "precision": precision,
        "model": model,
        "p50_ms": p50,
        "context": None,
        "over_limit": p50 / limit,
        "over_floor": p50 / limit,
    }


def test_targets_are_judged_by_the_figures():
    rows = [row("native fp32", 1.3), row("native int8", 0.5, "int8", limit=0.25)]
    rows.append(row("xlstm package .step × 3", 10.0))
    group = {"kind": "model", "size": "16M", "model": "xlstm", "rows": rows}
    rivals = [
        row("onnx int8", 0.4, "int8", "transformer"),
        row("native int8", 0.5, "int8", "xlstm-h128"),
    ]
    against = {"kind": "context", "size": "16M", "context": 50, "rows": rivals}
    report = {"device": "cpu", "groups": [group, against]}
    verdicts = {target.what: target.met for target in targets(report)}
    assert verdicts == {
        "native fp32 over its limit": True,
        "native int8 over its limit": False,
        "native int8 against the `xlstm` package": True,
        "against a Transformer, context 50, best of each": False,
    }
    graph = [row("cuda-graph bf16", 0.05, "bf16"), row("xlstm package .step × 3", 0.5)]
    report = {"device": "cuda", "groups": [{**group, "rows": graph}]}
    assert [target.met for target in targets(report)] == [True, False]


def test_soak_reports_latency_memory_and_drift(tmp_path):
    bundle = random_bundle(tmp_path / "bundle", small_contract())
    file = tmp_path / "soak.json"
    words = "--ticks 40 --reference-ticks 40 --compare-ticks 3 --allocation-ticks 20"
    soak.main(
        [
            "--bundle",
            str(bundle),
            *words.split(),
            "--runtime",
            "torch",
            "--json",
            str(file),
            "--plot",
            str(tmp_path / "soak.svg"),
        ]
    )
    report = json.loads(file.read_text())
    assert report["ticks"] == report["drift"][-1]["tick"] == 40
    assert report["state_finite"]
    assert report["old_over_young"] > 0
    assert report["reference_ticks"] == 40
    assert report["bins_equal"] == 1.0
    assert {"ticks", "python_bytes", "rss_bytes"} == set(report["allocation"])
    assert (tmp_path / "soak.svg").is_file()


def test_soak_drift_is_measured_against_float64(tmp_path):
    model = small_model()
    runtime, reference = TorchRuntime(model), soak.Reference(model)
    inputs = RandomWalk(model).take(30)
    times, logits, bins = np.zeros(30), np.zeros((2, 256), np.float32), np.zeros((30, 2), np.int64)
    for _ in range(2):  # a second block goes on where the first one ended
        soak.run_block(runtime, inputs, times, logits, bins)
        exact = reference.run(inputs)
        assert np.abs(logits - exact[-1]).max() < 1e-4
        assert reference.error(runtime.state()) < 1e-4
    state = runtime.state()
    state["0.C"] *= 1.5
    assert reference.error(state) > 0.1


def test_int8_agreement_replays_recorded_episodes(tmp_path):
    bundle = random_bundle(
        tmp_path / "bundle",
        small_dataset(tmp_path / "data").schema.contract({"default": 20.0}, context=16),
    )
    file = tmp_path / "agreement.json"
    int8_agreement.main(
        [
            "--bundle",
            str(bundle),
            "--data",
            str(tmp_path / "data"),
            "--episodes",
            "5",
            "--runtimes",
            "torch",
            "native",
            "--json",
            str(file),
        ]
    )
    report = json.loads(file.read_text())
    assert report["episodes"] == 5
    assert set(report["ways"]) == {"native fp32", "native int8"}
    for way in report["ways"].values():
        assert 0 <= way["agreement"] <= way["within_one_bin"] <= 1
        assert len(way["agreement_by_dimension"]) == len(way["mean_difference"]) == 2
    assert report["ways"]["native fp32"]["agreement"] > 0.99
    assert "native int8" in int8_agreement.markdown(report)["agreement"]


def test_success_is_compared_episode_by_episode(tmp_path):
    outcomes = {"fp32": [True, True, False], "int8": [True, False, True]}
    for name, wins in outcomes.items():
        (tmp_path / name).mkdir()
        data = {
            "parameters": {"subject": name},
            "mean": {"episodes": 3, "success_rate": 2 / 3, "low": 0.2, "high": 0.9},
            "episodes": [{"task": "reach", "seed": i, "success": w} for i, w in enumerate(wins)],
        }
        (tmp_path / name / "results.json").write_text(json.dumps(data))
    first, second = int8_agreement.success([tmp_path / "fp32", tmp_path / "int8"])
    assert (first["won"], first["lost"]) == (0, 0)
    assert (second["won"], second["lost"]) == (1, 1)


def test_batch_throughput_reports_a_curve(tmp_path):
    file = tmp_path / "batch.json"
    bundle = random_bundle(tmp_path / "bundle", small_contract())
    words = ["--subjects", str(bundle), "--robots", "1", "3", "--seconds", "0.01"]
    batch_throughput.main([*words, "--json", str(file)])
    report = json.loads(file.read_text())
    (series,) = report["series"]
    assert [point["robots"] for point in series["points"]] == [1, 3]
    for point in series["points"]:
        assert point["ticks_per_second"] == pytest.approx(1e3 * point["robots"] / point["p50_ms"])
    assert series["single"]["p50_ms"] > 0
    document.plots.throughput_plot(report, tmp_path / "batch.svg")
    assert (tmp_path / "batch.svg").is_file()


def test_backbones_are_trained_evaluated_and_timed_alike(tmp_path):
    file = tmp_path / "backbones.json"
    sizes = "--tasks drawer-open-v3 --held-out reach-v3 --widths 32 --seeds 1 --episodes 2"
    words = [*sizes.split(), *["--steps", "2", "--evaluations", "1", "--ticks"]]
    words += ["--work", str(tmp_path / "work"), "--json", str(file)]
    backbones.main(words)
    report = json.loads(file.read_text())
    assert {m["backbone"] for m in report["models"]} == set(backbones_report.BACKBONES)
    for row in backbones_report.rows(report):
        assert np.isfinite(row["loss"])
        assert row["success"] in (0.0, 1.0)
        assert row["p50_ms"] > 0
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "work").rglob("*") if f.is_file()}
    backbones.main(words)  # everything is there already: nothing is done again
    assert before == {
        f: f.stat().st_mtime_ns for f in (tmp_path / "work").rglob("*") if f.is_file()
    }
    backbones_report.plot(report, tmp_path / "backbones.svg")
    tables = backbones_report.markdown(report)
    assert "| Mamba | 32 |" in tables["sizes"]
    assert "| drawer-open-v3 | " in tables["splits"]
    assert "| *reach-v3* | " in tables["splits"]


def test_a_training_step_takes_turns_with_its_peers(tmp_path):
    file = tmp_path / "training.json"
    words = "--sizes d64 --batch 1 --context 4 --rounds 1 --no-compile"
    training.main([*words.split(), "--json", str(file)])
    report = json.loads(file.read_text())
    assert [group["model"] for group in report["groups"]] == list(training.MODELS)
    for group in report["groups"]:
        assert min(group["timesteps_per_s"].values()) > 0
        # The same weights give the same loss: the peer is the same model.
        assert group["loss_difference"] is None or group["loss_difference"] < 1e-4
    # Without peers to compile the columns are empty; with them the best of ours counts.
    group["timesteps_per_s"] |= {"ours": 1.0, "peer": 2.0, "ours, compiled": 4.0}
    group["timesteps_per_s"]["peer, compiled"] = 5.0
    lines = training_table.markdown(report)["step"].splitlines()
    assert any(line.startswith("| d64 | mamba |") for line in lines)
    assert lines[-1].endswith("| 0.50 | 2.00 | 0.80 | met |")
    group["timesteps_per_s"] |= {"ours, float32": 0.5, "peer, autocast": 0.8}
    last = training_table.markdown(report)["precision"].splitlines()[-1]
    assert last.endswith("| 1 | 0 | 2 | 1 | 0.25 | 1.25 |")


def test_bridge_and_simulator_take_turns(tmp_path):
    file = tmp_path / "simulation.json"
    words = "--suite metaworld --no-pictures --rounds 1 --steps 3 --episodes 0 --json"
    simulation.main([*words.split(), str(file)])
    report = json.loads(file.read_text())
    (row,) = report["bridge"]
    assert min(row["steps_per_s"].values()) > 0
    assert "| metaworld, drawer-open-v3 | none |" in simulation.markdown(report)["bridge"]


def test_manual_is_filled_between_its_marks(latency, tmp_path):
    manual = tmp_path / "manual.md"
    manual.write_text(
        "a\n<!-- table: tick_latency/xlstm -->\nold\n<!-- end -->\nb\n"
        "<!-- table: soak/soak -->\nkept\n<!-- end -->\n"
    )
    (tmp_path / "tick_latency.json").write_text(latency.read_text())
    words = ["--manual", str(manual), "--results", str(tmp_path)]
    document.main(words)
    text = manual.read_text()
    assert "| native fp32 | " in text
    assert "old" not in text
    assert "kept" in text
    assert (tmp_path / "tick_latency.svg").is_file()
    with pytest.raises(SystemExit, match="0"):
        document.main([*words, "--check"])


def test_the_manual_shows_the_reports():
    found = document.tables(document.RESULTS)
    for page in document.MANUALS:
        text = page.read_text()
        assert document.filled(text, found) == text
        for name in document.MARKED.findall(text):
            assert name[1].split("/")[0] in document.REPORTS
    pages = document.MANUAL.parent.rglob("*.md")
    marked = {page for page in pages if document.MARKED.search(page.read_text())}
    assert marked <= set(document.MANUALS)
    text = document.MANUAL.read_text()
    for figure in Path(document.MANUAL.parent).glob("*.svg"):
        assert any(figure.name in page.read_text() for page in document.MANUALS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--sizes 16M 17M", "unknown size '17M'; available: d64, d128, d256, 16M, 48M, 110M, 206M"),
        ("--models rwkv", "unknown model 'rwkv'; available: xlstm, xlstm-7:1, xlstm-h128, mamba,"),
    ],
)
def test_latency_of_what_does_not_exist_lists_what_does(capsys, words, said):
    with pytest.raises(SystemExit):
        tick_latency.main(words.split())
    assert said in capsys.readouterr().err
