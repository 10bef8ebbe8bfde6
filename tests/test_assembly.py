"""From messages to the inputs of a tick: reading by path and name, joining, ages."""

from __future__ import annotations

import math

import numpy as np
import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from hypothesis import given
from hypothesis import strategies as st
from ros_graph import CONTRACT, robot_messages
from sensor_msgs.msg import JointState

from lram_core.errors import ContractError
from lram_ros.assembly import InputReader, InputSet, LatestCollector, StaleInput, StampCollector
from lram_ros.input_topic import FieldSource, InputTopic
from lram_ros.message_fields import FieldReader, InputError
from lram_ros.robot_contract import RobotContract

JOINTS = "sensor_msgs/msg/JointState"


def topic(name, max_age=0.2):
    return InputTopic(name, JOINTS, max_age, "reliable", ())


def stamped(stamp):
    message = JointState()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
    return message


def reader(path, *names, type_name=JOINTS):
    return FieldReader(FieldSource("field", path, "rad", names), type_name, "robot.yaml: topic")


@given(st.permutations(["shoulder", "elbow", "wrist", "finger"]))
def test_joints_are_found_by_name_in_any_order(order):
    values = {"shoulder": 1.0, "elbow": 2.0, "wrist": 3.0, "finger": 4.0}
    message = JointState(name=list(order), position=[values[name] for name in order])
    read = reader("position", "wrist", "shoulder")
    for _ in range(2):  # the second time from the remembered order
        assert read.read(message).tolist() == [3.0, 1.0]
    swapped = JointState(name=["shoulder", "wrist"], position=[5.0, 6.0])
    assert read.read(swapped).tolist() == [6.0, 5.0]


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (["elbow"], [1.0], ["no wrist", "it has elbow"]),
        (["wrist", "wrist"], [1.0, 2.0], ["wrist given more than once"]),
        (["wrist", "elbow"], [1.0], ["2 names, but 1 values"]),
        (["wrist"], [math.nan], ["not finite"]),
        (["wrist"], [math.inf], ["not finite"]),
        ([], [], ["no wrist", "(none)"]),
    ],
)
def test_malformed_joint_states_are_refused(names, positions, words):
    with pytest.raises(InputError) as caught:
        reader("position", "wrist").read(JointState(name=names, position=positions))
    for word in ["topic", "position", *words]:
        assert word in str(caught.value)


def test_paths():
    kind = "geometry_msgs/msg/PoseWithCovarianceStamped"
    message = PoseWithCovarianceStamped()
    pose = message.pose.pose
    pose.position.x, pose.position.y, pose.position.z = 1.0, 2.0, 3.0
    pose.orientation.x, pose.orientation.w = 0.6, 0.8
    message.pose.covariance[35] = 7.0
    assert reader("pose.pose", type_name=kind).read(message).tolist() == [1, 2, 3, 0.6, 0, 0, 0.8]
    assert reader("pose.pose.position.y", type_name=kind).read(message).tolist() == [2]
    covariance = reader("pose.covariance", type_name=kind)
    assert covariance.size == 36
    assert covariance.read(message)[35] == 7.0
    assert reader("velocity").size is None
    for path in ("pose.pose.position.x.y", "pose", "header.frame_id"):
        with pytest.raises(ContractError):
            reader(path, type_name=kind)


def test_numbers_are_passed_on_unrounded():
    value = 0.1 + 1e-17 + math.pi * 1e-9
    got = reader("position", "wrist").read(JointState(name=["wrist"], position=[value]))
    assert got.dtype == np.float64
    assert got[0] == value


class TestStampCollector:
    topics = (topic("a"), topic("b"))

    def test_complete_set(self):
        collector = StampCollector(self.topics)
        assert collector.add(1, stamped(5), now=10.0) is None
        inputs = collector.add(0, stamped(5), now=10.1)
        assert inputs.stamp == 5
        assert [m.header.stamp.nanosec for m in inputs.messages] == [5, 5]
        assert inputs.ages == pytest.approx((0.0, 0.1))

    def test_stamps_are_not_mixed(self):
        collector = StampCollector(self.topics)
        assert collector.add(0, stamped(1), 0.0) is None
        assert collector.add(1, stamped(2), 0.0) is None
        assert collector.add(0, stamped(2), 0.0).stamp == 2
        assert collector.add(1, stamped(1), 0.0) is None  # forgotten with the newer set

    def test_repeated_set_comes_again(self):
        collector = StampCollector(self.topics)
        for _ in range(3):
            assert collector.add(0, stamped(1), 0.0) is None
            assert collector.add(1, stamped(1), 0.0).stamp == 1

    def test_old_half_is_not_used_until_it_is_repeated(self):
        collector = StampCollector(self.topics)
        collector.add(0, stamped(1), 0.0)
        assert collector.add(1, stamped(1), 0.5) is None
        assert collector.problems(0.5) == ["a 0.5 s old (at most 0.2)"]
        assert collector.add(0, stamped(1), 0.51).ages == pytest.approx((0.0, 0.01))

    def test_missing_input_is_named(self):
        collector = StampCollector(self.topics)
        assert collector.problems(0.0) == []
        collector.add(0, stamped(1), 0.0)
        assert collector.problems(0.1) == ["b missing"]

    def test_memory_is_bounded(self):
        collector = StampCollector(self.topics)
        for stamp in range(10_000):
            collector.add(0, stamped(stamp), 0.0)
        assert len(collector._sets) < 100
        assert collector.add(1, stamped(9_999), 0.0).stamp == 9_999


class TestLatestCollector:
    topics = (topic("a"), topic("b", max_age=math.inf))

    def test_newest_of_each(self):
        collector = LatestCollector(self.topics)
        collector.add(0, stamped(1), 0.0)
        collector.add(1, stamped(2), 0.0)
        collector.add(0, stamped(3), 0.1)
        inputs = collector.take(now=0.2, ros_now=10)
        assert [m.header.stamp.nanosec for m in inputs.messages] == [3, 2]
        assert inputs.ages == pytest.approx((0.1, 0.2))
        assert inputs.stamp == 10

    def test_missing_and_old_are_named(self):
        collector = LatestCollector(self.topics)
        collector.add(0, stamped(1), 0.0)
        with pytest.raises(StaleInput, match=r"a 0\.3 s old \(at most 0\.2\); b missing"):
            collector.take(0.3, 1)
        collector.add(1, stamped(1), 0.0)
        collector.add(0, stamped(1), 100.0)
        assert collector.take(100.1, 1).ages[1] == pytest.approx(
            100.1
        )  # an infinite age is allowed

    def test_old_stamp_counts_as_well_as_late_arrival(self):
        collector = LatestCollector(self.topics)
        collector.add(1, stamped(10**9), 0.0)
        collector.add(0, stamped(10**9), 0.0)
        with pytest.raises(StaleInput, match=r"a 0\.5 s old"):
            collector.take(0.0, 1_500_000_000)

    def test_a_stamp_of_another_clock_tells_no_age(self):
        collector = LatestCollector(self.topics)
        collector.add(1, stamped(10**9), 0.0)  # whose age may be infinite
        collector.add(0, stamped(150_000_000), 0.0)
        assert collector.take(0.1, 0).ages == pytest.approx((0.1, 0.1))  # a little ahead
        collector.add(0, stamped(500_000_000), 0.0)
        with pytest.raises(StaleInput, match=r"a stamped 0\.5 s ahead \(at most 0\.2\)$"):
            collector.take(0.1, 0)


class TestInputReader:
    reader = InputReader(RobotContract.load(CONTRACT))

    def inputs(self, **changes):
        messages = robot_messages(0)
        for name, change in changes.items():
            change(messages[name])
        return InputSet(1, tuple(messages.values()), (0.0,) * len(messages))

    def test_sensors(self):
        sensors = self.reader.sensors(self.inputs())
        assert sensors["ee_position"].tolist() == [0.1, 0.2, 0.3]
        assert sensors["gripper_opening"].tolist() == [0.5]
        assert sensors["object_2_orientation"].tolist() == [0, 0, 0, 1]

    def test_not_finite_is_refused_with_its_topic(self):
        def break_it(message):
            message.point.y = math.nan

        with pytest.raises(InputError, match=r"goal: goal_position .* not finite"):
            self.reader.sensors(self.inputs(goal=break_it))

    def test_reward_of_another_episode_is_refused(self):
        assert self.reader.reward(self.inputs()) == 0.25

        def other(message):
            message.episode = 7

        with pytest.raises(InputError, match="of episode 7, the status is of 1"):
            self.reader.reward(self.inputs(reward=other))
