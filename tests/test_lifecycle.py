"""The policy node as a lifecycle node: what each transition does to a robot, and in what order."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from loop_rig import COMMANDS, MIDDLE, Arm, ArmScript, within_limits
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_graph import Peer
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger

from lram_core.errors import LramError
from lram_ros.black_box import Recording
from lram_ros.mock.options import MockOptions
from lram_ros.msg import PolicyTick
from lram_ros.srv import SetTargetReturn, SwitchBundle
from lram_ros.ticker import Ticker

SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture
def peer(ros_domain):
    with Peer("watcher") as peer:
        yield peer


@pytest.fixture
def make(peer, tmp_path):
    made = []

    def make(**options):
        made.append(Arm(peer, tmp_path, **options))
        return made[-1]

    yield make
    for arm in made:
        arm.end()


def active(arm):
    assert arm.node.trigger_configure() == SUCCESS
    assert arm.node.trigger_activate() == SUCCESS
    return arm


def running(arm):
    active(arm)
    arm.until_mode("running")
    return arm


def test_nothing_moves_before_activate(make):
    arm = make()
    assert arm.node.trigger_configure() == SUCCESS
    assert arm.silence()
    assert arm.script.calls == 0
    assert not arm.messages


def test_start_blends_from_the_measured_pose_within_the_limits(make):
    arm = active(make())
    arm.peer.until(lambda: len(arm.messages) > 0)
    assert arm.commands[0] == pytest.approx([MIDDLE] * 3, abs=1e-6)
    arm.until_mode("running")
    arm.peer.until(lambda: np.allclose(arm.commands[-1], [0.5, -0.9, 0.2], atol=1e-3), 10)
    assert within_limits(arm.commands)


def test_a_loop_that_does_not_start_leaves_nothing_behind(make, monkeypatch, capfd):
    arm = make()
    assert arm.node.trigger_configure() == SUCCESS

    def start(ticker):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Ticker, "start", start)
        assert arm.node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert "can't start new thread" in capfd.readouterr().err
    assert (arm.node.state, arm.node.runner) == ("inactive", None)
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}
    assert arm.silence()
    assert arm.node.trigger_activate() == SUCCESS
    arm.until_mode("running")


def test_deactivate_stops_the_loop_then_sends_the_safe_command_last(make):
    arm = running(make())
    arm.script.next = np.array([1.0, 1.0, 1.0])
    arm.peer.spin(0.2)  # on the way, at speed
    assert arm.node.trigger_deactivate() == SUCCESS
    calls = arm.script.calls
    assert arm.silence()
    assert arm.script.calls == calls
    commands = arm.commands
    assert within_limits(commands)
    speeds = np.abs(np.diff(commands[-8:], axis=0)).max(axis=1)
    assert speeds[-1] <= speeds.max() / 4  # decelerated, did not stop dead
    assert arm.node.trigger_activate() == SUCCESS
    arm.until_mode("running")
    assert arm.node.trigger_deactivate() == SUCCESS
    assert arm.node.trigger_cleanup() == SUCCESS
    running(arm)


def test_shutdown_sends_the_safe_command_last(make):
    arm = running(make())
    assert arm.node.trigger_shutdown() == SUCCESS
    assert arm.silence()
    assert within_limits(arm.commands)


def test_a_start_without_inputs_is_given_up_with_their_names(make, peer, capfd):
    arm = active(make(mock=False, activation_timeout=0.5))
    peer.until(lambda: arm.node.runner is None)
    assert not arm.messages
    assert "not started within 0.5 s" in capfd.readouterr().err
    assert arm.node.trigger_activate() == SUCCESS  # inactive, not broken


def test_a_node_without_manager_ends_when_the_start_is_given_up(make, peer):
    arm = make(mock=False, activation_timeout=0.5)
    assert arm.node.bring_up()
    peer.until(lambda: arm.node.failure is not None)
    assert isinstance(arm.node.failure, LramError)
    assert "input_missing: joint_states" in str(arm.node.failure)


def test_refused_configure_leaves_it_unconfigured(make):
    arm = make(target_return=float("inf"))
    assert arm.node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert arm.node.trigger_configure() == TransitionCallbackReturn.FAILURE
    assert arm.peer.node.count_publishers(COMMANDS) == 0


def test_external_stop_latches_until_rearmed(make, peer):
    arm = running(make())
    stop = peer.node.create_publisher(Bool, "policy/stop", 10)
    peer.until(stop.get_subscription_count)
    stop.publish(Bool(data=True))
    arm.until_mode("holding")
    assert arm.fault == "external_stop"
    peer.spin(0.3)
    held = arm.commands[-3:]
    assert (held == held[-1]).all()
    answer = peer.call(Trigger, "policy/rearm")
    assert not answer.success
    assert "external_stop" in answer.message
    stop.publish(Bool(data=False))
    peer.spin(0.3)
    assert arm.mode == "holding"
    resets = arm.script.resets
    assert peer.call(Trigger, "policy/rearm").success
    arm.until_mode("running")
    assert arm.script.resets > resets
    assert within_limits(arm.commands)


def test_a_short_pulse_of_the_external_stop_is_seen(make):
    arm = running(make())
    arm.node.runner.external_stop(True)
    arm.node.runner.external_stop(False)
    arm.until_mode("holding")
    assert arm.fault == "external_stop"


def test_a_second_publisher_of_commands_stops_the_robot(make, peer):
    arm = running(make())
    peer.node.create_publisher(Float64MultiArray, COMMANDS, 10)
    arm.until_mode("holding")
    assert arm.fault == "second_publisher"


def test_a_second_publisher_of_an_input_stops_the_robot(make, peer):
    arm = running(make())
    other = peer.node.create_publisher(JointState, "joint_states", 10)
    arm.until_mode("holding")
    assert arm.fault == "input_ambiguous"
    refused = peer.call(Trigger, "policy/rearm")
    assert (refused.success, "on joint_states" in refused.message) == (False, True)
    peer.node.destroy_publisher(other)
    peer.until(lambda: peer.call(Trigger, "policy/rearm").success)
    arm.until_mode("running")
    assert within_limits(arm.commands)


def test_not_finite_action_latches_and_the_state_starts_anew(make, peer):
    arm = running(make())
    arm.script.next = np.array([0.0, np.nan, 0.0])
    arm.until_mode("holding")
    assert arm.fault == "command_not_finite"
    assert np.isfinite(arm.commands).all()
    arm.script.next = np.zeros(3)
    resets = arm.script.resets
    assert peer.call(Trigger, "policy/rearm").success
    arm.until_mode("running")
    assert arm.script.resets > resets


def test_a_fault_leaves_the_last_ticks_in_a_file(make, tmp_path):
    arm = running(make())
    arm.script.next = np.array([0.0, np.nan, 0.0])
    arm.peer.until(lambda: list((tmp_path / "boxes").glob("blackbox-*.npz")))
    (path,) = (tmp_path / "boxes").glob("blackbox-*.npz")
    recording = Recording.load(path)
    assert recording.reason.startswith("command_not_finite")
    assert np.isnan(recording.ticks["raw"][-1]).any()
    assert recording.ticks["reason"][-1].startswith("command_not_finite")


def test_a_failing_policy_ends_in_unconfigured_with_the_robot_at_rest(make, peer):
    arm = running(make())
    arm.script.next = RuntimeError("the device is gone")
    peer.until(lambda: arm.node.state == "unconfigured")
    assert arm.silence()
    assert arm.node.failure is None  # a manager is told by the transition, the process lives
    assert within_limits(arm.commands)
    arm.script.next = np.zeros(3)
    running(arm)


def test_a_policy_that_hangs_is_stopped_by_the_watchdog(make):
    class Slow(ArmScript):
        pause = 0.0

        def act(self, observation, reward):
            time.sleep(self.pause)
            return super().act(observation, reward)

    arm = running(make(script=Slow(), watchdog=0.6))
    arm.script.pause = 2.0
    arm.until_mode("holding")
    assert arm.fault == "watchdog"
    arm.script.pause = 0.0
    arm.peer.spin(2.5)
    assert arm.mode == "holding"  # it does not come back by itself
    assert within_limits(arm.commands)


def test_reset_episode_comes_to_rest_and_begins_anew(make, peer):
    arm = running(make())
    traces = peer.listen(PolicyTick, "policy/tick")
    peer.until(lambda: traces)
    resets = arm.script.resets
    assert peer.call(Trigger, "policy/reset_episode").success
    peer.until(lambda: arm.script.resets > resets)
    peer.until(lambda: traces[-1].tick < 10)
    arm.until_mode("running")
    assert within_limits(arm.commands)


@pytest.mark.parametrize("by", ["parameter", "service"])
def test_bundle_can_be_switched_while_inactive_only(make, peer, by):
    arm = make()
    loaded = []

    def load(path, **options):
        loaded.append(path)
        if path == "bad":
            raise LramError("bad: no bundle")
        return ArmScript()

    arm.node._load = load

    def switch(value):
        if by == "service":
            answer = peer.call(SwitchBundle, "policy/switch_bundle", bundle=value)
            return answer.success, answer.message
        result = arm.node.set_parameters([Parameter("bundle", value=value)])[0]
        return result.successful, result.reason

    assert arm.node.trigger_configure() == SUCCESS
    assert switch("second") == (True, "a script" if by == "service" else "")
    assert switch("bad") == (False, "bad: no bundle")
    assert arm.node.get_parameter("bundle").value == "second"
    assert arm.node.trigger_activate() == SUCCESS
    assert switch("third") == (False, "bundle: deactivate the node first")
    arm.until_mode("running")
    assert loaded == ["scripted", "second", "bad"]


def test_a_target_return_is_for_the_next_episode(make, peer):
    asked = []

    class Asked(ArmScript):
        def reset(self, task=None, target_return=None):
            asked.append(target_return)
            super().reset(task, target_return)

    arm = running(make(script=Asked()))
    assert asked[-1] is None  # by task

    def ask(value):
        answer = peer.call(SetTargetReturn, "policy/set_target_return", target_return=value)
        return answer.success, answer.message

    before = len(asked)
    assert ask(12.5) == (True, "")
    assert ask(float("inf")) == (False, "target_return must be finite or NaN")
    assert arm.node.get_parameter("target_return").value == 12.5
    assert len(asked) == before  # not in mid-sequence
    assert peer.call(Trigger, "policy/reset_episode").success
    peer.until(lambda: len(asked) > before)
    assert asked[-1] == 12.5


def test_services_say_why_they_do_nothing(make, peer):
    arm = make()
    assert arm.node.trigger_configure() == SUCCESS
    assert peer.call(Trigger, "policy/rearm").message == "the node is not active"
    assert arm.node.trigger_activate() == SUCCESS
    arm.until_mode("running")
    answer = peer.call(Trigger, "policy/rearm")
    assert (answer.success, answer.message) == (False, "nothing to re-arm: the mode is running")


@pytest.mark.parametrize(
    ("fault", "reason"), [("freeze_clock@8s", "clock_frozen"), ("jump_clock=-2@8s", "clock_back")]
)
def test_simulated_time_that_does_not_go_on_stops_the_robot(make, fault, reason):
    mock = MockOptions(faults=(fault,), sim_time=True)
    arm = running(make(mock=mock, use_sim_time=True, watchdog=2.0))
    arm.until_mode("holding")
    assert arm.fault == reason
    assert within_limits(arm.commands)
