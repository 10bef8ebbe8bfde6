"""Held-out errors are in physical units, of the fields of one unit together."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from train_rig import TINY

from lram_core.contract import ActionField
from lram_core.testing import OTHER_SCHEMA, small_dataset
from lram_core.training.action_errors import describe_errors, error_units, mean_errors
from lram_core.training.train import train
from lram_core.units import split_unit
from lram_ros.units import TABLE, parse_unit


def fields(*units: str) -> tuple[ActionField, ...]:
    return tuple(
        ActionField(f"joint_{n}", unit, "joint_delta", -1.0, 1.0) for n, unit in enumerate(units, 1)
    )


def test_an_error_counts_in_the_unit_and_a_gripper_apart() -> None:
    arm = fields("0.05 rad", "0.1 rad", "m/s", "1")
    assert error_units(arm) == {"mae_rad": "rad", "mae_m_per_s": "m/s", "mae_1": "1"}
    found = mean_errors(arm, np.array([0.2, 0.3, 0.4, 0.5]))
    assert found == {
        "mae_rad": pytest.approx((0.2 * 0.05 + 0.3 * 0.1) / 2), "mae_m_per_s": 0.4, "mae_1": 0.5
    }  # fmt: skip
    assert describe_errors(arm, found) == "0.02 rad, 0.4 m/s, 0.5 (joint_4)"
    with_prefix = {f"arm/{name}": value for name, value in found.items()}
    assert describe_errors(arm, with_prefix, "arm/").startswith("0.02 rad")
    old = describe_errors(arm, {"mae": 0.077})
    assert old == "0.0770 (mean of all fields, each in its own unit)"
    assert describe_errors(arm, {"loss": 1.0}) == ""


@given(
    name=st.sampled_from([u for units in TABLE.values() for u in units]), step=st.floats(1e-3, 1e3)
)
def test_every_unit_has_a_metric_of_its_own(name: str, step: float) -> None:
    factor, unit = split_unit(f"{step!r} {name}")
    assert (factor, unit) == (step, name)
    assert split_unit(name) == (1.0, name)
    (metric,) = error_units(fields(name))
    assert metric.isidentifier()
    others = [u for units in TABLE.values() for u in units if u != name]
    assert metric not in error_units(fields(*others))
    assert parse_unit(f"{step!r} {name}").factor == pytest.approx(step * parse_unit(name).factor)


def test_a_training_tells_them_and_its_card_names_the_unit(tmp_path: Path) -> None:
    """The same data with the unit called otherwise: the same training, another figure."""
    found = {}
    for name, unit in (("whole", "rad"), ("part", "0.05 rad")):
        lift, slide, gripper = OTHER_SCHEMA.action
        action = (replace(lift, unit=unit), replace(slide, unit=unit), gripper)
        small_dataset(tmp_path / name / "data", schema=replace(OTHER_SCHEMA, action=action))
        folder = tmp_path / name
        found[name] = train([folder / "data"], folder / "b", folder / "run", TINY)
    assert found["part"]["mae_rad"] == pytest.approx(0.05 * found["whole"]["mae_rad"])
    assert found["part"]["mae_1"] == found["whole"]["mae_1"] > 0
    with (tmp_path / "part" / "run" / "metrics.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    assert float(last["mae_rad"]) == pytest.approx(found["part"]["mae_rad"], rel=1e-4)
    assert "mae" not in last
    card = (tmp_path / "part" / "b" / "README.md").read_text()
    figures = found["part"]["mae_rad"], found["part"]["mae_1"]
    assert "mean absolute error {:.3g} rad, {:.3g} (gripper).".format(*figures) in card
