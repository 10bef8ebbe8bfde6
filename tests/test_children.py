"""Child processes end with their parent, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lram_core.errors import CommandError
from lram_ros import children as children_module
from lram_ros.children import Children, ros_arguments

SLEEPER = """
import sys, time
print("up", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


def alive(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_children_are_interrupted_at_the_end(module, tmp_path):
    log = tmp_path / "logs" / "node.log"
    with Children(tmp_path / "logs", {}) as children:
        pid = children.start("node", module("sleeper", SLEEPER))
        wait_until(lambda: "up" in log.read_text())
        assert os.getsid(pid) == pid  # a Ctrl-C in the terminal does not reach it
        children.check()
    assert not alive(pid)
    assert log.read_text() == "up\ninterrupted\n"


def test_a_stubborn_child_is_killed(module, tmp_path, monkeypatch):
    patience = [(number, 0.1) for number, _ in children_module.PATIENCE[:-1]]
    monkeypatch.setattr(children_module, "PATIENCE", [*patience, (signal.SIGKILL, 5.0)])
    with Children(tmp_path / "logs", {}) as children:
        pid = children.start("node", module("stubborn", STUBBORN))
        wait_until(lambda: "up" in (tmp_path / "logs" / "node.log").read_text())
    assert not alive(pid)


def test_a_dead_child_is_named_with_its_last_lines(module, tmp_path):
    name = module("failing", "print('loading'); raise SystemExit('no such camera')")
    with Children(tmp_path / "logs", {}) as children:
        children.start("bridge", name)
        with pytest.raises(CommandError, match=r"bridge has ended \(exit code 1\)") as caught:
            wait_until(children.check)
    assert "  loading\n  no such camera" in str(caught.value)


def test_children_end_when_the_parent_is_killed(module, tmp_path):
    module("sleeper", SLEEPER)
    parent = f"""
import sys, time
from pathlib import Path
from lram_ros.children import Children
children = Children(Path({str(tmp_path / "logs")!r}), {{}})
print(children.start("node", "sleeper"), flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    pid = int(process.stdout.readline())
    wait_until(lambda: "up" in (tmp_path / "logs" / "node.log").read_text())
    process.kill()
    process.communicate()
    wait_until(lambda: not alive(pid))


def test_parameters_keep_their_type():
    arguments = ros_arguments({"path": "5", "names": ["a b", "c"], "rate": 2.5, "on": True})
    assert arguments == [
        *("--ros-args", "-p", 'path:="5"', "-p", 'names:=["a b", "c"]'),
        *("-p", "rate:=2.5", "-p", "on:=true"),
    ]
