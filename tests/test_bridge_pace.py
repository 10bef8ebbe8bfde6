"""Pacing of the bridge and the helpers under it, without ROS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lram_core.contract import ActionField
from lram_core.errors import CommandError, TaskError
from lram_core.pacing import Pacer
from lram_sim.bridge_episode import Simulation, Standstill, State
from lram_sim.bridge_pace import Command, Lockstep, RealTime
from lram_sim.suite_registry import get_suite
from lram_sim.video import EpisodeVideo, Mp4Writer

MOVE = np.array([1.0, 0.0, 0.0, 0.0])


@pytest.fixture(scope="module")
def suite():
    return get_suite("metaworld")


class Watch:
    """Collects what a pace shows, and how it ended."""

    def __init__(self):
        self.shown, self.threads, self.errors, self.finished = [], set(), [], threading.Event()

    def show(self, snapshot):
        self.shown.append(snapshot)
        self.threads.add(threading.get_ident())

    def wait(self, done, timeout=30):
        deadline = time.monotonic() + timeout
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.005)


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def real_time(suite, watch):
    pace = RealTime(Simulation(suite), watch.show, watch.finished.set, watch.errors.append)
    pace.start()
    yield pace
    pace.stop()


def test_lockstep_takes_one_command_a_stamp(suite, watch):
    pace = Lockstep(Simulation(suite), watch.show)
    first = pace.reset("reach-v3", 0, 3)
    for stamp in (first.stamp - 1, first.stamp, first.stamp):
        pace.command(Command(stamp, 1, MOVE))
    assert [snapshot.tick for snapshot in watch.shown] == [0, 1]
    for _ in range(5):
        pace.command(Command(watch.shown[-1].stamp, 1, MOVE))
    assert [snapshot.tick for snapshot in watch.shown] == [0, 1, 2, 3]
    assert watch.shown[-1].state is State.TRUNCATED
    assert watch.shown[-1].episode_return == sum(s.reward for s in watch.shown)
    pace.stop()


def test_real_time_steps_on_one_thread_of_its_own(real_time, watch):
    real_time.reset("reach-v3", 0, 10)
    watch.wait(lambda: watch.shown[-1].state is State.TRUNCATED)
    real_time.reset("push-v3", 0, 10)
    watch.wait(lambda: watch.shown[-1].episode == 2)
    assert len(watch.threads) == 1
    assert threading.get_ident() not in watch.threads


def test_real_time_ignores_commands_of_another_episode(real_time, watch):
    real_time.reset("reach-v3", 0, 0)
    start = time.monotonic()
    while time.monotonic() - start < 0.5:
        real_time.command(Command(0, 7, MOVE))
        time.sleep(0.01)
    hand = [snapshot.sensors["ee_position"] for snapshot in watch.shown]
    assert np.abs(hand[-1] - hand[0]).max() < 5e-3


def test_real_time_refuses_and_goes_on(real_time, watch):
    with pytest.raises(TaskError, match="unknown task"):
        real_time.reset("fly-v3", 0, 0)
    assert real_time.reset("reach-v3", 0, 5).episode == 1


def test_failure_of_the_simulation_is_reported_and_resets_do_not_hang(suite, watch):
    simulation = Simulation(suite)
    pace = RealTime(simulation, watch.show, watch.finished.set, watch.errors.append)
    pace.start()
    pace.reset("reach-v3", 0, 0)
    simulation.step = lambda action: 1 / 0
    assert watch.finished.wait(30)
    assert isinstance(watch.errors[0], ZeroDivisionError)
    with pytest.raises(TaskError, match="has stopped"):
        pace.reset("reach-v3", 0, 0)
    pace.stop()


def test_nothing_runs_before_the_start(suite, watch):
    before = threading.active_count()
    pace = RealTime(Simulation(suite), watch.show, watch.finished.set, watch.errors.append)
    assert threading.active_count() == before
    pace.stop()
    assert not watch.finished.is_set()


def test_failure_at_the_end_is_reported(suite, watch):
    simulation = Simulation(suite)
    pace = RealTime(simulation, watch.show, lambda: 1 / 0, watch.errors.append)
    pace.start()
    pace.stop()
    assert isinstance(watch.errors[0], ZeroDivisionError)


def test_standstill_stops_motion_and_keeps_the_grip():
    fields = (
        ActionField("dx", "m", "cartesian_delta", -1.0, 1.0),
        ActionField("joint", "rad", "joint_position", -1.0, 1.0),
        ActionField("turn", "rad/s", "joint_velocity", -1.0, 1.0),
        ActionField("gripper", "1", "gripper", -1.0, 1.0),
        ActionField("torch", "1", "power", 0.5, 1.0),
    )
    standstill = Standstill(fields)
    assert standstill.after(None).tolist() == [0, 0, 0, 0, 0.5]
    assert standstill.after(np.full(5, 0.75)).tolist() == [0, 0.75, 0, 0.75, 0.75]


def test_simulated_time_and_episodes(suite):
    closed = []
    simulation = Simulation(suite, lambda: closed.append(1))
    first = simulation.reset("reach-v3", 5)
    task = simulation.task
    second = simulation.step(MOVE)
    with pytest.raises(TaskError):
        simulation.reset("reach-v3", -1)
    assert simulation.current is second
    third = simulation.reset("reach-v3", 5)
    assert simulation.task is task
    assert closed == []
    assert [s.stamp for s in (first, second, third)] == [12_500_000, 25_000_000, 37_500_000]
    assert (first.episode, second.episode, third.episode) == (1, 1, 2)
    for name, value in first.sensors.items():
        assert value.tolist() == third.sensors[name].tolist()
    simulation.reset("push-v3", 5)
    assert closed == [1]
    simulation.close()
    assert closed == [1, 1]


def test_pacer_keeps_its_grid_and_skips_what_is_lost():
    pacer = Pacer(100.0)
    start = time.monotonic()
    for _ in range(10):
        pacer.wait()
    assert time.monotonic() - start >= 0.1 - 1e-3
    skipped = pacer.skipped
    time.sleep(0.055)
    pacer.wait()
    assert pacer.skipped - skipped >= 4
    before = time.monotonic()
    pacer.wait()
    pacer.wait()
    assert time.monotonic() - before >= 0.01 - 1e-3


SLEEPER = """
from lram_core.errors import CommandError
from lram_core.signals import run_process
import sys
def body(stop):
    print("up", flush=True)
    if len(sys.argv) > 1:
        raise CommandError("that is impossible")
    stop.sleep(60)
    print("stopped by", stop.reason)
sys.exit(run_process(body))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_request_ends_a_sleep(number):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout.readline() == "up\n"
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == f"stopped by {number.name}\n"
    assert process.returncode == 0


def test_error_of_a_process_is_one_line_and_code_2():
    result = subprocess.run(
        [sys.executable, "-c", SLEEPER, "x"], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (2, "error: that is impossible\n")


def test_video_has_no_file_before_it_is_whole(tmp_path):
    path = tmp_path / "v.mp4"
    writer = Mp4Writer(path, 10.0, 64, 48)
    writer.write(np.zeros((48, 64, 3), np.uint8))
    assert not path.exists()
    writer.close()
    assert path.stat().st_size > 0
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]
    EpisodeVideo(tmp_path / "none.mp4", 80.0).close()
    assert not (tmp_path / "none.mp4").exists()


def test_discarded_video_leaves_no_file_and_no_encoder(tmp_path):
    writer = Mp4Writer(tmp_path / "v.mp4", 10.0, 64, 48)
    writer.write(np.zeros((48, 64, 3), np.uint8))
    assert encoders()
    writer.discard()
    assert encoders() == []
    assert list(tmp_path.iterdir()) == []


def test_encoder_that_fails_at_the_end_is_one_clear_error(tmp_path):
    writer = Mp4Writer(tmp_path / "v.mp4", 10.0, 64, 48)
    (encoder,) = encoders()
    os.kill(encoder, signal.SIGKILL)
    with pytest.raises(CommandError, match="cannot be encoded"):
        writer.close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_filmed_is_refused_at_the_start(tmp_path, monkeypatch):
    import mujoco

    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="cannot be encoded"):
        EpisodeVideo(tmp_path / "file" / "v.mp4", 80.0).probe()

    def broken(*arguments, **options):
        raise ImportError("no libEGL")

    monkeypatch.setattr(mujoco, "Renderer", broken)
    with pytest.raises(CommandError, match=r"MuJoCo cannot draw .*no libEGL; expected: egl"):
        EpisodeVideo(tmp_path / "v.mp4", 80.0).probe()


def encoders():
    """Process ids of the encoders that this process runs."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(c) for c in children if "ffmpeg" in Path(f"/proc/{c}/comm").read_text()]


def test_encoder_that_dies_is_one_clear_error(tmp_path):
    writer = Mp4Writer(tmp_path / "v.mp4", 10.0, 640, 480)
    picture = np.zeros((480, 640, 3), np.uint8)
    writer.write(picture)
    (encoder,) = encoders()
    os.kill(encoder, signal.SIGKILL)

    def write_on():
        for _ in range(100):
            writer.write(picture)
            time.sleep(0.01)

    with pytest.raises(CommandError, match="cannot be encoded") as caught:
        write_on()
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
