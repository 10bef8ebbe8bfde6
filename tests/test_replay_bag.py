"""lram replay on a bag: offline, live and recorded are the same, and what differs is measured."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from bag_rig import MILLISECOND, other_bundle, write_bag
from builtin_interfaces.msg import Time
from click.testing import CliRunner
from loop_rig import COMMANDS, JOINTS, Arm, arm_bundle, arm_contract
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.lifecycle import TransitionCallbackReturn
from report_rig import check_self_contained
from ros_graph import CONTRACT, Peer, processes
from rosbags.rosbag2 import Reader
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from lram_core.policy import Policy
from lram_ros.bags.recording import Bag
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.replay.bag.offline import OfflinePolicy, replay_offline
from lram_ros.replay.bag.record import read_record
from lram_ros.replay.bag.ticks import replay_ticks
from lram_ros.replay.command import replay
from lram_ros.robot_contract import RobotContract

SUCCESS = TransitionCallbackReturn.SUCCESS
BEGIN = 1_700_000_000 * 10**9


def run(*arguments, code=0, **env):
    done = CliRunner(env=env).invoke(replay, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def summary_of(*arguments, code=0):
    return json.loads(run(*arguments, "--json", code=code).stdout)


def offline(bag, contract, bundle):
    """The ticks of a bag and the answers of one policy."""
    robot = RobotContract.load(contract)
    with Bag(bag) as opened:
        record = read_record(opened, robot)
        policy = OfflinePolicy("policy", robot, LoadedPolicy.load(robot, str(bundle), Policy.load))
        replayed = replay_offline(
            replay_ticks(opened, record, robot), [policy], record.start, lambda tick, error: error
        )
    return SimpleNamespace(record=record, replayed=replayed, answers=replayed.answers[0])


def test_offline_is_what_the_node_published_when_the_bag_was_recorded(recorded_demo, tmp_path):
    bundle, bag = recorded_demo
    out = tmp_path / "replayed"
    run(
        bag, "--policy", bundle, "--parity", "--max-error", "0", "--min-accuracy", "1", "--out", out
    )
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["episodes"], summary["ticks"], summary["compared"]) == (2, 80, 80)
    (policy,) = summary["policies"]
    assert policy["parity"] == {
        "ticks": 80,
        "observations_equal": 80,
        "actions_equal": 80,
        "commands_equal": 80,
        "largest_difference": 0.0,
        "first_difference": "",
    }
    assert [joint["name"] for joint in policy["joints"]] == ["ee_dx", "ee_dy", "ee_dz", "gripper"]
    assert [joint["unit"] for joint in policy["joints"]] == ["m", "m", "m", "1"]
    assert all(joint["max"] == 0 and joint["ticks"] == 80 for joint in policy["joints"])
    assert policy["tokens"]["tokens"] == 320
    assert 0 < policy["tokens"]["nll"] <= math.log(256)  # it chose the likeliest of 256 bins
    assert policy["tokens"]["perplexity"] == pytest.approx(math.exp(policy["tokens"]["nll"]))
    assert summary["recorded"]["ticks"] == 80
    assert summary["recorded"]["deadline_ms"] == 12.5
    assert [stream["topic"] for stream in summary["streams"]][-2:] == ["/episode", "/command"]
    assert summary["notes"] == []

    page = check_self_contained((out / "report.html").read_text())
    assert page.links == ["bag/bag.mcap", "summary.json"]
    for words in ("80 / 80", "ee_dx, m", "time in the episode, s", "deadline 12.5 ms", "/goal"):
        assert words in page.words, words


def test_the_new_bag_has_the_originals_and_the_predictions_beside_them(recorded_demo, tmp_path):
    bundle, bag = recorded_demo
    other = other_bundle(tmp_path)
    run(bag, "--policy", bundle, "--policy", other, "--out", tmp_path / "out")
    found, originals = {}, []
    with (tmp_path / "out" / "bag" / "bag.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, raw, message in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append((raw.log_time, message))
            originals.append((channel.topic, raw.log_time, bytes(raw.data)))
    with Reader(bag) as reader:
        before = [(c.topic, time, bytes(data)) for c, time, data in reader.messages()]
    assert sorted(o for o in originals if not o[0].startswith("/replay/")) == sorted(before)

    def by_stamp(topic):
        stamps = [(m.header.stamp.sec, m.header.stamp.nanosec) for _, m in found[topic]]
        return dict(zip(stamps, [list(m.value) for _, m in found[topic]], strict=True))

    recorded = by_stamp("/command")
    assert len(recorded) == 80
    assert by_stamp("/replay/bundle/command") == recorded
    assert by_stamp("/replay/another/command").keys() == recorded.keys()
    assert by_stamp("/replay/another/command") != recorded
    assert len(found["/replay/another/policy/tick"]) == 80
    with Reader(tmp_path / "out" / "bag") as reader:  # and it is a whole rosbag2 bag
        assert reader.message_count == len(originals)


def test_two_bundles_stand_side_by_side_and_thresholds_set_the_exit_code(recorded_demo, tmp_path):
    bundle, bag = recorded_demo
    other = other_bundle(tmp_path)
    arguments = (bag, "--policy", bundle, "--policy", other)
    same, differs = summary_of(*arguments)["policies"]
    assert (same["name"], differs["name"]) == ("bundle", "another")
    assert same["mean_error_percent_of_range"] == 0 < differs["mean_error_percent_of_range"]
    assert differs["tokens"]["accuracy"] < 1 == same["tokens"]["accuracy"]
    assert differs["tokens"]["nll"] > same["tokens"]["nll"]
    assert differs["parity"]["actions_equal"] < differs["parity"]["ticks"]
    assert differs["parity"]["first_difference"].startswith("reach-v3 1, tick 0 (")

    missed = run(
        *arguments, "--max-error", "ee_dx=1e-9", "--max-error", "0.1", "--min-accuracy", "0.99",
        "--max-perplexity", "1", "--parity", "--out", tmp_path / "out", code=1,
    ).stderr  # fmt: skip
    assert "missed: another: mean error of ee_dx is" in missed
    assert "% of the range, allowed are 0.1" in missed
    assert "missed: another: token accuracy is" in missed
    assert "missed: bundle: perplexity is" in missed
    assert "missed: another: no parity with the recorded run: " in missed
    assert "missed: bundle: mean error" not in missed
    page = check_self_contained((tmp_path / "out" / "report.html").read_text())
    assert "Side by side" in page.words
    assert "Missed: another: token accuracy is" in page.words


def live(*arguments):
    """What ``lram replay --live`` says of the only policy."""
    command = [sys.executable, "-m", "lram_core.cli", "replay", "--live", "--json"]
    command += [str(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["policies"][0]["live"]


def test_live_is_offline_is_recorded(recorded_demo):
    """Through a policy node of its own, over topics."""
    bundle, bag = recorded_demo
    found = live(bag, "--policy", bundle, "--rate", "100", "--parity")
    assert found["ticks"] == 80
    for side in (found["offline"], found["recorded"]):
        counts = ("ticks", "observations_equal", "actions_equal", "commands_equal")
        assert [side[count] for count in counts] == [80, 80, 80, 80]


def test_a_part_of_a_bag(recorded_demo):
    bundle, bag = recorded_demo
    whole = summary_of(bag, "--policy", bundle)
    with Bag(bag) as opened:
        record = read_record(opened, RobotContract.load(CONTRACT))
    second = next(trace for trace in record.traces if trace.message.episode == 2)
    start = (second.time - record.start) * 1e-9 - 0.002
    part = summary_of(bag, "--policy", bundle, "--from", start)
    assert 38 <= part["ticks"] <= 42 < whole["ticks"]
    assert part["policies"][0]["parity"]["observations_equal"] >= 37


# A robot whose ticks come from a clock


@pytest.fixture
def driven(ros_domain, tmp_path):
    """(bag, contract, bundle) of a mock arm that a real policy drove for some seconds."""
    bundle, out = arm_bundle(tmp_path), tmp_path / "bag"
    with processes(tmp_path) as start, Peer("watcher") as peer:
        arm = Arm(peer, tmp_path, script=Policy.load(bundle))
        recorder = start("lram_ros.recorder", output=out)
        try:
            assert arm.node.trigger_configure() == SUCCESS
            graph = peer.node.get_subscriptions_info_by_topic
            for topic in ("/policy/tick", f"/{COMMANDS}", "/joint_states"):
                peer.until(lambda t=topic: "recorder" in {i.node_name for i in graph(t)}, 60)
            assert arm.node.trigger_activate() == SUCCESS
            arm.until_mode("running")
            sent = len(arm.messages)
            peer.until(lambda: len(arm.messages) > sent + 60, 60)
        finally:
            arm.end()
        peer.spin(0.3)
        assert recorder.stop() == 0, recorder.output
    return out, tmp_path / "arm.yaml", bundle


def test_ticks_of_a_clock_are_made_of_the_readings_that_they_were_made_of(driven):
    """Which of the readings around a tick it saw is told by the ages in its trace."""
    bag, contract, bundle = driven
    found = offline(bag, contract, bundle)
    traces = [trace.message for trace in found.record.traces]
    assert len(traces) == len(found.replayed) > 60
    np.testing.assert_array_equal(found.answers.observation, [t.observation for t in traces])
    np.testing.assert_array_equal(found.answers.raw, [t.raw_action for t in traces])
    # What left is not what the policy said while the start was blended in, and known to the bag.
    np.testing.assert_array_equal(found.replayed.command, [t.commanded_action for t in traces])
    assert not found.replayed.refused


def demonstration(bag, commands, seconds=3.0):
    """A recording of an arm that moves, by nobody's policy: states at 100 Hz, commands at 20 Hz."""
    messages = []
    for number in range(int(seconds * 100)):
        now = BEGIN + number * 10 * MILLISECOND
        position = [0.3 * math.sin(0.02 * number + joint) for joint in range(3)]
        message = JointState(name=JOINTS, position=position, velocity=[0.0] * 3)
        sec, nanosec = divmod(now - MILLISECOND, 10**9)
        message.header.stamp = Time(sec=sec, nanosec=nanosec)
        messages.append((now, "/joint_states", message))
    for number, values in enumerate(commands):
        now = BEGIN + number * 50 * MILLISECOND + MILLISECOND
        messages.append((now, f"/{COMMANDS}", Float64MultiArray(data=list(values))))
    return write_bag(bag, sorted(messages, key=lambda message: message[0]))


def test_errors_of_a_demonstration_are_those_that_were_put_in(tmp_path):
    contract, bundle = arm_contract(tmp_path), arm_bundle(tmp_path)
    first = offline(demonstration(tmp_path / "first", np.zeros((60, 3))), contract, bundle)
    assert len(first.replayed) == 60
    offset = np.array([0.1, -0.2, 0.0])
    bag = demonstration(tmp_path / "second", first.answers.command + offset)
    summary = summary_of(bag, "--policy", bundle, "--contract", contract)
    (policy,) = summary["policies"]
    for joint, put_in in zip(policy["joints"], offset, strict=True):
        assert joint["unit"] == "rad"
        assert joint["mean"] == pytest.approx(abs(put_in), abs=1e-9)
        assert [joint["rms"], joint["max"]] == pytest.approx([abs(put_in)] * 2, abs=1e-9)
        assert joint["bias"] == pytest.approx(-put_in, abs=1e-9)
        assert joint["mean_percent_of_range"] == pytest.approx(100 * abs(put_in) / 5.0, abs=1e-6)
    accuracy = [row["accuracy"] for row in policy["tokens"]["by_action"]]
    assert accuracy[:2] == [0.0, 0.0]  # 0.1 rad are 13 bins
    assert accuracy[2] == 1.0
    assert policy["drift"]["first_quarter_percent"] == pytest.approx(2.0, abs=1e-6)
    assert policy["drift"]["last_quarter_percent"] == pytest.approx(2.0, abs=1e-6)
    assert policy["parity"] is None
    assert summary["recorded"] is None
    stream = summary["streams"][0]
    assert stream["rate_hz"] == pytest.approx(100)
    assert stream["age_recorded_ms"]["p99"] == pytest.approx(1.0)
    assert any("No /policy/tick in the bag" in note for note in summary["notes"])


def test_offline_is_live_at_the_live_ticks_of_a_clock(ros_domain, tmp_path):
    """No two runs tick at the same moments; what a tick saw tells which readings it was made of."""
    contract, bundle = arm_contract(tmp_path), arm_bundle(tmp_path)
    bag = demonstration(tmp_path / "bag", np.full((60, 3), -0.2))
    found = live(bag, "--policy", bundle, "--contract", contract)
    offline = found["offline"]
    assert found["ticks"] == offline["ticks"] > 10
    assert offline["observations_equal"] == offline["actions_equal"] == offline["ticks"]
    assert found["recorded"] is None


def test_a_terminal_without_colour_or_width_still_reads_well(recorded_demo):
    bundle, bag = recorded_demo
    text = run(bag, "--policy", bundle, COLUMNS="34", TERM="dumb", NO_COLOR="1").output
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 34
    assert "ee_dx\n  unit: mm\n  mean: 0\n  rms: 0\n" in text
    assert "the actions of 80 of 80 ticks equal" in " ".join(text.split())
