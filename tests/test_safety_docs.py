"""docs/safety.md says what the code does: its tables and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lram_ros.policy_parameters import PARAMETERS
from lram_ros.safety import ClockLimits, Mode, Reason, Rules, reasons, state_policy
from lram_ros.safety.defaults import RAMP_S, TRANSLATION
from lram_ros.safety.limits import KINDS
from lram_ros.safety.supervisor import __doc__ as modes

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")


def test_table_of_the_recurrent_state():
    assert f"\n{state_policy.table()}\n\n" in TEXT


def test_table_of_the_reasons():
    assert f"\n{reasons.table()}\n\n" in TEXT


def test_every_reason_has_a_text_of_one_line():
    assert list(reasons.TEXTS) == list(Reason)
    assert all(reason.text and "\n" not in reason.text for reason in Reason)


@pytest.mark.parametrize("mode", Mode, ids=str)
def test_every_mode_is_explained(mode):
    assert f"\n| {mode.value} | " in TEXT
    assert f"\n{mode.value} " in modes


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_explained(kind):
    assert f"`{kind}`" in TEXT


def test_numbers():
    fields = {name: field.default for name, field in Rules.__dataclass_fields__.items()}
    assert f"`proof_s` ({fields['proof_s']:g} s)" in TEXT
    assert f"`blend_s` ({fields['blend_s']:g} s)" in TEXT
    assert f"full speed in {RAMP_S:g} s" in TEXT
    assert f"{TRANSLATION:g} m/s" in TEXT
    system, simulated = ClockLimits.system(), ClockLimits.simulated()
    assert "as long as ticks may stay out (the watchdog's deadline, less one period); gain" in TEXT
    assert f"gain {system.forward:g} s between two ticks ({simulated.forward:g} s" in TEXT
    assert f"go back {system.back:g} s (not at all with" in TEXT
    assert (simulated.back, simulated.rate) == (0.0, 10.0)


def test_the_example_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(example, "docs/safety.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert printed
    assert f"# {printed}\n" in example


def test_the_explanation_names_every_mode_and_reason_with_the_numbers_of_the_code():
    text = (ROOT / "docs" / "explanation" / "safety.md").read_text(encoding="utf-8")
    assert all(f"`{reason.value}`" in text for reason in Reason)
    assert all(mode.value in text for mode in Mode)
    rules = {name: field.default for name, field in Rules.__dataclass_fields__.items()}
    assert f"all fine for {rules['proof_s']:g} s," in text
    assert f"{rules['blend_s']:g} s gone by" in text
    assert f"the last {PARAMETERS['black_box_ticks'][0]} ticks in a file" in text
    assert "**It is no emergency stop.**" in text


def test_it_says_that_it_is_no_emergency_stop():
    assert "**It is no emergency stop.** A stop here is a category 2 stop" in TEXT
