"""The tables of backbones: what is trained on and what is held out, over the seeds of each task."""

import argparse

import pytest

from benchmarks import backbones, backbones_report, stages
from benchmarks.backbones_studies import STUDIES
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks, split_name

TASKS = ["lift", "stack"]


def model(backbone, seed, scores, width=96):
    return {
        "backbone": backbone,
        "width": width,
        "seed": seed,
        "parameters": 460_000,
        "minutes": 2.0 + seed,
        "loss": 3.0 + 0.1 * seed,
        "scores": scores,
        "episodes": 10,
    }


def report(**changes):
    """Three seeds a backbone; xLSTM [1:0] lifts in 0.2, 0.4 and 0.6 of the episodes."""
    models = [
        model(name, seed, {"lift": 0.2 * (seed + 1), "stack": 0.0, "door": 0.5})
        for name in backbones_report.BACKBONES
        for seed in range(3)
    ]
    return {
        "machine": "a processor",
        "suite": "robosuite-panda",
        "tasks": TASKS,
        "held_out": ["door"],
        "demonstrations": 200,
        "steps": 600,
        "batch": 8,
        "models": models,
        "chance": {"lift": 0.0, "stack": 0.0, "door": 0.25},
        "latencies": [],
    } | changes


def cells(table, name):
    """Cells of the row of this name."""
    (row,) = (line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row.split("|")[2:-1]]


def test_every_task_has_a_rate_and_an_interval_of_each_backbone():
    table = backbones_report.markdown(report())["splits"]
    assert cells(table, "success")[:2] == ["xLSTM [1:0]", "xLSTM [7:1]"]
    assert cells(table, "lift") == ["0.40 (0.20 – 0.60)"] * 4 + ["0.00"]
    assert cells(table, "stack") == ["0.00 (0.00 – 0.00)"] * 4 + ["0.00"]
    assert cells(table, "minutes of training") == ["3.0"] * 4 + [""]
    assert cells(table, "*door*") == ["0.50 (0.50 – 0.50)"] * 4 + ["0.25"]


def test_means_keep_the_two_splits_apart():
    table = backbones_report.markdown(report(tasks=["lift"], held_out=["stack", "door"]))["splits"]
    assert cells(table, "lift")[0] == "0.40 (0.20 – 0.60)"
    assert "trained on" not in table  # a mean of one task
    assert cells(table, "**mean, held out**") == ["0.25 (0.25 – 0.25)"] * 4 + ["0.12"]
    alone = backbones_report.markdown(report(held_out=[]))["splits"]
    assert cells(alone, "**mean, trained on**")[0].startswith("0.20 (")
    assert "held out" not in alone
    assert "door" not in alone


def test_splits_are_of_the_widest_models():
    """Narrower ones are not scored on what is held out."""
    narrow = [
        model(name, 0, {"lift": 1.0, "stack": 1.0}, 32) for name in backbones_report.BACKBONES
    ]
    found = report()
    table = backbones_report.splits(report(models=narrow + found["models"]))
    assert table.startswith("Width 96, 3 seeds;")
    assert table == backbones_report.splits(found)


def test_backbones_that_were_not_trained_have_no_column():
    some = [m for m in report()["models"] if m["backbone"] in ("mamba", "xlstm")]
    table = backbones_report.splits(report(models=some))
    assert cells(table, "success") == ["xLSTM [1:0]", "Mamba", "actions drawn at random"]
    assert len(cells(table, "lift")) == 3


def test_untimed_models_have_no_table_of_ticks():
    assert set(backbones_report.markdown(report())) == {"splits"}


@pytest.mark.parametrize("suite", STUDIES)
def test_no_study_trains_on_what_it_holds_out(suite):
    tasks, study = get_suite(suite), STUDIES[suite]
    held_out = resolve_tasks(tasks, ",".join(study.held_out))
    assert not set(held_out) & set(study.tasks)
    assert set(study.tasks) | set(held_out) <= set(tasks.tasks())
    assert suite in backbones_report.TITLES


def test_meta_world_holds_out_what_the_paper_holds_out():
    (split,) = STUDIES["metaworld"].held_out
    assert split == split_name(get_suite("metaworld"), "heldout")


def test_figure_without_ticks_is_refused(capsys, tmp_path):
    with pytest.raises(SystemExit):
        backbones.main(["--plot", str(tmp_path / "a.svg")])
    assert "--plot draws the time of ticks: it needs --ticks" in capsys.readouterr().err


def test_a_model_without_a_score_of_every_task_is_not_done(tmp_path, monkeypatch):
    def learn(*_):
        raise InterruptedError

    monkeypatch.setattr(backbones, "learn", learn)
    folder = tmp_path / "mamba-d96-s0"
    folder.mkdir()
    (folder / "result.json").write_text('{"scores": {"lift": 0.5}, "episodes": 20}')
    options = vars(STUDIES["robosuite-panda"]) | {"tasks": ["lift"], "held_out": ["door"]}
    args = argparse.Namespace(work=tmp_path, **options | {"widths": [96, 128]})
    backbones.one_model(args, tmp_path, "mamba", 96, 0)  # not the widest: trained tasks alone
    for change in ({"widths": [96]}, {"evaluations": 30}):
        changed = argparse.Namespace(**vars(args) | change)
        with pytest.raises(InterruptedError):
            backbones.one_model(changed, tmp_path, "mamba", 96, 0)


def test_chance_is_the_same_each_time_and_measured_once(tmp_path):
    first = stages.by_chance(tmp_path / "a", "dmcontrol", ["cartpole-balance"], 2)
    assert len(first["cartpole-balance"]) == 2
    assert all(0.1 < value < 0.6 for value in first["cartpole-balance"])
    assert stages.by_chance(tmp_path / "b", "dmcontrol", ["cartpole-balance"], 2) == first
    (file,) = (tmp_path / "a").iterdir()
    file.write_text('{"cartpole-balance": [0.5, 0.5]}')
    kept = stages.by_chance(tmp_path / "a", "dmcontrol", ["cartpole-balance"], 2)
    assert kept == {"cartpole-balance": [0.5, 0.5]}
