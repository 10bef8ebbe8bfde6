"""The install that colcon makes of CMakeLists.txt, made for real: it runs by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [
    *("CMakeLists.txt", "package.xml", "cmake", "msg", "srv", "config", "launch", "models"),
    *("lram_core", "lram_ros", "sim", "scripts"),
]


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The installed workspace, and the environment that a sourced one has."""
    source = tmp_path_factory.mktemp("workspace") / "lram_ros"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            # The messages beside the sources belong to the pip install that runs this test.
            generated = shutil.ignore_patterns("__pycache__", "*.so", "_lib")
            shutil.copytree(ROOT / name, source / name, ignore=generated)
        else:
            shutil.copy(ROOT / name, source)
    for kind in ("msg", "srv"):
        shutil.rmtree(source / "lram_ros" / kind, ignore_errors=True)
    prefix = source.parent / "install"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    ros = os.pathsep.join([sys.prefix, *filter(None, [env.get("AMENT_PREFIX_PATH")])])
    env["AMENT_PREFIX_PATH"] = env["CMAKE_PREFIX_PATH"] = ros
    build = source.parent / "build"
    for command in (
        ["cmake", "-S", source, "-B", build, "-Wno-dev", f"-DCMAKE_INSTALL_PREFIX={prefix}",
         f"-DPython3_EXECUTABLE={sys.executable}"],
        ["cmake", "--build", build, "--parallel", "2"],
        ["cmake", "--install", build],
    ):  # fmt: skip
        done = subprocess.run(
            [str(word) for word in command], env=env, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    modules = next(prefix.glob("**/lram_ros/msg/__init__.py")).parents[2]
    env["PYTHONPATH"] = str(modules)
    libraries = [str(prefix / "lib"), env.get("LD_LIBRARY_PATH", "")]
    env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    env["AMENT_PREFIX_PATH"] = os.pathsep.join([str(prefix), ros])
    return prefix, env


def test_packages_and_messages_import_from_the_install(
    install: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    prefix, env = install
    code = (
        "import lram_core, lram_ros, lram_sim, lram_ros.policy_node, lram_sim.bridge_node\n"
        "from lram_ros.msg import PolicyTick\n"
        "PolicyTick(tick=3)\n"
        "from lram_core.native import library\n"
        "assert library.problem() is None, library.problem()\n"
        "print(lram_core.__file__, lram_ros.__file__, lram_sim.__file__, sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(prefix) for line in done.stdout.splitlines()[-3:])


def test_executables_start(install: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    prefix, env = install
    folder = prefix / "lib" / "lram_ros"
    assert {p.name for p in folder.iterdir()} == {p.name for p in (ROOT / "scripts").iterdir()}
    for name, arguments, code, said in (
        ("lram", ["--help"], 0, "collect"),
        ("policy_node", ["--ros-args", "-p", "bundle:=absent"], 2, "absent"),
        ("sim_bridge", ["--ros-args", "-p", "suite:=absent"], 2, "unknown suite 'absent'"),
        ("bag_player", ["--ros-args", "-p", "bag:=absent"], 2, "absent: no such bag"),
    ):
        done = subprocess.run(
            [folder / name, *arguments], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == code, (name, done.stdout, done.stderr)
        assert said in done.stdout + done.stderr
    share = prefix / "share" / "lram_ros"
    for folder in ("config", "launch"):
        files = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.*")}
        assert {path.relative_to(share) for path in (share / folder).rglob("*.*")} >= files
    assert (share / "models" / "README.md").is_file()
