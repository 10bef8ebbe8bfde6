"""lram replay opens a black box: the fault, the ticks before, and a policy's answers to them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from loop_rig import Arm, arm_bundle
from rclpy.lifecycle import TransitionCallbackReturn
from ros_graph import Peer
from std_msgs.msg import Bool

from lram_core.errors import DataError
from lram_core.policy import Policy
from lram_core.testing import random_bundle, small_contract
from lram_ros.black_box import Recording
from lram_ros.replay.black_box import replay_black_box
from lram_ros.replay.command import replay

SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture
def stopped(ros_domain, tmp_path):
    """(file, bundle): what a node with a real policy wrote when a mock arm was stopped."""

    def stopped(kept, ticks=60):
        bundle = arm_bundle(tmp_path)
        with Peer("watcher") as peer:
            arm = Arm(peer, tmp_path, script=Policy.load(bundle), black_box_ticks=kept)
            try:
                assert arm.node.trigger_configure() == SUCCESS
                assert arm.node.trigger_activate() == SUCCESS
                arm.until_mode("running")
                sent = len(arm.messages)
                peer.until(lambda: len(arm.messages) > sent + ticks, 30)
                stop = peer.node.create_publisher(Bool, "policy/stop", 10)
                peer.until(lambda: stop.get_subscription_count() > 0)
                stop.publish(Bool(data=True))
                peer.until(lambda: list(tmp_path.glob("boxes/blackbox-*.npz")), 30)
            finally:
                arm.end()
        return next(tmp_path.glob("boxes/blackbox-*.npz")), bundle

    return stopped


def run(*arguments):
    return CliRunner().invoke(replay, [str(a) for a in arguments], catch_exceptions=False)


def test_the_same_policy_answers_what_it_answered(stopped):
    file, bundle = stopped(kept=5000)
    recording = Recording.load(file)
    assert recording.about["bundle"] == "scripted"
    assert "fp32" in recording.about["runtime"]
    outcome = replay_black_box(recording, Policy.load(bundle))
    assert len(outcome.rows) > 60
    assert outcome.known.all()
    np.testing.assert_array_equal(outcome.replayed, outcome.recorded)

    shown = run(file, "--policy", bundle)
    assert shown.exit_code == 0
    assert "external_stop" in shown.output
    assert f"the actions of {len(outcome.rows)} are the recorded" in " ".join(shown.output.split())
    data = json.loads(run(file, "--policy", bundle, "--json").output)
    assert data["reason"].startswith("external_stop")
    assert data["replay"]["equal"] == data["replay"]["asked"] == len(outcome.rows)


def test_another_policy_answers_otherwise_and_the_first_difference_is_named(stopped, tmp_path):
    file, _ = stopped(kept=5000)
    other = arm_bundle(tmp_path, "other", seed=1)
    outcome = replay_black_box(Recording.load(file), Policy.load(other))
    assert not outcome.equal.all()
    assert "first difference: kept tick" in run(file, "--policy", other).output


def test_an_episode_whose_start_is_lost_is_said(stopped):
    file, bundle = stopped(kept=20)
    recording = Recording.load(file)
    assert len(recording) == 20
    outcome = replay_black_box(recording, Policy.load(bundle))
    assert len(outcome.rows)
    assert not outcome.known.any()
    assert "whose start was not kept" in " ".join(run(file, "--policy", bundle).output.split())


def test_a_box_of_another_robot_is_refused_with_both_sides(stopped, tmp_path):
    file, _ = stopped(kept=20, ticks=1)
    bundle = random_bundle(tmp_path / "small", small_contract())
    with pytest.raises(DataError, match=r"of another policy: .* recorded, 5 expected by the"):
        replay_black_box(Recording.load(file), Policy.load(bundle))


def test_what_is_no_black_box_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        run(tmp_path / "nowhere.npz")
    text = tmp_path / "text.npz"
    text.write_text("nothing")
    with pytest.raises(DataError, match="cannot be read"):
        run(text)
