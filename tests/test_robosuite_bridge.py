"""A robosuite arm behind the bridge: the in-process episode over DDS, and controllers' commands."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from geometry_msgs.msg import PoseStamped, TransformStamped, TwistStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from rich.console import Console
from ros_graph import Peer, processes
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from lram_core.policy import Policy
from lram_core.testing import random_bundle
from lram_ros.demo import DemoOptions, run_demo
from lram_ros.msg import ActionCommand, EpisodeStatus, PolicyTick
from lram_ros.paths import find_shared
from lram_ros.srv import ResetEpisode
from lram_sim.rollout import run_episode
from lram_sim.suite import EVALUATION_SEED, dataset_schema
from lram_sim.suite_registry import get_suite

SUITE = "robosuite-panda"
JOINTS = [f"panda_joint{i}" for i in range(1, 8)]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
HELD = "panda_finger_joint1"


@pytest.fixture
def peer(ros_domain):
    with Peer() as found:
        yield found


@pytest.fixture
def start(tmp_path):
    with processes(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        (SUITE, (("lift", 60), ("door", 30))),
        ("robosuite-panda-wiper", (("wipe", 30),)),
        ("composuite-panda", (("plate-objectwall-shelf", 40), ("box-none-push", 20))),
    ],
)
def test_episode_equals_the_in_process_rollout(peer, start, tmp_path, name, tasks):
    suite = get_suite(name)
    contract = dataset_schema(suite).contract({"default": 400.0}, context=50)
    bundle = random_bundle(tmp_path / "bundle", contract)
    bridge = start("lram_sim.bridge_node", suite=name)
    wire = find_shared(f"config/{name.replace('-', '_')}.yaml")
    policy = start("lram_ros.policy_node", bundle=bundle, contract=wire)
    bridge.wait_for("ready")
    policy.wait_for("ready")
    traces, commands, statuses = (
        peer.listen(kind, topic)
        for topic, kind in (
            ("policy/tick", PolicyTick),
            ("command", ActionCommand),
            ("episode", EpisodeStatus),
        )
    )
    peer.until(lambda: all(peer.node.count_publishers(t) for t in ("policy/tick", "command")))
    torch.set_num_threads(1)
    local = Policy.load(bundle)
    for number, (task, steps) in enumerate(tasks, start=1):
        seed = EVALUATION_SEED + number
        answer = peer.call(ResetEpisode, "reset_episode", task=task, seed=seed, max_steps=steps)
        assert answer.success, answer.message
        peer.until(lambda: statuses and statuses[-1].state > EpisodeStatus.RUNNING, timeout=120)
        expected = run_episode(suite.make(task), local, seed, None, steps)
        peer.until(lambda n=expected.steps: len({t.tick for t in traces}) >= n)
        found = {trace.tick: trace for trace in traces}
        sent = {command.tick: command for command in commands}
        observations = np.array([found[i].observation for i in range(steps)], dtype=np.float32)
        np.testing.assert_array_equal(observations, expected.observations)
        actions = np.array([sent[i].value for i in range(steps)])
        np.testing.assert_array_equal(actions, expected.actions)
        for messages in (traces, commands, statuses):
            messages.clear()


def test_policy_commands_positions_in_real_time(peer, start, tmp_path):
    contract = dataset_schema(get_suite(SUITE)).contract({"default": 400.0}, context=50)
    bundle = random_bundle(tmp_path / "bundle", contract)
    arm = Arm(start, peer, SUITE)
    policy = start(
        "lram_ros.policy_node",
        bundle=bundle,
        contract=find_shared("config/robosuite_panda_position.yaml"),
        use_sim_time=True,  # the bridge's stamps are simulation time
        activation_timeout=120.0,
    )
    traces = peer.listen(PolicyTick, "policy/tick")
    targets = peer.listen(Float64MultiArray, "forward_position_controller/commands")
    statuses = peer.listen(EpisodeStatus, "episode")
    begin = arm.joints()

    def moved():
        if statuses and statuses[-1].state != EpisodeStatus.RUNNING:
            statuses.clear()
            arm.reset()  # the policy was slow to start, and the episode is over
        return len(traces) > 5 and targets and np.abs(arm.joints() - begin).max() > 0.02

    peer.until(moved, timeout=120)
    assert len(targets[-1].data) == 7
    assert policy.stop() == 0
    assert arm.process.stop() == 0


class Arm:
    """A bridge in real time, its joints and its controllers' topics."""

    def __init__(self, start, peer, suite):
        self.peer = peer
        self.states = peer.listen(JointState, "joint_states")
        self.poses = peer.listen(PoseStamped, "end_effector/pose")
        self.process = start("lram_sim.bridge_node", suite=suite, mode="realtime")
        self.process.wait_for("ready")
        self.reset()
        peer.until(lambda: self.states and self.poses)

    def reset(self):
        """Begin anew: an episode ends after 25 s, and then nothing moves."""
        answer = self.peer.call(ResetEpisode, "reset_episode", task="lift", seed=1)
        assert answer.success, answer.message

    def publisher(self, kind, topic):
        found = self.peer.node.create_publisher(kind, topic, 10)
        self.peer.until(found.get_subscription_count)
        return found

    def joints(self, names=JOINTS):
        state = dict(zip(self.states[-1].name, self.states[-1].position, strict=True))
        return np.array([state[name] for name in names])

    def hand(self):
        position = self.poses[-1].pose.position
        return np.array([position.x, position.y, position.z])


def test_joint_commands_of_controllers_move_the_arm(peer, start):
    arm = Arm(start, peer, SUITE)
    position = arm.publisher(Float64MultiArray, "forward_position_controller/commands")
    trajectory = arm.publisher(JointTrajectory, "joint_trajectory_controller/joint_trajectory")
    velocity = arm.publisher(Float64MultiArray, "forward_velocity_controller/commands")
    gripper = arm.publisher(Float64MultiArray, "gripper_controller/commands")

    goal = arm.joints() + np.array([0.1, 0.1, -0.1, 0.1, 0.0, 0.1, -0.2])
    position.publish(Float64MultiArray(data=goal.tolist()))
    gripper.publish(Float64MultiArray(data=[0.03]))
    peer.until(lambda: np.abs(arm.joints() - goal).max() < 0.01)
    peer.until(lambda: abs(arm.joints([HELD])[0] - 0.03) < 0.004)

    arm.reset()
    goal = goal - 0.1
    message = JointTrajectory(joint_names=JOINTS[::-1])
    message.points = [JointTrajectoryPoint(positions=goal[::-1].tolist())]
    trajectory.publish(message)
    peer.until(lambda: np.abs(arm.joints() - goal).max() < 0.01)

    arm.reset()

    def turning():
        velocity.publish(Float64MultiArray(data=[0.2, *[0.0] * 6]))
        return arm.states[-1].velocity[0] > 0.15

    peer.until(turning)
    peer.until(lambda: abs(arm.states[-1].velocity[0]) < 0.01)  # nothing more came: it stops

    position.publish(Float64MultiArray(data=[0.0] * 6))
    arm.process.wait_for("6 joint values, expected 7: panda_joint1")
    message.joint_names = [*JOINTS[:6], "elbow"]

    def refused():  # the log is throttled
        trajectory.publish(message)
        return "elbow, expected panda_joint1" in arm.process.output

    peer.until(refused)
    assert arm.process.stop() == 0


def test_a_viewer_gets_description_frames_and_pictures(peer, start):
    frames = peer.listen(TransformStamped, "transforms")
    pictures = peer.listen(Image, "camera/image_raw")
    options = {"frames": True, "camera": "agentview", "camera_width": 96, "camera_rate": 20.0}
    bridge = start("lram_sim.bridge_node", suite=SUITE, **options)
    bridge.wait_for("ready")
    peer.until(lambda: peer.node.count_publishers("transforms"))
    peer.until(lambda: peer.node.count_publishers("camera/image_raw"))
    peer.spin(0.5)  # subscriptions matched
    assert peer.call(ResetEpisode, "reset_episode", task="stack", seed=1).success
    peer.until(lambda: pictures and len(frames) >= 4)
    assert {"panda_link0", "object_2"} < {frame.child_frame_id for frame in frames}
    late = []  # it comes after the publication, and gets it
    peer.node.create_subscription(String, "robot_description", late.append, LATCHED)
    peer.until(lambda: late)
    assert "panda_finger_joint1" in late[0].data
    picture = np.array(pictures[0].data).reshape(84, 96, 3)
    assert (pictures[0].encoding, pictures[0].header.stamp) == ("rgb8", frames[0].header.stamp)
    assert picture.std() > 10
    assert bridge.stop() == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"camera": "agentview", "camera_rate": 50.0}, "camera_rate: above 0 and at most 20"),
        ({"suite": "robosuite-pandas"}, "unknown suite 'robosuite-pandas'; nearest: "),
    ],
)
def test_bad_parameters_exit_with_code_2(ros_domain, start, options, words):
    bridge = start("lram_sim.bridge_node", **{"suite": SUITE, **options})
    assert bridge.wait(60) == 2
    assert words in bridge.output
    assert len(bridge.output.splitlines()) == 1


def test_twist_moves_the_hand(peer, start):
    arm = Arm(start, peer, f"{SUITE}-osc")
    twist = arm.publisher(TwistStamped, "twist")
    begin = arm.hand()
    message = TwistStamped()
    message.twist.linear.x, message.twist.linear.z = 0.1, 0.05

    def moved():
        twist.publish(message)
        return arm.hand()[0] - begin[0] > 0.05

    peer.until(moved)
    way = arm.hand() - begin
    assert way[2] == pytest.approx(way[0] / 2, abs=0.02)
    assert abs(way[1]) < 0.02
    assert arm.process.stop() == 0


def test_demo_of_a_robosuite_bundle(tmp_path):
    contract = dataset_schema(get_suite(SUITE)).contract({"default": 400.0}, context=50)
    bundle = random_bundle(tmp_path / "bundle", contract)
    options = DemoOptions(
        out=tmp_path / "demo", bundle=bundle, tasks=("lift",), episodes=1, max_steps=5, video=False
    )
    (result,) = run_demo(options, Console(quiet=True))
    assert (result.task, result.ticks) == ("lift", 5)
