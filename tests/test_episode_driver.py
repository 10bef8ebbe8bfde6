"""What the driver waits for before it starts an episode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from rcl_interfaces.msg import Log, ParameterEvent
from ros_graph import Peer, Robot
from std_msgs.msg import String

from lram_core.errors import CommandError
from lram_ros.episode_driver import EpisodeDriver
from lram_ros.msg import ActionCommand, EpisodeStatus, PolicyTick
from lram_ros.policy_parameters import RUNTIME_IN_USE
from lram_ros.qos import data_qos
from lram_ros.srv import ResetEpisode


@pytest.fixture
def robot(ros_domain):
    """A robot with its reset service, and its topics."""
    with Peer("robot") as peer:
        Robot(peer.node)
        peer.node.create_service(ResetEpisode, "reset_episode", lambda request, answer: answer)
        peer.node.create_publisher(String, "_hidden", data_qos())
        yield peer


@pytest.fixture
def policy(ros_domain):
    with Peer("policy") as peer:
        peer.node.create_publisher(PolicyTick, "policy/tick", data_qos())
        peer.node.create_publisher(ActionCommand, "command", data_qos())
        peer.listen(EpisodeStatus, "episode")
        yield peer


@pytest.fixture
def driver(robot):
    driver = EpisodeDriver(context=robot.context)
    yield driver
    driver.close()


def test_it_says_what_is_missing(driver):
    with pytest.raises(CommandError, match=r"not ready after 0.2 s; missing: .*a policy node"):
        driver.wait_ready(recorder=False, timeout=0.2)


def test_it_asks_the_policy_what_runs_the_model(driver, policy):
    driver.wait_ready(recorder=False, timeout=60)
    with ThreadPoolExecutor() as pool:
        assert asked(pool, driver, policy) == ""
        policy.node.declare_parameter(RUNTIME_IN_USE, "a steam engine")
        assert asked(pool, driver, policy) == "a steam engine"


def asked(pool, driver, policy):
    """What the driver learns while the policy answers."""
    answer = pool.submit(driver.policy_runtime)
    policy.until(answer.done)
    return answer.result()


def test_it_waits_for_the_recorder_on_every_topic_of_robot_and_policy(driver, robot, policy):
    driver.wait_ready(recorder=False, timeout=60)
    topics = {**Robot.kinds, "policy/tick": PolicyTick, "command": ActionCommand}
    with Peer("recorder") as recorder:
        for topic in ("episode", "policy/tick"):
            recorder.listen(topics.pop(topic), topic)
        with pytest.raises(CommandError) as caught:
            driver.wait_ready(recorder=True, timeout=3)
        for topic in topics:
            assert f"the recorder on /{topic}" in str(caught.value)
        assert "hidden" not in str(caught.value)
        for topic, kind in topics.items():
            recorder.listen(kind, topic)
        recorder.listen(Log, "/rosout")
        recorder.listen(ParameterEvent, "/parameter_events")
        driver.wait_ready(recorder=True, timeout=60)
