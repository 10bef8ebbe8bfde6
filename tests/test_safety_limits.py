"""Limits: derived from the contract where nobody gave them, refused where they make no sense."""

from __future__ import annotations

import math

import pytest
from safety_rig import FIELDS

from lram_core.contract import ActionField
from lram_core.errors import ContractError
from lram_ros.safety import SafetyLimits, Workspace, derive_limits
from lram_sim.metaworld import policy_contract

ARM = [ActionField("elbow", "rad", "joint_position", -1.0, 1.0)]


def derived(kind, unit, low=-1.0, high=3.0, rate=50.0, **given):
    field = ActionField("j", unit, kind, low, high)
    return derive_limits([field], rate, {"j": given} if given else None).fields[0]


@pytest.mark.parametrize(
    ("kind", "unit", "velocity", "acceleration", "lag"),
    [
        ("joint_position", "rad", 1.0, 4.0, 1.0),
        ("joint_position", "deg", 180 / math.pi, 4 * 180 / math.pi, 1.0),
        ("joint_position", "m", 0.25, 1.0, 1.0),
        ("joint_position", "mm", 250.0, 1000.0, 1.0),
        ("joint_position", "1", 2.0, 8.0, 1.0),
        ("joint_position", "turns of a knob", 2.0, 8.0, 1.0),
        ("joint_velocity", "rad/s", 3.0, 12.0, math.inf),
        ("twist", "m/s", 3.0, 12.0, math.inf),
        ("joint_delta", "rad", 150.0, 600.0, math.inf),
        ("cartesian_delta", "0.01 m", 150.0, 600.0, math.inf),
        ("gripper", "m", 8.0, math.inf, math.inf),
        ("native", "1", math.inf, math.inf, math.inf),
    ],
)
def test_defaults(kind, unit, velocity, acceleration, lag):
    field = derived(kind, unit)
    assert (field.low, field.high) == (-1.0, 3.0)
    assert field.max_velocity == pytest.approx(velocity)
    assert field.max_acceleration == pytest.approx(acceleration)
    assert field.max_step == pytest.approx(velocity / 50.0)
    assert field.max_lag == pytest.approx(lag)
    assert field.derived == ("max_velocity", "max_acceleration", "max_step", "max_lag")


def test_given_limits_are_kept_and_the_rest_follows_them():
    field = derived("joint_position", "rad", max_velocity=0.5, max_lag=math.inf)
    assert field.max_velocity == 0.5
    assert field.max_acceleration == 2.0
    assert field.max_lag == math.inf
    assert field.derived == ("max_acceleration", "max_step")


def test_an_effort_needs_a_rest_value():
    with pytest.raises(ContractError, match="rest is missing: the effort to send for no motion"):
        derived("joint_effort", "N m")
    field = derived("joint_effort", "N m", rest=0.5)
    assert (field.rest, field.max_velocity) == (0.5, 8.0)


def test_missing_limits_are_said():
    limits = derive_limits(
        [ActionField("a", "rad", "joint_position", -1, 1), ActionField("b", "1", "native", -1, 1)],
        10.0,
        {"a": {"max_acceleration": math.inf}},
    )
    assert limits.unlimited() == ["a: acceleration", "b: velocity"]
    assert limits.describe() == [
        "a (joint_position): -1 … 1, max_velocity 1*, max_acceleration unlimited, max_step 0.1*, "
        "max_lag 0.5*",
        "b (native): -1 … 1, max_velocity unlimited*, max_acceleration unlimited*, "
        "max_step unlimited*",
    ]


def test_shipped_suite_has_usable_limits():
    contract = policy_contract(target_returns={"default": 1.0}, context=50)
    limits = derive_limits(contract.action, contract.control_rate)
    assert limits.unlimited() == []
    assert limits.size == 4


def test_a_workspace_becomes_walls_of_its_fields():
    contract = policy_contract(target_returns={"default": 1.0}, context=50)
    box = Workspace((-0.5, 0.4, 0.05), (0.5, 0.9, 0.4), ("ee_dx", "ee_dy", "ee_dz"))
    limits = derive_limits(contract.action, contract.control_rate, workspace=box)
    walls = [(f.position_low, f.position_high, f.scale) for f in limits.fields[:3]]
    assert walls == [(-0.5, 0.5, 0.01), (0.4, 0.9, 0.01), (0.05, 0.4, 0.01)]
    assert limits.measured.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (("ee_dx", "ee_dy"), "one for each of x, y, z, found ee_dx, ee_dy"),
        (("ee_dx", "ee_dy", "up"), "found up; there are ee_dx"),
        (("ee_dx", "ee_dy", "gripper"), r"found gripper \(gripper\)"),
    ],
)
def test_workspace_of_fields_that_do_not_exist(fields, words):
    contract = policy_contract(target_returns={"default": 1.0}, context=50)
    with pytest.raises(ContractError, match=words):
        derive_limits(contract.action, 80.0, workspace=Workspace((0, 0, 0), (1, 1, 1), fields))


def test_workspace_of_rotations():
    fields = [ActionField(n, "rad", "cartesian_delta", -1, 1) for n in "abc"]
    with pytest.raises(ContractError, match="a is in 'rad', expected a unit of length"):
        derive_limits(fields, 10.0, workspace=Workspace((0, 0, 0), (1, 1, 1), ("a", "b", "c")))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: derive_limits([], 10.0), "at least one field"),
        (lambda: derived("joint_position", "rad", rate=0.0), "control rate must be positive"),
        (lambda: derived("joint_position", "rad", max_speed=1.0), "unknown max_speed; expected"),
        (lambda: derived("joint_position", "rad", max_velocity=-1.0), "max_velocity: expected"),
        (lambda: derived("joint_position", "rad", max_velocity=math.nan), "expected a positive"),
        (lambda: derived("joint_velocity", "rad/s", low=0.5), "outside of its limits 0.5 … 3"),
        (lambda: derived("native", "1", low=0.5), "no motion is 0, outside"),
        (lambda: derived("joint_delta", "rad", rest=0.1), "no motion of a joint_delta is 0"),
        (lambda: derived("magic", "rad"), "kind is 'magic', expected one of joint_position"),
        (lambda: derived("native", "1", high=math.inf), "expected finite limits"),
        (lambda: derived("twist", "m/s", position_low=1.0, position_high=0.0), "must be below"),
        (lambda: derive_limits(ARM, 1.0, {"wrist": {}}), "no action field wrist; there"),
        (lambda: SafetyLimits(FIELDS, 0.0), "period must be positive"),
        (lambda: Workspace((0, 0, 0), (1, 0, 1)), "must be below high"),
    ],
)
def test_limits_that_make_no_sense(make, words):
    with pytest.raises(ContractError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
