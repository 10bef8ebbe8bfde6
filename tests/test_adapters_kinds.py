"""Action kinds: deltas, velocities, normalised values and other units become a sink's values."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
from adapter_rig import ARM, JOINTS, PERIOD, RATE, STATES, policy, robot, sink_data
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import JointState

from lram_core.contract import ActionField
from lram_core.errors import ContractError
from lram_ros.adapters.feedback import find_feedback
from lram_ros.adapters.kinds import NoReference, make_mappers
from lram_ros.adapters.sink import CommandValueError
from lram_ros.adapters.table import ADAPTERS
from lram_ros.contract_check import check_contract, disagreements
from lram_ros.message_fields import InputError

ACTION = np.array([0.1, -0.2, 0.3])
SPEEDS = {name: {"unit": "rad/s", "low": -2.0, "high": 2.0} for name in JOINTS}
EFFORTS = {name: {"unit": "N m", "low": -9.0, "high": 9.0} for name in JOINTS}


def mapper(bundle, adapter="forward_position", fields=ARM, **keys):
    (found,) = make_mappers(robot(sink_data(adapter, fields, **keys)), bundle)
    return found


def test_positions_as_they_are_in_the_bundles_order_of_its_own():
    bundle = policy("joint_position", ["wrist", "shoulder", "elbow"])
    target = mapper(bundle).target([3.0, 1.0, 2.0])
    assert target.values.tolist() == [1.0, 2.0, 2.0]  # wrist: 3 is beyond the contract's 2
    assert target.clipped.tolist() == [False, False, True]
    assert not mapper(bundle).needs_reference


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3))
def test_targets_never_leave_the_limits(action):
    for kind in ("joint_position", "joint_delta"):
        target = mapper(policy(kind)).target(action, np.zeros(3))
        assert (target.values >= -3.0).all()
        assert (target.values <= 2.0).all()
        inside = ~target.clipped
        assert (target.values[inside] == np.array(action)[inside]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["joint_position", "joint_delta"])
def test_action_that_is_not_finite_has_no_target(kind, bad):
    with pytest.raises(CommandValueError, match="action is not finite"):
        mapper(policy(kind)).target([0.0, bad, 0.0], np.zeros(3))


def test_the_bundles_own_limits_hold_too():
    found = mapper(policy("joint_delta", low=-0.05, high=0.05))
    target = found.target(ACTION, np.zeros(3))
    assert target.values.tolist() == [0.05, -0.05, 0.05]
    assert target.clipped.all()


def test_units_are_converted():
    degrees = {name: {"unit": "deg", "low": -180, "high": 180} for name in JOINTS}
    found = mapper(policy("joint_position"), fields=degrees).target([math.pi / 2, 0.0, -math.pi])
    assert found.values == pytest.approx([90.0, 0.0, -180.0])


def test_normalised_values_by_the_contracts_range():
    ranges = [(-3.0, 2.0), (0.0, 1.0), (-1.0, 1.0)]
    fields = {n: {**ARM[n], "range": list(r)} for n, r in zip(JOINTS, ranges, strict=True)}
    found = mapper(policy("joint_position", unit="1"), fields=fields)
    assert found.target([-1.0, -1.0, -1.0]).values.tolist() == [-3.0, 0.0, -1.0]
    assert found.target([1.0, 1.0, 1.0]).values.tolist() == [2.0, 1.0, 1.0]
    assert found.target([0.0, 0.0, 0.5]).values.tolist() == [-0.5, 0.5, 0.5]
    halves = {n: {**field, "normalised": [0.0, 1.0]} for n, field in fields.items()}
    found = mapper(policy("joint_position", unit="1"), fields=halves)
    assert found.target([0.5, 0.5, 0.5]).values.tolist() == [-0.5, 0.5, 0.0]
    against = {n: {**field, "normalised": [1.0, -1.0]} for n, field in fields.items()}
    found = mapper(policy("joint_position", unit="1"), fields=against)
    assert found.target([1.0, 1.0, -1.0]).values.tolist() == [-3.0, 0.0, 1.0]
    assert all(bundle[0] < bundle[1] for _, _, bundle in found.limits())


def test_normalised_values_need_a_range_that_is_written_there():
    with pytest.raises(ContractError, match="'1' \\(plain number\\) cannot become 'rad'"):
        mapper(policy("joint_position", unit="1"))
    ranged = {name: {**ARM[name], "range": [-1.0, 1.0]} for name in JOINTS}
    with pytest.raises(ContractError, match=r"range is for normalised values.*commands 'rad'"):
        mapper(policy("joint_position"), fields=ranged)


class TestShare:
    """A controller that is where it was sent within a tick goes further than a spring did."""

    def test_of_a_delta_of_joints(self):
        found = mapper(policy("joint_delta"), share=0.25)
        measured = np.array([1.0, 1.0, 1.0])
        target = found.target(ACTION, measured).values
        assert target == pytest.approx(measured + 0.25 * np.array(ACTION))
        assert found.action(target, measured) == pytest.approx(ACTION)

    def test_of_a_delta_of_the_hand_sent_as_a_speed(self):
        fields = {f"ee_d{a}": {"axis": a, "unit": "m/s", "low": -2, "high": 2} for a in "xyz"}
        bundle = policy("cartesian_delta", list(fields), unit="m", low=-0.05, high=0.05)
        found = mapper(bundle, "twist", fields, share=0.31)
        speed = 0.31 * 0.05 * RATE
        assert found.target([0.05, 0.0, -0.05]).values == pytest.approx([speed, 0.0, -speed])
        assert found.limits()[0][2] == pytest.approx((-speed, speed))

    @pytest.mark.parametrize("kind", ["joint_position", "joint_velocity"])
    def test_nothing_else_has_one(self, kind):
        unit = "rad" if kind == "joint_position" else "rad/s"
        with pytest.raises(ContractError, match=f"share is of deltas .*commands {kind}"):
            mapper(policy(kind, unit=unit), share=0.5)

    @pytest.mark.parametrize("share", [0.0, -1.0, "half"])
    def test_is_a_positive_number(self, share):
        with pytest.raises(ContractError, match="share"):
            mapper(policy("joint_delta"), share=share)


class TestDelta:
    def test_from_the_measured_joints_first_then_from_what_was_sent(self):
        found = mapper(policy("joint_delta"))
        measured = np.array([1.0, 1.0, 1.0])
        first = found.target(ACTION, measured).values
        assert first == pytest.approx([1.1, 0.8, 1.3])
        assert found.target(ACTION, measured).values.tolist() == first.tolist()  # nothing was sent
        found.sent(first)
        lagging = measured + 0.01
        assert found.target(ACTION, lagging).values == pytest.approx([1.2, 0.6, 1.6])
        found.reset()
        assert found.target(ACTION, lagging).values == pytest.approx([1.11, 0.81, 1.31])

    def test_what_was_really_sent_counts(self):
        found = mapper(policy("joint_delta"))
        found.sent(np.zeros(3))  # a supervisor let nothing through
        assert found.target(ACTION, np.ones(3)).values == pytest.approx(ACTION)

    def test_from_the_measured_joints_always(self):
        found = mapper(policy("joint_delta"), delta_reference="measured")
        found.sent(np.zeros(3))
        assert found.target(ACTION, np.ones(3)).values == pytest.approx(1 + ACTION)

    def test_without_any_reference_there_is_no_target(self):
        found = mapper(policy("joint_delta"))
        assert found.needs_reference
        with pytest.raises(NoReference, match="inputs must hold shoulder, elbow, wrist"):
            found.target(ACTION)

    def test_a_windup_stops_at_the_limit(self):
        found = mapper(policy("joint_delta"))
        found.sent(np.zeros(3))
        for _ in range(100):
            target = found.target([0.5, -0.5, 0.5])
            found.sent(target.values)
        assert target.values.tolist() == [2.0, -3.0, 2.0]
        assert found.target([-0.5, 0.5, -0.5]).values.tolist() == [1.5, -2.5, 1.5]

    def test_normalised_deltas(self):
        fields = {name: {**ARM[name], "range": [-0.05, 0.05]} for name in JOINTS}
        found = mapper(policy("joint_delta", unit="1"), fields=fields)
        assert found.target([1.0, -1.0, 0.5], np.ones(3)).values == pytest.approx(
            [1.05, 0.95, 1.025]
        )


class TestVelocity:
    def test_as_it_is_to_a_sink_of_velocity(self):
        found = mapper(policy("joint_velocity", unit="deg/s"), "forward_velocity", SPEEDS)
        assert found.target([90.0, 0.0, -180.0]).values == pytest.approx([math.pi / 2, 0, -2.0])
        assert not found.needs_reference

    def test_integrated_for_a_sink_of_position(self):
        found = mapper(policy("joint_velocity", unit="rad/s"))
        found.sent(np.zeros(3))
        for _ in range(round(RATE)):  # one second
            found.sent(found.target(ACTION).values)
        assert found.target(np.zeros(3)).values == pytest.approx(ACTION)
        degrees = mapper(policy("joint_velocity", unit="deg/s"))
        assert degrees.target([90.0, 0, 0], np.zeros(3)).values[0] == pytest.approx(
            math.pi / 2 * PERIOD
        )

    def test_unit_that_is_no_rate_of_the_sinks(self):
        with pytest.raises(ContractError, match=r"'m/s' \(velocity\) is not 'rad' \(angle\)"):
            mapper(policy("joint_velocity", unit="m/s"))


def test_efforts_and_grippers():
    found = mapper(policy("joint_effort", unit="N mm"), "forward_effort", EFFORTS)
    assert found.target([1000.0, 0.0, -1.0]).values == pytest.approx([1.0, 0.0, -0.001])
    grip = {"grip": {"joint": "finger", "unit": "m", "low": 0.0, "high": 0.08, "range": [0, 0.08]}}
    found = mapper(policy("gripper", ["grip"], unit="1"), "gripper", grip)
    assert found.target([0.0]).values == pytest.approx([0.04])


class TestTwist:
    axes: ClassVar = {
        "vx": {"axis": "x", "unit": "m/s", "low": -0.25, "high": 0.25},
        "wz": {"axis": "rz", "unit": "rad/s", "low": -1.0, "high": 1.0},
    }

    def bundle(self, kind, *units):
        one = policy(kind, ["vx"])
        fields = [
            ActionField(n, u, kind, -1e3, 1e3) for n, u in zip(("vx", "wz"), units, strict=True)
        ]
        return type(one)(**{**vars(one), "action": tuple(fields)})

    def test_velocity(self):
        found = mapper(self.bundle("cartesian_velocity", "mm/s", "rad/s"), "twist", self.axes)
        assert found.target([100.0, 0.5]).values == pytest.approx([0.1, 0.5])

    def test_delta_is_divided_by_the_period(self):
        found = mapper(self.bundle("cartesian_delta", "0.01 m", "rad"), "twist", self.axes)
        assert found.target([0.5, 0.01]).values == pytest.approx([0.005 * RATE, 0.01 * RATE])
        assert found.target([9.0, 9.0]).clipped.tolist() == [True, True]


def test_native_takes_everything_and_changes_nothing():
    fields = {"ee_dx": {"unit": "0.01 m", "low": -1.0, "high": 1.0}}
    for kind in ("cartesian_delta", "joint_delta", "anything"):
        found = mapper(policy(kind, ["ee_dx"], unit="0.01 m"), "native", fields)
        assert found.target([0.123456789]).values.tolist() == [0.123456789]
    with pytest.raises(ContractError, match=r"unit is '0\.01 m', the bundle commands 'm'"):
        mapper(policy("cartesian_delta", ["ee_dx"], unit="m"), "native", fields)


@pytest.mark.parametrize(
    ("kind", "adapter", "fields", "takes"),
    [
        ("joint_velocity", "forward_effort", EFFORTS, "joint_effort, gripper"),
        ("joint_position", "forward_velocity", SPEEDS, "joint_velocity"),
        ("joint_delta", "forward_velocity", SPEEDS, "joint_velocity"),
        ("joint_effort", "forward_position", ARM, "joint_position, joint_delta, joint_velocity"),
        ("cartesian_delta", "joint_trajectory", ARM, "joint_position"),
        ("teleport", "forward_position", ARM, "joint_position"),
    ],
)
def test_kind_that_a_sink_does_not_take(kind, adapter, fields, takes):
    found = list(disagreements(robot(sink_data(adapter, fields)), policy(kind)))
    assert len(found) == 1
    for word in ("robot.yaml", adapter, f"commands a {kind}", f"takes {takes}"):
        assert word in found[0]


def test_arm_and_gripper_take_their_own_fields():
    grip = {"grip": {"joint": "finger", "unit": "m", "low": 0.0, "high": 0.08}}
    both = robot(sink_data("joint_trajectory"), sink_data("gripper", grip))
    bundle = policy("joint_position", [*JOINTS, "grip"])
    fields = (*bundle.action[:3], ActionField("grip", "mm", "gripper", 0.0, 80.0))
    bundle = type(bundle)(**{**vars(bundle), "action": fields})
    check_contract(both, bundle)
    arm, hand = make_mappers(both, bundle)
    assert arm.target([0.1, 0.2, 0.3, 40.0]).values.tolist() == [0.1, 0.2, 0.3]
    assert hand.target([0.1, 0.2, 0.3, 40.0]).values == pytest.approx([0.04])


class TestFeedback:
    arm: ClassVar = sink_data("forward_position")

    def message(self, **positions):
        return JointState(name=list(positions), position=list(positions.values()))

    @settings(deadline=None)
    @given(st.permutations([*JOINTS, "finger"]))
    def test_joints_by_name_in_any_order(self, order):
        contract = robot(self.arm)
        found = find_feedback(contract, contract.sinks[0])
        values = {"shoulder": 1.0, "elbow": 2.0, "wrist": 3.0, "finger": 4.0}
        assert found.index == 0
        message = self.message(**{name: values[name] for name in order})
        assert found.read(message).tolist() == [1.0, 2.0, 3.0]

    def test_units_of_topic_and_sink(self):
        fields = {"joint_position": {"path": "position", "names": JOINTS, "unit": "deg"}}
        contract = robot(self.arm, inputs=[{**STATES, "fields": fields}])
        found = find_feedback(contract, contract.sinks[0])
        read = found.read(self.message(shoulder=90.0, elbow=0.0, wrist=-180.0))
        assert read == pytest.approx([math.pi / 2, 0.0, -math.pi])

    def test_missing_joint_is_named(self):
        contract = robot(self.arm)
        found = find_feedback(contract, contract.sinks[0])
        with pytest.raises(InputError, match="no wrist; it has shoulder, elbow"):
            found.read(self.message(shoulder=0.0, elbow=0.0))

    def test_deltas_without_feedback_do_not_pass_the_check(self):
        fields = {"joint_position": {"path": "position", "names": JOINTS[:2], "unit": "rad"}}
        contract = robot(self.arm, inputs=[{**STATES, "fields": fields}])
        found = list(disagreements(contract, policy("joint_delta")))
        assert "joint_delta starts from measured joints" in found[-1]
        assert "name the topic with 'feedback'" in found[-1]
        named = robot({**self.arm, "feedback": "joint_states"}, inputs=contract_inputs(fields))
        assert not any("measured" in line for line in disagreements(named, policy("joint_delta")))

    def test_gripper_in_numbers_of_its_own_has_none(self):
        grip = {"grip": {"joint": "shoulder", "unit": "1", "low": 0.0, "high": 1.0}}
        contract = robot(sink_data("gripper", grip))
        assert find_feedback(contract, contract.sinks[0]) is None
        assert not list(disagreements(contract, policy("gripper", ["grip"], unit="1")))
        named = robot(sink_data("gripper", grip, feedback="joint_states"))
        with pytest.raises(
            ContractError, match=r"shoulder: unit 'rad' \(angle\) cannot become '1'"
        ):
            find_feedback(named, named.sinks[0])

    def test_feedback_that_is_no_joint_state(self):
        contract = robot({**self.arm, "feedback": "camera"})
        with pytest.raises(ContractError, match="feedback 'camera' is no JointState input; there"):
            find_feedback(contract, contract.sinks[0])


def contract_inputs(fields):
    return [{**STATES, "fields": fields}]


def test_limits_that_do_not_overlap_after_conversion():
    degrees = {name: {"unit": "deg", "low": 100.0, "high": 180.0} for name in JOINTS}
    contract = robot(sink_data("forward_position", degrees))
    found = list(disagreements(contract, policy("joint_position", low=-1.0, high=1.0)))
    assert len(found) == 3
    assert "shoulder: limits 100 … 180 do not overlap the bundle's -57.2958 … 57.2958" in found[0]


def test_every_quantity_of_an_adapter_takes_some_kind():
    from lram_ros.adapters.kinds import RULES

    taken = {quantity for _, quantity in RULES} | {"native"}
    assert {q for spec in ADAPTERS.values() for q in spec.quantities} <= taken
