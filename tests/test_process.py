"""Nodes as processes: what a user gets wrong, and what fails, is one line and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAILING = """
import sys, threading
from rclpy.node import Node
from lram_ros.process import run_node

class Failing(Node):
    failure = None

    def __init__(self):
        super().__init__("failing")
        if sys.argv[1] == "callback":
            self.create_timer(0.01, self.fail)
        else:
            threading.Thread(target=self.keep).start()

    def fail(self):
        raise OSError("no space left\\non device")

    def keep(self):
        try:
            self.fail()
        except OSError as error:
            self.failure = error

    def stop(self):
        print("stopped in good order")

sys.exit(run_node(lambda stop: Failing()))
"""
NODES = ("recorder", "policy_node", "episode_driver_node")


def run(*command):
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=120, check=False
    )


def refusal(*command):
    """Run a command that must be refused; returns its one line, the last after rcl's own log."""
    done = run(*command)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if "] [rcl]: " not in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("where", ["callback", "thread"])
def test_a_fault_is_one_line_after_a_clean_stop(ros_domain, where):
    done = run("-c", FAILING, where)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "stopped in good order\n"
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]  # the executor logs what a callback raised
    assert line.startswith("error: failing failed: OSError")
    assert "no space left" in line


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize(
    "arguments",
    [["--ros-args", "--nonsense"], ["--ros-args", "-p", "x"], ["--ros-args", "-r", "__node:=1 x"]],
)
def test_malformed_ros_arguments(ros_domain, node, arguments):
    assert "ROS arguments" in refusal("-m", f"lram_ros.{node}", *arguments)


@pytest.mark.parametrize(
    ("node", "name"), [("recorder", "output"), ("policy_node", "bundle"), (NODES[2], "tasks")]
)
def test_parameter_of_another_type(ros_domain, node, name):
    line = refusal("-m", f"lram_ros.{node}", "--ros-args", "-p", f"{name}:=5")
    assert f"parameter {name}" in line
    assert "STRING" in line
