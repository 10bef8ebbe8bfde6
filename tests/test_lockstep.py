"""Bridge and policy as two processes over DDS give the episode that runs in one process."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import torch
from ros_graph import CONTRACT, Peer, processes

from lram_core.policy import Policy
from lram_ros.msg import ActionCommand, EpisodeStatus, PolicyTick, Reward
from lram_ros.srv import ResetEpisode
from lram_sim.rollout import run_episode
from lram_sim.suite import EVALUATION_SEED
from lram_sim.suite_registry import get_suite


def once(messages):
    """One message a stamp: a slow machine may make the bridge repeat a set."""
    return list({(m.header.stamp.sec, m.header.stamp.nanosec): m for m in messages}.values())


EPISODES = [("reach-v3", 3, 120), ("drawer-open-v3", 4, 60), ("reach-v3", 5, 0)]


@pytest.fixture
def graph(ros_domain, tmp_path, tiny_bundle):
    """Both nodes up, and a peer; gives (peer, start of a process, the two processes)."""
    with processes(tmp_path) as start, Peer() as peer:
        bridge = start("lram_sim.bridge_node")
        policy = start("lram_ros.policy_node", bundle=tiny_bundle, contract=CONTRACT)
        bridge.wait_for("ready")
        policy.wait_for("ready")
        yield peer, bridge, policy


def test_episode_equals_the_in_process_rollout(graph, tiny_bundle):
    peer, _, _ = graph
    topics = {
        "policy/tick": PolicyTick,
        "command": ActionCommand,
        "reward": Reward,
        "episode": EpisodeStatus,
    }
    found = [peer.listen(kind, topic) for topic, kind in topics.items()]
    peer.until(lambda: all(peer.node.count_publishers(topic) for topic in topics))

    torch.set_num_threads(1)
    local = Policy.load(tiny_bundle)
    for number, (task, offset, max_steps) in enumerate(EPISODES, start=1):
        seed = EVALUATION_SEED + offset
        answer = peer.call(ResetEpisode, "reset_episode", task=task, seed=seed, max_steps=max_steps)
        assert answer.success, answer.message
        assert answer.episode == number
        peer.until(lambda: found[3] and found[3][-1].state > EpisodeStatus.RUNNING, timeout=90)
        expected = run_episode(get_suite("metaworld").make(task), local, seed, None, max_steps)
        peer.until(lambda n=expected.steps: len(once(found[0])) >= n)  # published after the command
        peer.spin(0.1)
        traces, commands, rewards, statuses = map(once, found)

        assert [trace.tick for trace in traces] == list(range(expected.steps))
        assert {trace.episode for trace in traces} == {number}
        observations = np.array([trace.observation for trace in traces], dtype=np.float32)
        np.testing.assert_array_equal(observations, expected.observations)
        actions = np.array([command.value for command in commands])
        np.testing.assert_array_equal(actions, expected.actions)
        np.testing.assert_array_equal([t.raw_action for t in traces], expected.actions)
        np.testing.assert_array_equal([t.commanded_action for t in traces], expected.actions)
        np.testing.assert_array_equal([r.value for r in rewards[1:]], expected.rewards)
        np.testing.assert_array_equal([t.reward for t in traces[1:]], expected.rewards[:-1])
        last = statuses[-1]
        assert last.success == expected.success
        assert last.tick == expected.steps
        assert last.episode_return == pytest.approx(expected.total_reward, rel=1e-12)
        assert last.task == task
        assert last.seed == seed
        stamps = [s.header.stamp.sec * 10**9 + s.header.stamp.nanosec for s in statuses]
        assert np.diff(stamps).tolist() == [12_500_000] * expected.steps
        for messages in found:
            messages.clear()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_both_stop_on_a_signal_in_the_middle_of_an_episode(graph, number):
    peer, bridge, policy = graph
    statuses = peer.listen(EpisodeStatus, "episode")
    assert peer.call(ResetEpisode, "reset_episode", task="push-v3", seed=1).success
    peer.until(lambda: statuses and statuses[-1].tick > 10)
    assert policy.stop(number) == 0, policy.output
    assert bridge.stop(number) == 0, bridge.output
    for process in (policy, bridge):
        assert "Traceback" not in process.output
        assert "rror" not in process.output


def test_policy_that_comes_late_finishes_the_episode(graph, tmp_path, tiny_bundle):
    """The bridge repeats its set, so an answer that was lost does not stop the episode for good."""
    peer, _, policy = graph
    statuses = peer.listen(EpisodeStatus, "episode")
    assert policy.stop() == 0
    assert peer.call(ResetEpisode, "reset_episode", task="push-v3", seed=1, max_steps=20).success
    peer.spin(1.5)
    assert {status.tick for status in statuses} == {0}
    with processes(tmp_path) as start:
        start("lram_ros.policy_node", bundle=tiny_bundle, contract=CONTRACT)
        peer.until(lambda: statuses[-1].state == EpisodeStatus.TRUNCATED)
    assert statuses[-1].tick == 20
