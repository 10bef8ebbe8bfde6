"""The command ``lram mock-robot``: how it ends, and what it refuses."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mock_rig import CONFIG
from ros_graph import Process, default_signals

from lram_ros.paths import find_contract


class Command(Process):
    """``lram mock-robot`` as a process."""

    def __init__(self, folder, *arguments):
        self.log = folder / "mock.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lram_core.cli", "mock-robot", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=default_signals,
            )


@pytest.fixture
def command(tmp_path, ros_domain):
    started = []

    def command(*arguments):
        started.append(Command(tmp_path, *arguments))
        return started[-1]

    yield command
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(command, number):
    mock = command("metaworld", "--", "--ros-args", "-r", "__ns:=/left")
    mock.wait_for("MOCK ROBOT, no hardware: sawyer")
    time.sleep(0.5)
    assert mock.stop(number) == 0
    assert "Traceback" not in mock.output
    assert "left.mock_robot" in mock.output


def test_kill_is_a_kill(command):
    mock = command("metaworld", "--fault", "kill@300ms")
    assert mock.wait() == -signal.SIGKILL
    assert "mock: fault begins: kill@0.3s" in mock.output


def test_a_wrong_command_line_is_one_line(command):
    for arguments, words in (
        (("metaworld", "--fault", "melt@3s"), "kind 'melt' is unknown"),
        (("metaworld", "--size", "w"), "expected FIELD=N"),
        (("metaword",), "no such file, and none of that name is shipped; nearest: metaworld; "),
        (("./nowhere.yaml",), "nowhere.yaml: No such file"),
    ):
        mock = command(*arguments)
        assert mock.wait() == 2
        (line,) = mock.output.splitlines()
        assert line.startswith("error: ")
        assert words in line


def test_a_shipped_contract_is_found_by_name():
    assert find_contract("metaworld") == CONFIG / "metaworld.yaml"
    assert find_contract("some/arm.yaml") == Path("some/arm.yaml")
