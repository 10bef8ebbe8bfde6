"""A robot of DMControl behind the bridge: the numbers of the task, effort commands by name."""

from __future__ import annotations

import pytest
from bridge_rig import Bridge
from ros_graph import Peer, processes
from sensor_msgs.msg import JointState

from lram_sim.suite_registry import get_suite

TICKS = 6
ACTION = (0.5, -0.25)


@pytest.fixture
def launch(ros_domain, tmp_path):
    with processes(tmp_path) as start, Peer() as peer:
        yield lambda **values: Bridge(start, peer, **values)


def test_topics_carry_the_tasks_sensors(launch):
    bridge = launch(suite="dmcontrol-reacher")
    peer = bridge.peer
    targets, joints = (peer.listen(JointState, name) for name in ("to_target", "joint_states"))
    peer.until(lambda: all(peer.node.count_publishers(t) for t in ("to_target", "joint_states")))
    peer.spin(0.5)  # subscriptions matched
    assert bridge.reset("easy", seed=7).success
    for tick in range(TICKS):
        # Names in another order than the robot's.
        status = bridge.wait_tick(tick, 1)
        bridge.command(status, ACTION[::-1], ["wrist", "shoulder"])
    status = bridge.wait_tick(TICKS, 1)
    peer.until(lambda: len(targets) > TICKS and len(joints) > TICKS)

    task = get_suite("dmcontrol-reacher").make("easy")
    task.reset(7)
    results = [task.step(ACTION) for _ in range(TICKS)]
    assert list(targets[-1].position) == task.sensors()["to_target"].tolist()
    assert list(targets[-1].name) == ["to_target_0", "to_target_1"]
    names, position, velocity = task.joint_state()
    assert list(joints[-1].name) == list(names) == ["shoulder", "wrist"]
    assert list(joints[-1].position) == position.tolist()
    assert list(joints[-1].velocity) == velocity.tolist()
    assert status.episode_return == sum(result.reward for result in results)
