"""Recordings of real nodes: a demo's bag is the rollout, a mock robot's is what it said."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.qos import QoSProfile, ReliabilityPolicy
from ros_graph import Peer, processes
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from lram_core.data.importers.source import load_schema
from lram_core.data.store import Dataset
from lram_core.policy import Policy
from lram_ros.bags.importing import BagOptions, import_bags
from lram_ros.robot_contract import RobotContract
from lram_sim.rollout import run_episode
from lram_sim.suite_registry import get_suite

CONFIG = Path(__file__).parents[1] / "config"
LRAM = [sys.executable, "-m", "lram_core.cli"]
RELIABLE = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE)


def test_a_demos_bag_is_the_rollout_number_for_number(tiny_bundle, tmp_path):
    task, seed, steps = "reach-v3", 5, 12
    command = [
        *(*LRAM, "demo", "--bundle", str(tiny_bundle), "--out", str(tmp_path / "demo")),
        *("--tasks", task, "--episodes", "2", "--max-steps", str(steps), "--seed", str(seed)),
        *("--no-video", "--runtime", "torch"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    command = [
        *(*LRAM, "data", "import", "rosbag2", str(tmp_path / "demo" / "bag")),
        *("--contract", "metaworld", "--like", str(tiny_bundle), "--out", str(tmp_path / "set")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'set'}: 2 episodes, {2 * steps} ticks\n"

    data = Dataset.open(tmp_path / "set")
    assert data.schema == load_schema(tiny_bundle)
    policy = Policy.load(tiny_bundle)
    made = get_suite("metaworld").make(task)
    for number, row in enumerate(data.episodes.to_pylist()):
        record = run_episode(made, policy, seed + number, max_steps=steps)
        found = data.episode(number)
        assert (row["task"], row["seed"], row["success"]) == (task, seed + number, record.success)
        np.testing.assert_array_equal(found.observations, record.observations)
        np.testing.assert_array_equal(found.actions, record.actions.astype(np.float32))
        np.testing.assert_array_equal(found.rewards, record.rewards.astype(np.float32))


@pytest.mark.parametrize("simulated", [False, True])
def test_a_mock_robots_bag(ros_domain, tmp_path, simulated):
    """Two seconds of a commanded arm, by the wall's clock and by /clock."""
    robot = RobotContract.load(CONFIG / "panda_joint_position.yaml")
    arm = [f"panda_joint{i}" for i in range(1, 8)]
    rest = [0.1, 0.2, 0.3, -1.5, 0.5, 1.5, 0.7]
    clock = ["--sim-time"] if simulated else []
    mock = subprocess.Popen([*LRAM, "mock-robot", "panda_joint_position", "--rate", "100", *clock])
    try:
        with processes(tmp_path) as start, Peer() as peer:
            arms = peer.node.create_publisher(
                JointTrajectory, "joint_trajectory_controller/joint_trajectory", RELIABLE
            )
            hand = peer.node.create_publisher(
                Float64MultiArray, "gripper_controller/commands", RELIABLE
            )
            peer.until(arms.get_subscription_count, timeout=60)
            recorder = start("lram_ros.recorder", output=str(tmp_path / "bag"))
            heard = [topic.topic for topic in robot.topics] + ["/clock"] * simulated
            peer.until(lambda: all(map(peer.node.count_subscribers, heard)), timeout=60)
            for commands in (arms, hand):
                peer.until(lambda c=commands: c.get_subscription_count() > 1, timeout=60)
            peer.spin(0.5)  # the graph knows of a subscription a moment before its first message
            sent = []
            begun = time.monotonic()
            while time.monotonic() < begun + 2:
                point = [value + 0.002 * len(sent) for value in rest]
                sent.append(point)
                arms.publish(
                    JointTrajectory(joint_names=arm, points=[JointTrajectoryPoint(positions=point)])
                )
                hand.publish(Float64MultiArray(data=[0.01]))
                peer.spin(0.02)
            assert recorder.stop() == 0, recorder.output
    finally:
        mock.terminate()
        mock.wait(30)
    data_folder = tmp_path / "set"
    done = import_bags([tmp_path / "bag"], robot, data_folder, BagOptions(task="wave"))
    data = Dataset.open(data_folder)
    assert done.steps > 5, done.notes
    # Every observation is one that the robot published, in the order it was published.
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        states = [m for *_, m in reader.iter_decoded_messages(topics=["/joint_states"])]
    said = {tuple(np.float32(m.position[:7])): i for i, m in enumerate(states)}
    commands = {tuple(np.float32(point)): i for i, point in enumerate(sent)}
    for number in range(len(data)):
        episode = data.episode(number)
        places = [said[tuple(row[:7])] for row in episode.observations]
        assert places == sorted(places)
        assert len(set(places)) >= len(places) // 4
        answers = [commands[tuple(row[:7])] for row in episode.actions]
        assert answers == sorted(answers)
        # The range of the contract: 0.01 m of 0.04 m is -0.5 of -1 … 1.
        np.testing.assert_allclose(episode.actions[:, 7], -0.5, atol=1e-6)
        assert episode.task == "wave"
