"""Studies: stages are done once, and their tables say what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import domains, lockstep, pairs, stages
from lram_sim.suite_registry import get_suite
from lram_sim.summaries import Outcome


def test_only_episodes_that_are_missing_are_rolled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def evaluate(suite: Any, tasks: list[str], episodes: int, *_: Any) -> list[Outcome]:
        asked.append(list(tasks))
        return [
            Outcome(task, seed, task == "drawer-open-v3", 10, 1.0)
            for task in tasks
            for seed in range(episodes)
        ]

    monkeypatch.setattr("lram_sim.evaluate.evaluate", evaluate)
    first = stages.score(tmp_path, "metaworld", ["reach-v3"], 2, 1)
    both = stages.score(tmp_path, "metaworld", ["reach-v3", "drawer-open-v3"], 2, 1)
    assert first == {"reach-v3": [0.0, 0.0]}
    assert both == {"reach-v3": [0.0, 0.0], "drawer-open-v3": [1.0, 1.0]}
    assert asked == [["reach-v3"], ["drawer-open-v3"]]


def test_returns_are_scored_as_shares_of_full_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = get_suite("dmcontrol").reference_returns["reacher-easy"]  # type: ignore[attr-defined]
    outcomes = [Outcome("reacher-easy", 1, False, 1000, full / 2)]
    monkeypatch.setattr("lram_sim.evaluate.evaluate", lambda *_: outcomes)
    assert stages.score(tmp_path, "dmcontrol", ["reacher-easy"], 1, 1) == {"reacher-easy": [0.5]}


def test_every_domain_stands_beside_the_joint_model() -> None:
    def model(label: str, **scores: dict[str, list[float]]) -> dict[str, Any]:
        told = {"machine": "here", "steps": 3, "seconds": 60, "parameters": 1}
        return {"model": label, **told, "metrics": {}, "scores": scores}

    report = {
        "size": "d128",
        "streams": 2,
        "models": [
            model("one", one={"a": [1.0, 0.0], "b": [1.0, 1.0]}),
            model("two", two={"c": [0.5, 0.5]}),
            model("joint", one={"a": [0.0, 0.0], "b": [0.0, 1.0]}, two={"c": [0.25, 0.25]}),
        ],
    }
    tables = domains.markdown(report)
    assert "one 3 steps in 1.0 min" in tables["domains"]
    assert "| one | 2 × 2 | 0.75 |" in tables["domains"]
    assert "| two | 1 × 2 | 0.50 | 0.50 – 0.50 | 0.25 | 0.25 – 0.25 |" in tables["domains"]
    assert "| one | b | 1.00 | 0.50 |" in tables["tasks"]


def test_pairs_left_out_are_no_part_of_the_data() -> None:
    for suite, left_out in pairs.LEFT_OUT.items():
        seen = pairs.tasks_of(suite, ["push", "shelf"], unseen=False)
        unseen = pairs.tasks_of(suite, ["push", "shelf"], unseen=True)
        assert not any(left_out in task.split("-") for task in seen)
        assert unseen == [f"{left_out}-none-push", f"{left_out}-none-shelf"]
        assert set(seen + unseen) <= set(get_suite(suite).tasks())
    for left_out in pairs.LEFT_OUT.values():  # which other arms know
        assert set(pairs.LEFT_OUT.values()) - {left_out}


def test_pairs_are_told_by_arm_and_overall() -> None:
    def model(seen: float, unseen: float) -> dict[str, Any]:
        scores = {
            suite: {
                "seen": {"plate-none-push": [seen, seen]},
                "unseen": {"box-none-push": [unseen]},
            }
            for suite in ("composuite-panda", "composuite-jaco")
        }
        told = {"parameters": 2e6, "steps": 3, "batch": 4, "seconds": 60, "machine": "here"}
        return told | {"scores": scores}

    report = {"size": "d128", "demonstrations": 5}
    models = {"own": model(1.0, 0.0), "shared": model(0.5, 1.0)}
    lines = pairs.markdown(report | {"models": models})["pairs"].splitlines()
    row = "| jaco | plate | in the data | 1 × 2 | 1.00 | 1.00 – 1.00 | 0.50 | 0.50 – 0.50 |"
    assert row in lines
    row = "| all |  | left out | 2 × 1 | 0.00 | 0.00 – 0.00 | 1.00 | 1.00 – 1.00 |"
    assert lines[-1] == row


def test_success_through_ros_is_taken_from_the_summaries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suite, wins in (("robosuite-panda", 4), ("robosuite-iiwa", 1)):
        task = {"task": "lift", "successes": wins, "episodes": 4}
        summary = {"suite": suite, "mode": "lockstep", "seed": 1, "tasks": [task]}
        (tmp_path / suite).mkdir()
        (tmp_path / suite / "summary.json").write_text(json.dumps(summary))
    file = tmp_path / "report.json"
    lockstep.main(
        [str(tmp_path / "robosuite-panda"), str(tmp_path / "robosuite-iiwa"), "--json", str(file)]
    )
    said = capsys.readouterr().out
    assert said.strip() == lockstep.markdown(json.loads(file.read_text()))["success"]
    assert "| robosuite-panda | lift | 4/4 |" in said
    assert "| mean | 2 tasks | 0.625 |" in said
