"""The bridge as a process: resets, both clocks, what it ignores, its video."""

from __future__ import annotations

import math
import signal
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from bridge_rig import NAMES, Bridge
from geometry_msgs.msg import PointStamped
from ros_graph import CONTRACT, Peer, processes
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState

from lram_ros.live_check import wait_for_topics
from lram_ros.msg import EpisodeStatus
from lram_ros.robot_contract import RobotContract
from lram_sim.suite_registry import get_suite

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))
from reference_pages.topics import BRIDGE


@pytest.fixture
def launch(ros_domain, tmp_path):
    with processes(tmp_path) as start, Peer() as peer:
        yield lambda **values: Bridge(start, peer, **values)


def stamp(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_one_stamp_for_a_whole_set_and_the_numbers_of_the_task(launch):
    bridge = launch()
    peer = bridge.peer
    joints = peer.listen(JointState, "joint_states")
    openings = peer.listen(JointState, "gripper/state")
    goals = peer.listen(PointStamped, "goal")
    clocks = peer.listen(Clock, "/clock")
    peer.until(lambda: all(peer.node.count_publishers(t) for t in ("goal", "/clock")))
    peer.spin(0.5)  # subscriptions matched
    answer = bridge.reset("pick-place-v3", seed=7)
    assert answer.success
    first = bridge.wait_tick(0, 1)
    peer.until(lambda: joints and openings and goals and clocks and bridge.poses)
    everything = [first, joints[0], openings[0], goals[0], bridge.poses[0]]
    assert {stamp(message) for message in everything} == {12_500_000}
    assert clocks[0].clock == first.header.stamp == answer.stamp

    task = get_suite("metaworld").make("pick-place-v3")
    task.reset(7)
    sensors = task.sensors()
    position = bridge.poses[0].pose.position
    assert [position.x, position.y, position.z] == sensors["ee_position"].tolist()
    assert [goals[0].point.x, goals[0].point.y, goals[0].point.z] == (
        sensors["goal_position"].tolist()
    )
    assert list(openings[0].position) == sensors["gripper_opening"].tolist()
    names, positions, _ = task.joint_state()
    assert joints[0].name == list(names)
    assert list(joints[0].position) == positions.tolist()
    assert (first.suite, first.task, first.seed) == ("metaworld", "pick-place-v3", 7)
    assert first.state == EpisodeStatus.RUNNING


def test_topics_are_those_of_the_manual_and_fit_the_shipped_contract(launch):
    bridge = launch()
    graph = bridge.peer.node
    suite = [("publishes", each.topic, each.type) for each in get_suite("metaworld").topics]
    told = {tuple(each) for each in (*suite, *(row[:3] for row in BRIDGE))}
    always = {tuple(each) for each in (*suite, *(row[:3] for row in BRIDGE if row[3] == "always"))}
    asked = {
        "publishes": graph.get_publisher_names_and_types_by_node,
        "hears": graph.get_subscriber_names_and_types_by_node,
        "answers": graph.get_service_names_and_types_by_node,
    }

    def found():
        entries = set()
        for does, names in asked.items():
            for name, (kind,) in names("sim_bridge", "/"):
                if not name.startswith(("/sim_bridge/", "/rosout", "/parameter_events")):
                    entries.add((does, name if name == "/clock" else name[1:], kind))
        return entries

    bridge.peer.until(lambda: "sim_bridge" in graph.get_node_names())
    bridge.peer.until(lambda: always <= found())
    assert found() <= told
    assert wait_for_topics(bridge.peer.node, RobotContract.load(CONTRACT), 10)


def test_refused_resets_say_why_and_change_nothing(launch):
    bridge = launch()
    answer = bridge.reset("fly-v3")
    assert not answer.success
    assert "unknown task 'fly-v3'" in answer.message
    assert "reach-v3" in answer.message
    assert bridge.statuses == []
    assert bridge.reset().success
    bridge.drive(3)
    for bad in ({"task": "fly-v3"}, {"seed": -1}, {"task": "push-v3", "seed": -5}):
        assert not bridge.reset(**bad).success
    status = bridge.drive(5)
    assert (status.episode, status.tick, status.task) == (1, 5, "reach-v3")


def test_only_a_sound_answer_to_the_newest_set_moves_the_robot(launch):
    bridge = launch()
    bridge.reset()
    first = bridge.wait_tick(0, 1)
    bridge.command(first, value=(math.nan, 0, 0, 0))
    bridge.command(first, value=(0.0, 0.0, 0.0))
    bridge.command(first, names=["a", "b", "c", "d"])
    bridge.process.wait_for("command ignored")
    old = EpisodeStatus(episode=1)  # stamp 0
    bridge.command(old)
    bridge.peer.spin(0.3)
    assert bridge.statuses[-1].tick == 0
    bridge.command(first)
    bridge.command(first)
    bridge.wait_tick(1, 1)
    bridge.peer.spin(0.3)
    assert bridge.statuses[-1].tick == 1


def test_commands_are_read_by_name(launch):
    bridge = launch()
    results = []
    for episode, (names, values) in enumerate(
        [(NAMES, (0.9, -0.4, 0.2, 0.0)), (NAMES[::-1], (0.0, 0.2, -0.4, 0.9))], start=1
    ):
        bridge.reset(seed=3)
        for tick in range(3):
            bridge.command(bridge.wait_tick(tick, episode), values, names)
        results.append(bridge.wait_tick(3, episode).reward)
    assert results[0] == results[1]


def test_set_is_repeated_with_the_same_stamp_until_answered(launch):
    bridge = launch()
    bridge.reset()
    bridge.wait_tick(0, 1)
    bridge.peer.until(lambda: len(bridge.statuses) >= 2)
    assert {stamp(status) for status in bridge.statuses} == {12_500_000}


def test_episodes_end_and_time_goes_on(launch):
    bridge = launch()
    assert bridge.reset(max_steps=4).success
    assert bridge.drive(4).state == EpisodeStatus.TRUNCATED
    bridge.command(bridge.statuses[-1])  # nobody asked
    bridge.peer.spin(0.3)
    assert bridge.statuses[-1].tick == 4
    answer = bridge.reset("push-v3", seed=2)
    assert answer.episode == 2
    bridge.drive(2, episode=2)
    assert bridge.reset("push-v3", seed=2).episode == 3  # aborts a running one
    bridge.wait_tick(0, 3)
    ends = {(s.episode, s.tick): s.state for s in bridge.statuses}
    assert ends[1, 4] == EpisodeStatus.TRUNCATED
    assert ends[2, 2] == EpisodeStatus.ABORTED
    assert ends[3, 0] == EpisodeStatus.RUNNING
    stamps = sorted({stamp(status) for status in bridge.statuses})
    assert stamps == list(range(12_500_000, stamps[-1] + 1, 12_500_000))


def test_real_time_runs_by_the_wall_clock(launch):
    bridge = launch(mode="realtime")
    start = time.monotonic()
    assert bridge.reset("push-v3").success
    bridge.wait_tick(0, 1)

    def positions():
        return [pose.pose.position.x for pose in bridge.poses]

    def moved():
        bridge.command(bridge.statuses[-1], value=(1.0, 0.0, 0.0, 0.0))
        x = positions()
        return x and x[-1] - x[0] > 0.02

    def still():  # after the hold and settling
        x = positions()[-20:]
        return bridge.statuses[-1].tick >= commanded + 30 and max(x) - min(x) < 1e-3

    bridge.peer.until(moved)
    commanded = bridge.statuses[-1].tick
    bridge.peer.until(still)
    ticks = bridge.statuses[-1].tick
    assert ticks / 80 <= time.monotonic() - start  # never faster than real time
    # Another task, on the simulation's thread.
    assert bridge.reset("door-open-v3", max_steps=20).success
    assert bridge.wait_tick(20, 2).state == EpisodeStatus.TRUNCATED
    assert not bridge.reset("fly-v3").success
    assert bridge.process.stop() == 0, bridge.process.output


@pytest.mark.parametrize("mode", ["lockstep", "realtime"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_mid_episode_it_leaves_a_whole_video(launch, tmp_path, mode, number):
    path = tmp_path / "out" / "episodes.mp4"
    bridge = launch(mode=mode, video_path=path, video_width=160, video_height=120)
    assert bridge.reset("drawer-open-v3", seed=1).success
    bridge.drive(20)
    assert bridge.reset("reach-v3", seed=1).success  # a new renderer
    bridge.drive(21, episode=2)
    assert bridge.process.stop(number) == 0, bridge.process.output
    assert [p.name for p in path.parent.iterdir()] == ["episodes.mp4"]
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    pictures = [np.frombuffer(f, np.uint8).reshape(120, 160, 3) for f in frames]
    assert meta["size"] == (160, 120)
    assert meta["fps"] == 20
    assert len(pictures) >= (20 // 4 + 1) + (21 // 4 + 1)
    assert all(picture.std() > 10 for picture in pictures)
    assert np.abs(pictures[0].astype(int) - pictures[-1].astype(int)).mean() > 3
