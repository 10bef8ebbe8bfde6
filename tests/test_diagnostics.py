"""/diagnostics of the policy node: once a second, with what somebody at the robot wants to know."""

from __future__ import annotations

import io

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from loop_rig import Arm
from rich.console import Console
from ros_graph import Peer

from lram_core.errors import CommandError
from lram_ros import monitor
from lram_ros.diagnostics import loop_status, safety_status
from lram_ros.monitor import render
from lram_ros.process import ros
from lram_ros.safety import Fault, Mode, Reason
from lram_ros.tick_statistics import TickStatistics


def figures(ticks, stages=("total",), missed=0):
    made = TickStatistics(10.0, stages, ["joints"], ["pan"], warm_up=2)
    for tick in range(ticks):
        made.add(tick / 10, [0.001] * len(stages), [0.02], [tick == 1], missed, False, 3.0)
    return made.summary(ticks / 10)


def values(status):
    return {pair.key: pair.value for pair in status.values}


def test_loop_status_has_what_a_control_loop_is_judged_by():
    found = loop_status("policy", figures(30), figures(30, ("step", "total")), 0)
    assert found.name == "policy: control loop"
    assert found.level == DiagnosticStatus.OK
    keys = values(found)
    for key in ("rate [Hz]", "worst second [Hz]", "missed", "late", "age of joints [ms]"):
        assert key in keys
    for name in ("p50", "p95", "p99", "max"):
        assert keys[f"step {name} [ms]"] == "1.000"
        assert keys[f"total {name} [ms]"] == "1.000"
    assert keys["clipped pan"] == "1"
    assert keys["state norm"].startswith("3 ")


def test_new_misses_are_a_warning_and_old_ones_are_not():
    missed = figures(10, missed=1)
    assert loop_status("policy", missed, missed, 0).level == DiagnosticStatus.WARN
    assert "10 ticks late or missed" in loop_status("policy", missed, missed, 0).message
    assert loop_status("policy", missed, missed, 10).level == DiagnosticStatus.OK


def shown(*statuses, silent=0.0):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(list(statuses), silent))
    return console.export_text()


def test_monitor_shows_stages_as_a_table_and_the_rest_below():
    text = shown(
        loop_status("policy", figures(30), figures(30, ("step", "total")), 0),
        safety_status("policy", Mode.HOLDING, Fault(Reason.INPUT_STALE, "joints"), ()),
    )
    assert "holding: input_stale: joints" in text
    (step,) = [line.split() for line in text.splitlines() if line.strip().startswith("step")]
    assert step == ["step", *["1.000"] * 4]
    assert "stage [ms]" in text
    assert "age of joints [ms]" in text
    assert "no report" not in text
    assert "no report for 9 s" in shown(silent=9.0)


def test_monitor_once_does_not_wait_for_ever(ros_domain, monkeypatch):
    monkeypatch.setattr(monitor, "_ONCE_S", 0.3)
    quiet = Console(file=io.StringIO())
    with ros(["monitor"]), pytest.raises(CommandError, match="no report of policy on /diagnostics"):
        monitor.watch("policy", True, False, quiet)


def test_no_tick_yet_is_no_fault():
    assert loop_status("policy", figures(0), figures(0), 0).message == "no tick yet"


@pytest.mark.parametrize(
    ("mode", "fault", "level"),
    [
        (Mode.RUNNING, None, DiagnosticStatus.OK),
        (Mode.IDLE, Fault(Reason.DEACTIVATED), DiagnosticStatus.OK),
        (Mode.WAITING, None, DiagnosticStatus.WARN),
        (Mode.HOLDING, Fault(Reason.INPUT_STALE, "joints"), DiagnosticStatus.ERROR),
    ],
)
def test_safety_status_names_mode_and_reason(mode, fault, level):
    found = safety_status("policy", mode, fault, ("joints missing",))
    assert found.level == level
    assert found.message.startswith(mode.value)
    assert values(found)["reason"] == ("" if fault is None else str(fault))
    assert values(found)["waiting for"] == "joints missing"


def test_node_reports_once_a_second(ros_domain, tmp_path):
    with Peer("watcher") as peer:
        found = peer.listen(DiagnosticArray, "/diagnostics")
        arm = Arm(peer, tmp_path)
        try:
            assert arm.node.bring_up()
            arm.until_mode("running")
            found.clear()
            peer.spin(3.5)
            assert 2 <= len(found) <= 5
            named = {status.name: status for status in found[-1].status}
            assert set(named) == {"policy: runtime", "policy: control loop", "policy: safety"}
            about = values(named["policy: runtime"])
            assert about["runtime"] == "a script"
            assert about["device"] == "cpu"
            assert about["lifecycle"] == "active"
            assert float(values(named["policy: control loop"])["rate [Hz]"]) > 5
            assert values(named["policy: safety"])["mode"] == "running"
        finally:
            arm.end()
