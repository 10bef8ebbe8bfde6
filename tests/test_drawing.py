"""Where MuJoCo finds nothing to draw with: what is not looked at runs, pictures are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ros_graph import processes

LRAM = (sys.executable, "-m", "lram_core.cli")
# Stands for a machine without them; found by every Python process that starts with it.
WITHOUT_LIBRARIES = """
import ctypes

load = ctypes.CDLL.__init__

def absent(self, name, *others, **more):
    if name and ("EGL" in str(name) or "OSMesa" in str(name)):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")
    load(self, name, *others, **more)

ctypes.CDLL.__init__ = absent
"""
SIMULATE = """
import os
import sys
from lram_core.errors import CommandError
from lram_sim.suite_registry import get_suite
task = get_suite(sys.argv[1]).make(sys.argv[2])
task.reset(1)
task.step([0.0] * len(task.action_fields))
from lram_sim.video import Camera
try:
    Camera(task.model, "", 32, 32)
except CommandError as error:
    print(error)
print(os.environ["MUJOCO_GL"])
"""
INSTALL = "expected: egl (Debian and Ubuntu: libegl1, libgl1), osmesa (libosmesa6)"


@pytest.fixture
def gl(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A value of MUJOCO_GL with which nothing can be drawn in new processes."""
    without = tmp_path / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text(WITHOUT_LIBRARIES)
    monkeypatch.setenv("PYTHONPATH", str(without), prepend=os.pathsep)
    monkeypatch.setenv("MUJOCO_GL", request.param)
    return str(request.param)


only_egl = pytest.mark.parametrize("gl", ["egl"], indirect=True)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    ("gl", "suite", "task"),
    [
        ("egl", "metaworld", "reach-v3"),
        ("osmesa", "dmcontrol-pendulum", "swingup"),
        ("crayons", "robosuite-panda", "lift"),
    ],
    indirect=["gl"],
)
def test_a_task_runs_and_its_camera_says_what_to_install(gl: str, suite: str, task: str) -> None:
    done = run(sys.executable, "-c", SIMULATE, suite, task)
    assert done.returncode == 0, done.stderr
    message, variable = done.stdout.splitlines()
    assert message.startswith(f"MuJoCo cannot draw with MUJOCO_GL={gl}: ")
    assert INSTALL in message
    assert variable == gl
    assert "Traceback" not in done.stderr


@only_egl
def test_collecting_needs_it_for_pictures_alone(gl: str, tmp_path: Path) -> None:
    out = tmp_path / "data"
    words = ("--tasks", "reach-v3", "--episodes", 1, "--noise", 0, "--workers", 1, "--out", out)
    command = (*LRAM, "collect", "metaworld", *words)
    refused = run(*command, "--camera", "corner2")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: MuJoCo cannot draw with MUJOCO_GL=egl: ")
    assert len(refused.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["without"]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert out.is_dir()


@only_egl
def test_the_bridge_needs_it_for_pictures_alone(
    gl: str, ros_domain: object, tmp_path: Path
) -> None:
    with processes(tmp_path) as start:
        blind = start("lram_sim.bridge_node")
        for asked in ({"camera": "corner2"}, {"video_path": tmp_path / "v.mp4"}):
            node = start("lram_sim.bridge_node", **asked)
            assert node.wait(60) == 2
            assert node.output.startswith("error: MuJoCo cannot draw with MUJOCO_GL=egl: ")
            assert INSTALL in node.output
            assert len(node.output.splitlines()) == 1
        blind.wait_for("ready: metaworld")


@only_egl
def test_the_demonstration_is_refused_before_anything_is_started(
    gl: str, tiny_bundle: Path, tmp_path: Path
) -> None:
    done = run(*LRAM, "demo", "--bundle", tiny_bundle, "--out", tmp_path / "demo")
    assert done.returncode == 2
    assert done.stderr.startswith("error: MuJoCo cannot draw with MUJOCO_GL=egl: ")
    assert done.stderr.endswith("; --no-video films nothing\n")
    assert len(done.stderr.splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"without", tiny_bundle.name}
