"""robosuite's experts are claimed where they were measured to succeed, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.robosuite_rates_table import markdown
from lram_core.errors import TaskError
from lram_sim.robosuite_claims import CLAIMED
from lram_sim.robosuite_names import suite_names, wiper_names
from lram_sim.suite_registry import get_suite
from lram_sim.task_choice import resolve_tasks

RATES = json.loads(
    (Path(__file__).parents[1] / "benchmarks" / "results" / "expert_rates.json").read_text()
)


@pytest.mark.parametrize("name", [*suite_names(), *wiper_names()])
def test_claimed_is_what_was_measured(name: str) -> None:
    measured = RATES.get(name, {})
    good = {
        task
        for task, ticks in measured.items()
        if len(ticks) == 50 and 50 - ticks.count(None) >= 0.95 * 50
    }
    suite = get_suite(name)
    assert set(CLAIMED.get(name, ())) == good
    assert suite.splits["expert"] == [task for task in suite.tasks() if task in good]
    if good:
        assert set(resolve_tasks(suite, "expert")) == good


def test_an_expert_that_is_not_claimed_can_be_tried() -> None:
    task = get_suite("robosuite-jaco").make("pick-place-bread")
    task.reset(0)
    with pytest.raises(TaskError, match=r"'pick-place-bread'.*reliably.*tasks with one: lift"):
        task.expert()
    assert len(task.attempt().act(task.reset(0))) == 8
    task.close()


def test_a_table_tells_successes_episodes_and_ticks() -> None:
    report = {"robosuite-sawyer": {"door": [10, None, 21]}, "robosuite-jaco-wiper": {"wipe": [7]}}
    joint, osc = (markdown(report)[mode].splitlines() for mode in ("joint", "osc"))
    assert joint[0] == osc[0] == "| task | panda | sawyer | iiwa | ur5e | kinova3 | jaco |"
    assert "| door | – | 2/3, 16 | – | – | – | – |" in joint
    assert joint[-1] == "| wipe | – | – | – | – | – | 1/1, 7 |"
    assert osc[-1] == "| wipe | – | – | – | – | – | – |"
