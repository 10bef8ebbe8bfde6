"""The check of a robot contract against the topics that are being published."""

from __future__ import annotations

from dataclasses import replace

import pytest
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_graph import CONTRACT, Peer, Robot

from lram_core.errors import ContractError
from lram_ros.live_check import incompatible, wait_for_topics
from lram_ros.msg import ActionCommand
from lram_ros.robot_contract import RobotContract

ROBOT = RobotContract.load(CONTRACT)


@pytest.fixture
def peer(ros_domain):
    with Peer("robot") as peer:
        yield peer


def test_what_fits(peer):
    Robot(peer.node)
    assert wait_for_topics(peer.node, ROBOT, 10)


def test_missing_topic_is_named_with_those_there_are(peer):
    Robot(peer.node, object_1__pose=None)
    with pytest.raises(ContractError) as caught:
        wait_for_topics(peer.node, ROBOT, 1)
    message = str(caught.value)
    assert "no publisher of /object_1/pose within 1 s" in message
    assert "/object_2/pose (geometry_msgs/msg/PoseStamped)" in message


def test_it_waits(peer):
    asked = []

    def stopped():
        if not asked:
            Robot(peer.node)
        asked.append(1)
        return False

    assert wait_for_topics(peer.node, ROBOT, 20, stopped)
    assert asked


def test_stop_ends_the_wait(peer):
    assert not wait_for_topics(peer.node, ROBOT, 60, lambda: True)


def test_wrong_type_names_both(peer):
    Robot(peer.node, goal=Vector3Stamped)
    with pytest.raises(ContractError) as caught:
        wait_for_topics(peer.node, ROBOT, 5)
    for word in ("/goal", "geometry_msgs/msg/Vector3Stamped", "expects", "PointStamped"):
        assert word in str(caught.value)


def test_wrong_command_type_names_both(peer):
    Robot(peer.node)
    peer.listen(PointStamped, "command")
    with pytest.raises(ContractError, match=r"PointStamped .*sends lram_ros/msg/ActionCommand"):
        wait_for_topics(peer.node, ROBOT, 5)


def test_reliability_that_would_receive_nothing(peer):
    Robot(peer.node, goal=None)
    unsure = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    peer.node.create_publisher(PointStamped, "goal", unsure)
    with pytest.raises(ContractError, match="/goal is published as best_effort"):
        wait_for_topics(peer.node, ROBOT, 5)


def test_durability_and_deadline_are_named(peer):
    Robot(peer.node)
    kept = replace(ROBOT.inputs[0], durability="transient_local")
    hurried = replace(ROBOT.inputs[0], deadline=0.1)
    for topic, words in ((kept, "durability"), (hurried, "deadline")):
        robot = replace(ROBOT, inputs=(topic, *ROBOT.inputs[1:]))
        with pytest.raises(ContractError, match=f"{topic.topic} is published as .*{words}$"):
            wait_for_topics(peer.node, robot, 5)


def test_command_that_nobody_would_receive(peer):
    Robot(peer.node)
    wanted = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    peer.node.create_subscription(ActionCommand, "command", print, wanted)
    with pytest.raises(ContractError, match=r"command topic /command .*QoS policy durability"):
        wait_for_topics(peer.node, ROBOT, 5)


NONE, SOME, MORE = (QoSProfile(depth=1, deadline=Duration(seconds=s)) for s in (0, 0.1, 0.2))


@pytest.mark.parametrize(
    ("offered", "wanted", "fits"),
    [(NONE, NONE, True), (SOME, MORE, True), (MORE, SOME, False), (NONE, SOME, False)],
)
def test_deadlines(offered, wanted, fits):
    found = incompatible(offered, wanted)
    assert (found is None) == fits
    assert fits or found[0] == "deadline"
