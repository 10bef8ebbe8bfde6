"""Kinds of input: names, units, ranges, frames, histories of the messages robots publish."""

from __future__ import annotations

import math

import numpy as np
import pytest
from adapter_rig import JOINTS, contract_data, policy, robot, sink_data
from geometry_msgs.msg import PoseStamped, TwistStamped, WrenchStamped
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64, Float64MultiArray

from lram_core.contract import ObservationField
from lram_core.errors import ContractError
from lram_ros.assembly import InputReader, LatestCollector
from lram_ros.contract_check import disagreements
from lram_ros.message_fields import InputError
from lram_ros.qos import input_qos
from lram_ros.robot_contract import RobotContract

ARM = sink_data("forward_position")


def topic(kind, *fields, **keys):
    """One input; ``fields`` are (name, keys of the contract)."""
    return {"topic": "t", "type": kind, "max_age": 1.0, "fields": dict(fields), **keys}


def wants(*fields):
    """A bundle that observes (name, size, unit)."""
    return policy("joint_position", observation=tuple(ObservationField(*f) for f in fields))


def read(contract, bundle, *messages):
    """Feed messages of the only topic; what the tick after them observes."""
    collector = LatestCollector(contract.topics)
    for message in messages:
        collector.add(0, message, 0.0)
    return InputReader(contract, bundle).sensors(collector.take(0.0, 0))


def misfits(contract, bundle):
    return [line for line in disagreements(contract, bundle) if " t: " in line]


POSE = PoseStamped()
POSE.pose.position.x, POSE.pose.orientation.w = 0.5, 1.0
TWIST = TwistStamped()
TWIST.twist.linear.y, TWIST.twist.angular.z = 0.25, -1.0
WRENCH = WrenchStamped()
WRENCH.wrench.force.z, WRENCH.wrench.torque.x = 9.5, 0.125
IMU = Imu()
IMU.orientation.w, IMU.angular_velocity.x, IMU.linear_acceleration.z = 1.0, 0.5, 9.8
STATE = JointState(name=["elbow", "shoulder"], position=[1.0, 2.0], velocity=[3.0, 4.0])


@pytest.mark.parametrize(
    ("kind", "message", "field", "expected"),
    [
        ("sensor_msgs/msg/JointState", STATE, {"path": "position", "names": ["shoulder"]}, [2.0]),
        (
            "sensor_msgs/msg/JointState",
            STATE,
            {"path": "velocity", "names": ["shoulder", "elbow"]},
            [4.0, 3.0],
        ),
        ("geometry_msgs/msg/PoseStamped", POSE, {"path": "pose"}, [0.5, 0, 0, 0, 0, 0, 1]),
        ("geometry_msgs/msg/TwistStamped", TWIST, {"path": "twist"}, [0, 0.25, 0, 0, 0, -1]),
        ("geometry_msgs/msg/WrenchStamped", WRENCH, {"path": "wrench.force"}, [0, 0, 9.5]),
        ("sensor_msgs/msg/Imu", IMU, {"path": "linear_acceleration"}, [0, 0, 9.8]),
        ("sensor_msgs/msg/Imu", IMU, {"path": "orientation"}, [0, 0, 0, 1]),
        ("std_msgs/msg/Float64", Float64(data=0.5), {"path": "data"}, [0.5]),
        (
            "std_msgs/msg/Float64MultiArray",
            Float64MultiArray(data=[1.0, 2.0]),
            {"path": "data"},
            [1, 2],
        ),
    ],
)
def test_every_kind_of_message(kind, message, field, expected):
    contract = robot(ARM, inputs=[topic(kind, ("seen", {**field, "unit": "1"}))])
    bundle = wants(("seen", len(expected), "1"))
    assert misfits(contract, bundle) == []
    assert read(contract, bundle, message)["seen"].tolist() == expected


@settings(deadline=None)
@given(st.permutations([*JOINTS, "finger"]), st.sampled_from(["rad", "deg", "mrad", "rev"]))
def test_joints_in_any_order_and_unit_are_the_same_vector(order, unit):
    angles = {"shoulder": 0.1, "elbow": -2.0, "wrist": 3.0, "finger": 9.0}
    factor = {"rad": 1.0, "deg": 180 / math.pi, "mrad": 1000.0, "rev": 0.5 / math.pi}[unit]
    field = ("joints", {"path": "position", "names": JOINTS, "unit": unit})
    contract = robot(ARM, inputs=[topic("sensor_msgs/msg/JointState", field)])
    message = JointState(name=list(order), position=[angles[n] * factor for n in order])
    found = read(contract, wants(("joints", 3, "rad")), message)["joints"]
    assert found == pytest.approx([0.1, -2.0, 3.0], rel=1e-12)


def test_range_makes_normalised_values():
    field = {"path": "position", "names": ["elbow", "shoulder"], "unit": "rad"}
    spans = [[0.0, 2.0], [0.0, 8.0]]
    kind = "sensor_msgs/msg/JointState"
    for keys, expected in (
        ({"range": spans}, [0.0, -0.5]),
        ({"range": [0.0, 4.0]}, [-0.5, 0.0]),
        ({"range": [0.0, 4.0], "normalised": [0.0, 1.0]}, [0.25, 0.5]),
    ):
        contract = robot(ARM, inputs=[topic(kind, ("seen", {**field, **keys}))])
        assert misfits(contract, wants(("seen", 2, "1"))) == []
        found = read(contract, wants(("seen", 2, "1")), STATE)["seen"]
        assert found == pytest.approx(expected)
    (line,) = misfits(contract, wants(("seen", 2, "rad")))
    assert "range makes normalised values, unit '1'; the bundle expects 'rad'" in line
    three = {**field, "range": [*spans, spans[0]]}
    (line,) = misfits(robot(ARM, inputs=[topic(kind, ("seen", three))]), wants(("seen", 2, "1")))
    assert "range has 3 rows for 2 values" in line


@pytest.mark.parametrize(
    ("unit", "wanted", "words"),
    [
        ("degrees", "rad", "unit 'degrees' is unknown; known are"),
        ("deg", "m", "unit is 'deg', the bundle expects 'm': unit 'deg' (angle) cannot become"),
        ("1", "rad", "unit '1' (plain number) cannot become 'rad' (angle)"),
        ("rad", "1", "unit 'rad' (angle) cannot become '1' (plain number)"),
    ],
)
def test_units_are_never_guessed(unit, wanted, words):
    field = ("seen", {"path": "data", "unit": unit})
    contract = robot(ARM, inputs=[topic("std_msgs/msg/Float64", field)])
    (line,) = misfits(contract, wants(("seen", 1, wanted)))
    assert words in line
    assert "t: seen (data of std_msgs/msg/Float64)" in line


def test_array_of_another_size_is_named():
    field = ("seen", {"path": "data", "unit": "1"})
    contract = robot(ARM, inputs=[topic("std_msgs/msg/Float64MultiArray", field)])
    bundle = wants(("seen", 3, "1"))
    with pytest.raises(InputError, match=r"t: seen .*: 2 values, expected 3"):
        read(contract, bundle, Float64MultiArray(data=[1.0, 2.0]))


def test_frame_must_be_the_contracts():
    field = ("seen", {"path": "pose.position", "unit": "m"})
    kind = "geometry_msgs/msg/PoseStamped"
    contract = robot(ARM, inputs=[topic(kind, field, frame="base")])
    message = PoseStamped()
    message.header.frame_id = "base"
    bundle = wants(("seen", 3, "m"))
    assert read(contract, bundle, message)["seen"].tolist() == [0, 0, 0]
    message.header.frame_id = "world"
    with pytest.raises(InputError, match=r"t: seen .*: frame is 'world', expected 'base'"):
        read(contract, bundle, message)
    bare = robot(
        ARM,
        inputs=[topic("std_msgs/msg/Float64", ("seen", {"path": "data", "unit": "m"}), frame="b")],
    )
    (line,) = misfits(bare, wants(("seen", 1, "m")))
    assert "frame 'b' given, but it has no header" in line


def test_imu_without_an_estimate_is_refused():
    field = ("seen", {"path": "orientation", "unit": "1"})
    contract = robot(ARM, inputs=[topic("sensor_msgs/msg/Imu", field)])
    message = Imu()
    message.orientation_covariance[0] = -1.0
    with pytest.raises(InputError, match=r"t: seen .*: not estimated"):
        read(contract, wants(("seen", 4, "1")), message)


class TestHistory:
    contract = robot(
        ARM,
        inputs=[
            topic(
                "geometry_msgs/msg/WrenchStamped",
                ("force", {"path": "wrench.force.z", "unit": "N", "history": 3}),
                ("torque", {"path": "wrench.torque.x", "unit": "N m"}),
            )
        ],
    )
    bundle = wants(("force", 3, "N"), ("torque", 1, "N m"))

    def messages(self, *forces):
        found = []
        for force in forces:
            message = WrenchStamped()
            message.wrench.force.z, message.wrench.torque.x = force, -force
            found.append(message)
        return found

    def test_newest_readings_oldest_first(self):
        assert misfits(self.contract, self.bundle) == []
        found = read(self.contract, self.bundle, *self.messages(1.0, 2.0, 3.0, 4.0))
        assert found["force"].tolist() == [2.0, 3.0, 4.0]
        assert found["torque"].tolist() == [-4.0]

    def test_before_there_are_enough_the_oldest_stands_in(self):
        found = read(self.contract, self.bundle, *self.messages(1.0, 2.0))
        assert found["force"].tolist() == [1.0, 1.0, 2.0]

    def test_one_bad_reading_refuses_the_field(self):
        with pytest.raises(InputError, match="not finite"):
            read(self.contract, self.bundle, *self.messages(1.0, math.nan, 2.0))

    def test_sizes_are_compared(self):
        (line,) = misfits(self.contract, wants(("force", 2, "N"), ("torque", 1, "N m")))
        assert "gives 1 values x 3 readings, the bundle expects 2" in line

    def test_with_a_tick_for_each_set_the_bundles_delays_are_the_past(self):
        data = contract_data(ARM, tick_source="observation")
        data["inputs"][0]["fields"]["joint_position"]["history"] = 2
        with pytest.raises(ContractError, match="history 2 needs tick_source 'clock'"):
            RobotContract.from_dict(data)


def test_qos_of_an_input():
    keys = {"reliability": "best_effort", "durability": "transient_local", "depth": 3}
    field = ("seen", {"path": "data", "unit": "1"})
    kind = "std_msgs/msg/Float64"
    contract = robot(ARM, inputs=[topic(kind, field, **keys, deadline=0.1, lifespan=0.5)])
    found = input_qos(contract.inputs[0])
    assert found.reliability == ReliabilityPolicy.BEST_EFFORT
    assert found.durability == DurabilityPolicy.TRANSIENT_LOCAL
    assert found.depth == 3
    assert found.deadline.nanoseconds == 100_000_000
    assert found.lifespan.nanoseconds == 500_000_000
    plain = input_qos(robot(ARM, inputs=[topic(kind, field)]).inputs[0])
    assert (plain.depth, plain.reliability) == (10, ReliabilityPolicy.RELIABLE)


def test_without_a_policy_values_stay_in_the_contracts_units():
    field = ("seen", {"path": "data", "unit": "deg"})
    contract = robot(ARM, inputs=[topic("std_msgs/msg/Float64", field)])
    collector = LatestCollector(contract.topics)
    collector.add(0, Float64(data=90.0), 0.0)
    found = InputReader(contract).sensors(collector.take(0.0, 0))
    assert np.array(found["seen"]).tolist() == [90.0]
