"""Mock robot and policy node as processes over DDS: start, fault, re-arm, end."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from loop_rig import COMMANDS, MIDDLE, PATIENT, arm_bundle, arm_contract, within_limits
from ros_graph import Peer, default_signals, processes
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger


@pytest.fixture
def mock(ros_domain, tmp_path):
    contract = arm_contract(tmp_path)
    log = (tmp_path / "mock.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "lram_core.cli", "mock-robot", str(contract)],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=default_signals,
    )
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    log.close()


class Watch:
    """What is commanded and what the node says of itself."""

    def __init__(self, peer):
        self.peer = peer
        self.messages = peer.listen(Float64MultiArray, COMMANDS)
        self.reports = peer.listen(DiagnosticArray, "/diagnostics")

    @property
    def commands(self):
        return np.array([list(message.data) for message in self.messages])

    @property
    def safety(self):
        for report in reversed(self.reports):
            for status in report.status:
                if status.name == "policy: safety":
                    return status.message
        return ""

    def change(self, transition):
        request = Transition(id=transition)
        return self.peer.call(ChangeState, "policy/change_state", transition=request).success

    def until(self, words):
        self.reports.clear()
        self.peer.until(lambda: self.safety.startswith(words), 60)


def test_a_robot_is_started_stopped_by_a_fault_rearmed_and_put_to_rest(mock, tmp_path):
    bundle = arm_bundle(tmp_path)
    with processes(tmp_path) as start, Peer("manager") as peer:
        node = start(
            "lram_ros.policy_node",
            bundle=bundle,
            contract=tmp_path / "arm.yaml",
            autostart="false",
            black_box=tmp_path / "boxes",
            **PATIENT,
        )
        watch = Watch(peer)
        assert watch.change(Transition.TRANSITION_CONFIGURE), node.output
        node.wait_for("ready")
        peer.spin(0.5)
        assert not watch.messages
        assert watch.change(Transition.TRANSITION_ACTIVATE)
        watch.until("running")
        assert watch.commands[0] == pytest.approx([MIDDLE] * 3, abs=1e-6)
        assert np.ptp(watch.commands, axis=0).max() > 0.01  # it moves

        mock.send_signal(signal.SIGSTOP)  # joint_states come no more
        watch.until("holding: input_stale: joint_states")
        before = len(watch.messages)
        peer.until(lambda: len(watch.messages) > before + 5)
        still = watch.commands[before:]
        assert (still == still[0]).all()  # held, every tick
        refused = peer.call(Trigger, "policy/rearm")
        assert not refused.success
        assert "input_stale" in refused.message
        mock.send_signal(signal.SIGCONT)
        peer.spin(1.0)
        watch.until("holding: input_stale")  # latched, though the cause is gone
        answer = peer.call(Trigger, "policy/rearm")
        assert answer.success, answer.message
        watch.until("running")

        assert watch.change(Transition.TRANSITION_DEACTIVATE)
        peer.spin(0.3)
        count = len(watch.messages)
        peer.spin(0.5)
        assert len(watch.messages) == count
        commands = watch.commands
        assert within_limits(commands)
        assert np.abs(commands[-1] - commands[-2]).max() <= 0.02  # at rest or nearly so
        assert list((tmp_path / "boxes").glob("blackbox-*.npz"))
        assert node.stop() == 0, node.output
        assert "Traceback" not in node.output


def test_the_node_configures_and_activates_itself(mock, tmp_path):
    bundle = arm_bundle(tmp_path)
    with processes(tmp_path) as start, Peer("watcher") as peer:
        watch = Watch(peer)
        node = start(
            "lram_ros.policy_node",
            bundle=bundle,
            contract=tmp_path / "arm.yaml",
            **PATIENT,
        )
        watch.until("running")
        assert node.stop(signal.SIGTERM) == 0, node.output
        count = len(watch.messages)
        peer.spin(0.5)
        assert len(watch.messages) >= count
        assert within_limits(watch.commands)
        assert "stopped: shutdown" in node.output
