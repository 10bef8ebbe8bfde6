"""What the bridge refuses, what breaks it, and what costs its video alone."""

from __future__ import annotations

import pytest
from bridge_rig import Bridge
from ros_graph import Peer, processes

from lram_ros.msg import EpisodeStatus


@pytest.fixture
def launch(ros_domain, tmp_path):
    with processes(tmp_path) as start, Peer() as peer:
        yield lambda **values: Bridge(start, peer, **values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"suite": "atari"}, ["unknown suite 'atari'", "metaworld"]),
        ({"mode": "fast"}, ["mode: found 'fast'", "lockstep, realtime"]),
        ({"mode": 3}, ["parameter mode"]),
        ({"video_path": "v.mp4", "video_fps": 500.0}, ["fps", "at most 80"]),
        ({"video_path": "v.mp4", "video_width": 161}, ["size must be even", "161x360"]),
    ],
)
def test_bad_parameters_exit_with_code_2(ros_domain, tmp_path, values, words):
    with processes(tmp_path) as start:
        node = start("lram_sim.bridge_node", **values)
        assert node.wait() == 2
    assert node.output.startswith("error: ")
    assert len(node.output.splitlines()) == 1
    for word in words:
        assert word in node.output


BROKEN = """
from lram_sim import bridge_node
from lram_sim.bridge_episode import Simulation

step = Simulation.step

def break_down(self, action):
    return step(self, action) if self.current.tick < 5 else 1 / 0

Simulation.step = break_down
bridge_node.main()
"""
UNFINISHED = """
from lram_sim import bridge_node

def create_timer(*arguments, **options):
    raise RuntimeError("no timer")

bridge_node.BridgeNode.create_timer = create_timer
bridge_node.main()
"""


@pytest.mark.parametrize("mode", ["lockstep", "realtime"])
def test_broken_simulation_ends_the_process_with_one_line(launch, module, mode):
    bridge = launch(module=module("broken_bridge", BROKEN), mode=mode)
    assert bridge.reset().success
    for tick in range(6):
        bridge.command(bridge.wait_tick(tick, 1))
        if bridge.statuses[-1].tick >= 5:
            break
    assert bridge.process.wait(60) == 2
    assert "Traceback" not in bridge.process.output
    last = bridge.process.output.splitlines()[-1]
    assert last == "error: the simulation failed: ZeroDivisionError('division by zero')"
    bridge.peer.until(lambda: bridge.statuses[-1].state == EpisodeStatus.ABORTED)


def test_error_in_the_constructor_leaves_no_thread_that_keeps_the_process(
    ros_domain, tmp_path, module
):
    with processes(tmp_path) as start:
        node = start(module("unfinished_bridge", UNFINISHED), mode="realtime")
        assert node.wait(60) == 1
    assert "no timer" in node.output


def test_encoder_that_dies_costs_the_video_alone(launch, tmp_path, monkeypatch):
    encoder = tmp_path / "encoder"
    encoder.write_text("#!/bin/sh\nhead -c 400000 > /dev/null\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    path = tmp_path / "out" / "v.mp4"
    bridge = launch(video_path=path, video_width=160, video_height=120)
    assert bridge.reset().success
    bridge.drive(80)
    bridge.process.wait_for("no video: ")
    assert bridge.drive(90).state == EpisodeStatus.RUNNING
    assert bridge.process.stop() == 0
    assert "Traceback" not in bridge.process.output
    assert list(path.parent.iterdir()) == []


def test_unknown_camera_costs_the_video_alone(launch, tmp_path):
    bridge = launch(video_path=tmp_path / "v.mp4", video_camera="roof")
    assert bridge.reset().success
    bridge.drive(3)
    bridge.process.wait_for("no camera 'roof'")
    assert "corner2" in bridge.process.output
    assert bridge.process.stop() == 0
    assert not (tmp_path / "v.mp4").exists()
