"""The check of a robot contract against the topics that are being published."""

from __future__ import annotations

import pytest
from geometry_msgs.msg import PointStamped, Vector3Stamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import CONTRACT, Peer, Robot

from lram_core.errors import ContractError
from lram_ros.live_check import wait_for_topics
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
