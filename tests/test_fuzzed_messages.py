"""No message, however absurd, ends the policy node or makes it send an unsafe command."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import yaml
from message_fuzz import spoil
from ros_graph import Peer, Robot, parameters, robot_messages
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger

from lram_core.checks import LARGEST
from lram_core.contract import ActionField, ObservationField, PolicyContract, RewardSpec
from lram_core.testing import random_bundle
from lram_ros.assembly import InputReader, InputSet, LatestCollector
from lram_ros.message_fields import InputError
from lram_ros.mock.joints import Joints
from lram_ros.mock.sensors import MessageMaker
from lram_ros.msg import ActionCommand
from lram_ros.policy_node import PolicyNode
from lram_ros.qos import input_qos
from lram_ros.robot_contract import RobotContract

JOINTS = ["shoulder", "elbow"]
RATE = 50.0
MAX_AGE = 1.0
PICTURE = {"height": 6, "width": 8}
# topic → type, observation field, path, size, unit
INPUTS = {
    "joint_states": ("sensor_msgs/msg/JointState", "joint_position", "position", 2, "rad"),
    "pose": ("geometry_msgs/msg/PoseStamped", "pose", "pose", 7, "1"),
    "twist": ("geometry_msgs/msg/TwistStamped", "twist", "twist.linear", 3, "m/s"),
    "wrench": ("geometry_msgs/msg/WrenchStamped", "force", "wrench.force", 3, "N"),
    "imu": ("sensor_msgs/msg/Imu", "rate", "angular_velocity", 3, "rad/s"),
    "weight": ("std_msgs/msg/Float64", "weight", "data", 1, "N"),
    "pressure": ("std_msgs/msg/Float64MultiArray", "pressure", "data", 4, "1"),
    "camera": ("sensor_msgs/msg/Image", "picture", "", 6 * 8 * 3, "1"),
    "camera/compressed": ("sensor_msgs/msg/CompressedImage", "small", "", 6 * 8 * 3, "1"),
}


def contract_data():
    inputs = []
    for topic, (kind, field, path, _, unit) in INPUTS.items():
        source = {"path": path, "unit": unit} if path else dict(PICTURE)
        if topic == "joint_states":
            source["names"] = JOINTS
        entry = {"topic": topic, "type": kind, "max_age": MAX_AGE, "fields": {field: source}}
        if topic == "wrench":
            entry["frame"] = "tool"
        inputs.append(entry)
    return {
        "format_version": 1,
        "robot": "arm",
        "gripper": "none",
        "control_rate": RATE,
        "tick_source": "clock",
        "inputs": inputs,
        "reward": {
            "topic": "reward",
            "type": "lram_ros/msg/Reward",
            "path": "value",
            "max_age": MAX_AGE,
        },
        "episode": {"topic": "episode", "type": "lram_ros/msg/EpisodeStatus", "max_age": MAX_AGE},
        "commands": [
            {
                "adapter": "forward_position",
                "topic": "arm/commands",
                "fields": {
                    n: {"unit": "rad", "low": -2.5, "high": 2.5, "max_velocity": 1.0}
                    for n in JOINTS
                },
            }
        ],
    }


POLICY = PolicyContract(
    suite="fuzz",
    robot="arm",
    gripper="none",
    control_rate=RATE,
    observation=tuple(
        ObservationField(field, size, unit) for _, field, _, size, unit in INPUTS.values()
    ),
    action=tuple(ActionField(name, "rad", "joint_position", -2.0, 2.0) for name in JOINTS),
    reward=RewardSpec("none", 0.5),
    target_returns={"default": 1.0},
    context=10,
    max_episode_steps=1000,
)


@pytest.fixture
def contract():
    return RobotContract.from_dict(contract_data())


class Sensors:
    """Sound messages of every topic of a contract, to be spoilt."""

    def __init__(self, contract):
        self.contract = contract
        self.joints = Joints(contract, 1 / RATE)
        sizes = {field: size for _, field, _, size, _ in INPUTS.values()}
        self.makers = [MessageMaker(topic, sizes) for topic in contract.topics]
        self.tick = 0

    def make(self, stamp):
        self.tick += 1
        made = [maker.make(self.tick / RATE, stamp, self.joints) for maker in self.makers]
        for message in made:
            if hasattr(message, "episode"):
                message.episode, message.tick = 1, self.tick
            if hasattr(message, "suite"):
                message.state = 1
        return made


@pytest.mark.parametrize("index", range(len(INPUTS) + 2), ids=[*INPUTS, "reward", "episode"])
def test_a_reading_is_sound_numbers_or_refused(contract, index):
    rng = np.random.default_rng(index)
    sensors, reader = Sensors(contract), InputReader(contract, POLICY)
    refused = longest = 0
    for _ in range(400):
        messages = sensors.make(10**9)
        for _ in range(rng.integers(1, 4)):
            spoil(rng, messages[index])
        inputs = InputSet(10**9, tuple(messages), (0.0,) * len(messages))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an overflow is no way to find out
                values = reader.sensors(inputs)
                reward = reader.reward(inputs)
        except InputError as error:
            longest = max(longest, len(str(error)))
            refused += 1
            continue
        assert abs(reward) <= 0.5 * LARGEST
        flat = np.concatenate(list(values.values()))
        assert flat.size == POLICY.observation_size
        assert (np.abs(flat) <= LARGEST).all()
    assert refused > 20
    assert longest < 20_000  # letters of a line in the log


def test_any_stamp_has_an_age(contract):
    rng = np.random.default_rng(3)
    collector = LatestCollector(contract.topics)
    sensors = Sensors(contract)
    for now in range(200):
        for index, message in enumerate(sensors.make(now)):
            for _ in range(3):
                if hasattr(message, "header"):
                    spoil(rng, message.header)
            collector.add(index, message, float(now))
        ages = collector.ages(now + 0.5, int(rng.choice([0, 10**9, 2**62])))
        assert not any(map(math.isnan, ages))


@pytest.fixture
def peer(ros_domain):
    with Peer("robot") as peer:
        yield peer


def test_the_node_survives_every_message_by_the_clock(peer, tmp_path, contract):
    """Sound and absurd messages of all topics over DDS; now and then it is re-armed."""
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump(contract_data(), sort_keys=False))
    bundle = random_bundle(tmp_path / "bundle", POLICY)
    sensors, rng = Sensors(contract), np.random.default_rng(5)
    create = peer.node.create_publisher
    publishers = [create(m.type, m.topic.topic, input_qos(m.topic)) for m in sensors.makers]
    stop, clock = create(Bool, "policy/stop", 10), create(Clock, "/clock", 10)
    sent = peer.listen(Float64MultiArray, "arm/commands")
    node = PolicyNode(
        context=peer.context,
        parameter_overrides=parameters(
            bundle=str(bundle),
            contract=str(path),
            proof_time=0.1,
            blend_time=0.1,
            late_after=5.0,
            watchdog=9.0,
            black_box=str(tmp_path / "boxes"),
        ),
    )
    peer.add(node)
    assert node.bring_up()
    rearm = peer.node.create_client(Trigger, "policy/rearm")

    def publish(spoilt=-1):
        messages = sensors.make(peer.node.get_clock().now().nanoseconds)
        for index, (publisher, message) in enumerate(zip(publishers, messages, strict=True)):
            if index == spoilt:
                for _ in range(rng.integers(1, 4)):
                    spoil(rng, message)
            publisher.publish(message)
        peer.spin(0.01)

    def drive(mode):
        for _ in range(3000):
            if node.runner.mode.value == mode:
                return
            if node.runner.mode.value == "holding" and not pending:
                pending.append(rearm.call_async(Trigger.Request()))
            if pending and pending[0].done():
                pending.clear()
            publish()
        raise AssertionError(f"{node.runner.mode}: {node.runner.fault}")

    pending, reasons = [], set()
    drive("running")
    for number in range(25 * len(publishers)):
        publish(number % len(publishers))
        assert node.failure is None
        if node.runner.fault is not None:
            reasons.add(node.runner.fault.reason.value)
        if number % 10 == 9:
            stop.publish(Bool(data=bool(rng.random() < 0.1)))
            clock.publish(Clock())
            if node.runner.mode.value == "holding":
                stop.publish(Bool(data=False))
                peer.spin(0.05)
                drive("running")
    stop.publish(Bool(data=False))
    peer.spin(0.05)
    drive("running")
    assert node.failure is None
    assert "input_invalid" in reasons
    commands = np.array([list(message.data) for message in sent])
    assert np.isfinite(commands).all()
    assert np.abs(commands).max() <= 2.5
    node.stop()


def test_the_node_survives_every_message_in_lockstep(peer, tiny_bundle, tmp_path):
    """Each absurd set is followed by a sound one, which is answered."""
    rng = np.random.default_rng(8)
    robot = Robot(peer.node)
    commands = peer.listen(ActionCommand, "command")
    node = PolicyNode(
        context=peer.context,
        parameter_overrides=parameters(bundle=str(tiny_bundle), black_box=str(tmp_path / "boxes")),
    )
    peer.add(node)
    assert node.bring_up()
    robot.wait_for_subscribers(peer)
    peer.until(lambda: node.count_subscribers("command") == 1)
    topics = sorted(Robot.kinds)
    for number in range(30 * len(topics)):
        spoilt = robot_messages(number, stamp=(2 * number + 1) * 10**7)
        for _ in range(rng.integers(1, 3)):
            spoil(rng, spoilt[topics[number % len(topics)]])
        robot.publish(spoilt)
        sound = robot_messages(number, stamp=(2 * number + 2) * 10**7)
        before = len(commands)
        robot.publish(sound)

        def answered(sound=sound, before=before):
            assert node.failure is None
            if node.runner.mode.value == "holding":  # absurd as the policy's own numbers, together
                node.runner.rearm()
                robot.publish(sound)
            stamp = sound["goal"].header.stamp
            return any(command.header.stamp == stamp for command in commands[before:])

        peer.until(answered)
    values = np.array([list(command.value) for command in commands])
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 1.0
    node.stop()
