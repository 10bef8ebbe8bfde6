"""The loop behind the supervisor, without ROS: when the policy is asked, what leaves."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from adapter_rig import JOINTS, PERIOD, RATE, policy, robot, sink_data
from loop_rig import ArmScript
from sensor_msgs.msg import JointState

from lram_core.errors import ContractError
from lram_ros.assembly import InputSet
from lram_ros.commander import Commander
from lram_ros.safety import Fault, Mode, Reason, Request, Rules, World, contract_limits
from lram_ros.supervised_loop import Outlet, SupervisedLoop


class Bench:
    """An arm that is measured at 0 until it is told where it is."""

    def __init__(self, kind="joint_position", low=-1.0, high=1.0, target=(0.5, 0.5, 0.5)):
        contract = policy(kind, low=low, high=high)
        arm = robot(sink_data("forward_position"))
        limits = contract_limits(arm.sinks, contract.action, RATE)
        self.script = ArmScript()
        self.script.contract, self.script.next = contract, np.array(target)
        self.sent, self.traces, self.faults, self.said = [], [], [], []
        outlet = Outlet(
            publish=lambda sink, message: self.sent.append(list(message.data)),
            trace=lambda tick, publish_s, total_s: self.traces.append(tick),
            ros_now=lambda: 0,
            say=lambda severity, text: self.said.append(text),
            faulted=self.faults.append,
            failed=self.faults.append,
        )
        commander = Commander(arm, contract, limits)
        rules = Rules(limits, blend_s=0.0, proof_s=0.0)
        self.loop = SupervisedLoop(arm, self.script, commander, rules, outlet)
        self.loop.start()
        self.count, self.at = 0, [0.0, 0.0, 0.0]

    def tick(self, stamp=None, request=Request.NONE, whole=True, **world):
        self.count += 1
        stamp = self.count if stamp is None else stamp
        message = JointState(name=JOINTS, position=self.at)
        inputs = InputSet(stamp, (message,), (0.0,))
        reading, invalid = self.loop.read(inputs if whole else None, inputs.messages)
        now = self.count * PERIOD
        position = self.loop.position
        known = World(now=now, position=position, invalid=invalid, request=request, **world)
        outcome = self.loop.decide(known, reading, perf_counter())
        if self.sent:
            self.at = self.sent[-1]
        return outcome

    def run(self, ticks=40):
        self.tick(request=Request.ACTIVATE)
        for _ in range(ticks):
            self.tick()


def test_motion_starts_from_the_measured_pose_and_arrives():
    bench = Bench()
    bench.run()
    sent = np.array(bench.sent)
    assert np.abs(sent[0]).max() <= 0.05
    assert sent[-1] == pytest.approx([0.5] * 3)
    assert len(bench.traces) == bench.script.calls == 41
    assert [tick.number for tick in bench.traces] == list(range(41))


def test_a_repeated_stamp_neither_advances_nor_adds_a_delta_again():
    bench = Bench("joint_delta", -0.05, 0.05, (0.02, -0.02, 0.02))
    bench.tick(7, Request.ACTIVATE)
    for _ in range(10):
        bench.tick(7)
    assert bench.script.calls == len(bench.traces) == 1
    assert bench.sent[-1] == pytest.approx([0.02, -0.02, 0.02])


def test_a_new_beginning_comes_to_rest_first():
    bench = Bench()
    bench.run(4)
    resets = bench.script.resets
    bench.loop.restart_asked = True
    outcome = bench.tick()
    assert outcome.decision.mode is Mode.STOPPING
    assert bench.script.resets == resets
    for _ in range(15):
        bench.tick()
    assert bench.loop.moving
    assert bench.script.resets == resets + 1


def test_a_stop_is_told_once_and_the_policy_is_not_asked_any_more():
    bench = Bench()
    bench.run(4)
    calls = bench.script.calls
    outcomes = [bench.tick(external_stop=True) for _ in range(12)]
    assert [outcome.fault for outcome in outcomes if outcome.fault] == [outcomes[0].fault]
    assert outcomes[0].fault.reason is Reason.EXTERNAL_STOP
    assert outcomes[0].reason.startswith("external_stop")
    assert bench.script.calls == calls
    assert bench.loop.state.mode is Mode.HOLDING
    assert bench.sent[-1] == bench.sent[-2]
    resets = bench.script.resets
    bench.tick(request=Request.REARM)
    bench.tick()
    assert bench.loop.moving
    assert bench.script.resets == resets + 1


def test_malformed_input_is_named_as_such():
    bench = Bench()
    bench.run(4)
    bench.at = [0.0, np.nan, 0.0]
    outcome = bench.tick()
    assert outcome.decision.fault.reason is Reason.INPUT_INVALID
    assert np.isfinite(bench.sent).all()


def test_inputs_that_the_model_cannot_take_together_are_invalid():
    bench = Bench()
    bench.run(4)
    bench.script.next = ContractError("reward is not finite in float32")
    outcome = bench.tick()
    assert outcome.fault.reason is Reason.INPUT_INVALID
    assert "float32" in outcome.fault.detail
    bench.script.next = np.zeros(3)
    for _ in range(12):
        bench.tick()
    bench.tick(request=Request.REARM)
    bench.tick()
    assert bench.loop.moving


def test_not_finite_action_is_not_sent_and_is_told():
    bench = Bench()
    bench.run(4)
    bench.script.next = np.array([0.0, np.inf, 0.0])
    outcome = bench.tick()
    assert outcome.fault.reason is Reason.COMMAND_NOT_FINITE
    assert np.isfinite(bench.sent).all()
    assert any("not finite" in text for text in bench.said)


def test_what_a_watchdog_found_while_the_policy_was_asked_counts():
    bench = Bench()
    bench.run(4)
    bench.loop.watchdog = lambda: "no tick for 9 s"
    assert bench.tick().fault.reason is Reason.WATCHDOG


def test_winding_down_ends_in_the_safe_command_and_silence():
    bench = Bench()
    bench.run(4)
    bench.loop.wind_down(Fault(Reason.DEACTIVATED))
    assert bench.sent[-1] == bench.sent[-2] or np.allclose(
        bench.sent[-1], bench.sent[-2], atol=0.01
    )
    assert bench.loop.state.fault.reason is Reason.DEACTIVATED
    count = len(bench.sent)
    assert bench.tick() is None
    assert len(bench.sent) == count


def test_a_robot_whose_joints_nobody_measures_is_refused():
    contract = policy("joint_position", low=-1.0, high=1.0)
    other = {
        "topic": "pose",
        "type": "geometry_msgs/msg/PoseStamped",
        "max_age": 1.0,
        "fields": {"joint_position": {"path": "pose.position", "unit": "rad"}},
    }
    arm = robot(sink_data("forward_position"), inputs=[other])
    limits = contract_limits(arm.sinks, contract.action, RATE)
    with pytest.raises(ContractError, match=r"measured joints.*shoulder, elbow, wrist"):
        Commander(arm, contract, limits)
