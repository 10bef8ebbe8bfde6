"""``lram demo`` as a user runs it: results, bad input, Ctrl-C, a process that dies."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import contextmanager

import imageio_ffmpeg
import pytest
from marked_processes import marked, marking
from rich.console import Console
from rosbags.rosbag2 import Reader

from lram_core.errors import CommandError
from lram_core.testing import random_bundle
from lram_ros import demo
from lram_sim.contract_text import contract_text
from lram_sim.suite import dataset_schema
from lram_sim.suite_registry import get_suite

LRAM = [sys.executable, "-m", "lram_core.cli"]
TICKS = 12
MANY = ("--episodes", "200", "--max-steps", "40")


@pytest.fixture
def mark(monkeypatch):
    with marking(monkeypatch) as mark:
        yield mark


def demo_command(bundle, out, *more):
    return [*LRAM, "demo", "--bundle", str(bundle), "--out", str(out), *more]


def run(command):
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def read_until(descriptor, text, seconds=120):
    """Read a pipe or terminal until ``text`` (None: until it ends); returns all that was read."""
    shown = b""
    deadline = time.monotonic() + seconds
    while text is None or text not in shown:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([descriptor], [], [], max(left, 0))
        assert ready, f"nothing more after {seconds} s:\n{shown.decode(errors='replace')}"
        try:
            more = os.read(descriptor, 4096)
        except OSError:  # a terminal whose other side has closed
            more = b""
        if not more:
            assert text is None, f"ended early:\n{shown.decode(errors='replace')}"
            break
        shown += more
    return shown


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def first_stamps(bag):
    """Topic → stamp (ns) of its first message in the bag, but for those of ROS itself.

    All of them begin with their stamp, after the four bytes that say how they are encoded.
    """
    found = {}
    for connection, _, data in bag.messages():
        if connection.topic not in ("/rosout", "/parameter_events", *found):
            seconds, nanoseconds = struct.unpack_from("<iI", data, 4)
            found[connection.topic] = seconds * 10**9 + nanoseconds
    return found


def test_demo_leaves_its_results_and_no_process(tiny_bundle, tmp_path, mark):
    out = tmp_path / "runs" / "demo"
    tasks = ["reach-v3", "drawer-open-v3"]
    limits = ["--episodes", "2", "--max-steps", str(TICKS), "--seed", "5", "--runtime", "torch"]
    done = run(demo_command(tiny_bundle, out, "--tasks", ",".join(tasks), *limits))
    assert done.returncode == 0, done.stderr
    assert marked(mark) == {}
    assert [path.name for path in out.parent.iterdir()] == ["demo"]

    summary = json.loads((out / "summary.json").read_text())
    ticks = summary["ticks"]
    assert summary["episodes"] == 4
    assert 0 <= summary["success_rate"] <= 1
    assert [task["task"] for task in summary["tasks"]] == tasks
    assert [run["seed"] for run in summary["runs"]] == [5, 6, 5, 6]
    assert all(0 < run["ticks"] <= TICKS for run in summary["runs"])
    assert 0 < summary["tick_ms"]["p50"] <= summary["tick_ms"]["p99"] <= summary["tick_ms"]["max"]
    assert summary["deadline_ms"] == pytest.approx(12.5)
    assert summary["notes"] == []

    assert summary["machine"]["runtime"] == "torch eager (fp32, cpu)"
    for task in tasks:
        assert task in done.stdout
        assert task in (out / "report.html").read_text()

    with Reader(out / "bag") as bag:
        counts = {topic: info.msgcount for topic, info in bag.topics.items()}
        first = first_stamps(bag)
    assert counts["/policy/tick"] == ticks
    assert counts["/command"] >= ticks
    for topic in ("/clock", "/episode", "/reward", "/end_effector/pose", "/joint_states"):
        assert counts[topic] >= ticks + 4  # one set more an episode: its last state
    # Of every topic the bag has the very first message; what the node tells of itself has no tick.
    own = ("/diagnostics", "/policy/transition_event")
    first = {topic: stamp for topic, stamp in first.items() if topic not in own}
    assert len(first) == 11
    assert set(first.values()) == {12_500_000}, first

    frames = imageio_ffmpeg.read_frames(str(out / "episodes.mp4"))
    about = next(frames)
    assert about["size"] == (480, 360)
    pictures = list(frames)
    assert len(pictures) >= 4 * (TICKS // 4)
    assert len(set(pictures)) > 4


def test_video_that_fails_costs_nothing_else(tiny_bundle, tmp_path, mark, monkeypatch):
    encoder = tmp_path / "encoder"
    encoder.write_text("#!/bin/sh\nhead -c 2000000 > /dev/null\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    out = tmp_path / "demo"
    done = run(demo_command(tiny_bundle, out, "--tasks", "reach-v3", "--max-steps", str(TICKS)))
    assert done.returncode == 0, done.stderr
    (note,) = json.loads((out / "summary.json").read_text())["notes"]
    assert note == "There is no video; logs/sim_bridge.log says why."
    assert note in (out / "report.html").read_text()
    assert "note: There is no video" in done.stdout
    assert "no video: " in (out / "logs" / "sim_bridge.log").read_text()
    assert (out / "bag" / "bag.mcap").is_file()
    assert sorted(path.name for path in out.iterdir()) == [
        *("bag", "logs", "report.html", "summary.json")
    ]
    assert marked(mark) == {}


@contextmanager
def taken_domains():
    raise CommandError("all domains are taken")
    yield


def test_without_a_free_domain_the_caller_gets_one_error_and_all_back(
    tiny_bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr(demo, "reserved_domain", taken_domains)
    before = dict(os.environ), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    options = demo.DemoOptions(out=tmp_path / "demo", bundle=tiny_bundle)
    with pytest.raises(CommandError) as caught:
        demo.run_demo(options, Console())
    assert str(caught.value) == "all domains are taken"
    after = dict(os.environ), signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert after == before


def test_ctrl_c_ends_every_process(tiny_bundle, tmp_path, mark):
    out = tmp_path / "demo"
    command = demo_command(tiny_bundle, out, "--tasks", "reach-v3", *MANY)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    shown = read_until(terminal, b"  1/200 reach-v3")
    nodes = [line for line in marked(mark).values() if " -m lram_" in line and "cli" not in line]
    assert len(nodes) == 3, nodes
    os.write(terminal, b"\x03")
    shown += read_until(terminal, None)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130, shown.decode()
    assert b"stopped by SIGINT" in shown
    assert b"Traceback" not in shown
    assert marked(mark) == {}
    assert list(tmp_path.glob("*demo*")) == []


def test_sigterm_during_the_start_ends_every_process(tiny_bundle, tmp_path, mark):
    command = demo_command(tiny_bundle, tmp_path / "demo", "--tasks", "reach-v3", "--no-video")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(marked(mark)) == 4)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM
    assert errors == "stopped by SIGTERM; all processes have ended\n"
    assert marked(mark) == {}


def test_a_node_that_dies_is_named(tiny_bundle, tmp_path, mark):
    out = tmp_path / "demo"
    command = demo_command(tiny_bundle, out, "--tasks", "reach-v3", *MANY)
    process = subprocess.Popen(
        [*command, "--no-video"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    read_until(process.stdout.fileno(), b"  1/200 reach-v3")
    policy = next(pid for pid, line in marked(mark).items() if "lram_ros.policy_node" in line)
    os.kill(policy, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith("error: policy has ended (signal SIGKILL); its last lines:\n")
    assert "ready: metaworld" in errors
    logs = tmp_path / "demo.failed"
    assert errors.endswith(f"\nlogs: {logs}\n")
    assert {path.name for path in logs.glob("*.log")} == {
        *("policy.log", "recorder.log", "sim_bridge.log")
    }
    assert marked(mark) == {}
    assert not out.exists()


def test_unknown_task_is_named_with_what_there_is(tiny_bundle, tmp_path, mark):
    command = demo_command(
        tiny_bundle, tmp_path / "demo", "--tasks", "reach-v3,fly-v3", "--no-video"
    )
    done = run(command)
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown task 'fly-v3' of suite 'metaworld'; ")
    assert "reach-v3" in done.stderr
    assert not (tmp_path / "demo.failed").exists()  # nothing was started
    assert marked(mark) == {}


def test_a_bundle_that_is_none(tmp_path):
    done = run(demo_command(tmp_path / "nowhere", tmp_path / "demo"))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'nowhere'}: no such bundle")
    assert len(done.stderr.splitlines()) == 1


def test_a_suite_without_a_shipped_contract_runs_by_one_that_is_written(tmp_path, mark):
    suite = get_suite("dmcontrol-pendulum")
    contract = dataset_schema(suite).contract({"default": 500.0}, context=50)
    bundle = random_bundle(tmp_path / "bundle", contract)
    out = tmp_path / "demo"
    words = ("--tasks", "swingup", "--episodes", "1", "--max-steps", str(TICKS), "--no-video")
    done = run(demo_command(bundle, out, *words, "--runtime", "torch"))
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["suite"], summary["ticks"]) == (suite.name, TICKS)
    assert (out / "contract.yaml").read_text() == contract_text(suite)
    assert marked(mark) == {}


def test_a_bundle_of_another_suite_is_refused_at_once(tmp_path):
    out = tmp_path / "demo"
    done = run([*LRAM, "demo", "--suite", "robosuite-panda", "--tasks", "lift", "--out", str(out)])
    assert done.returncode == 2
    assert done.stderr.endswith(
        "metaworld-ml45: made for the suite 'metaworld', found --suite robosuite-panda; "
        "expected a --bundle of that suite\n"
    )
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_runtime_is_named_with_what_there_is(tiny_bundle, tmp_path):
    done = run(demo_command(tiny_bundle, tmp_path / "demo", "--runtime", "warp"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown runtime 'warp'; available: auto, ")


def test_a_folder_of_something_else_is_not_replaced(tiny_bundle, tmp_path):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("much work")
    done = run(demo_command(tiny_bundle, out))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {out} is there already and is no result of 'lram demo'")
    assert (out / "chapter1.tex").read_text() == "much work"
