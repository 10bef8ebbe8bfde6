"""What colcon and ros2 launch are told exists; the launch file, with and without ``launch_ros``."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lram_ros import demo, episode_driver_node, policy_parameters
from lram_sim import bridge_node

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch" / "sim_demo.launch.py"
CMAKE = (ROOT / "CMakeLists.txt").read_text()
SCRIPTS = sorted((ROOT / "scripts").iterdir())


class Recorded:
    """Stands for any class of launch: keeps what it was called with."""

    def __init__(self, *arguments, **named):
        self.arguments, self.named = arguments, named

    def __getattr__(self, name):
        return self.__dict__["named"][name]


@pytest.fixture
def description(monkeypatch):
    """What the launch file describes, read without ``launch``."""
    names = {
        "launch": ["LaunchDescription"],
        "launch.actions": ["DeclareLaunchArgument", "Shutdown"],
        "launch.conditions": ["IfCondition"],
        "launch.substitutions": ["LaunchConfiguration", "PathJoinSubstitution"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
        "launch_ros.parameter_descriptions": ["ParameterValue"],
        "launch_ros.substitutions": ["FindPackageShare"],
    }
    for name, classes in names.items():
        module = types.ModuleType(name)
        for each in classes:
            setattr(module, each, type(each, (Recorded,), {}))
        monkeypatch.setitem(sys.modules, name, module)
    space = {}
    exec(compile(LAUNCH.read_text(), str(LAUNCH), "exec"), space)
    return space["generate_launch_description"]().arguments[0]


def of(kind, description):
    return [action for action in description if type(action).__name__ == kind]


def defaults(description):
    found = {}
    for action in of("DeclareLaunchArgument", description):
        found[action.arguments[0]] = action.named["default_value"]
    return found


def configurations(value):
    """Names of all launch arguments used in a value, however deep."""
    if isinstance(value, (list, tuple)):
        return {name for each in value for name in configurations(each)}
    if isinstance(value, dict):
        return configurations(list(value.values()))
    if not isinstance(value, Recorded):
        return set()
    if type(value).__name__ == "LaunchConfiguration":
        return set(value.arguments)
    return configurations([value.arguments, list(value.named.values())])


def test_launched_executables_are_installed(description):
    installed = {script.name for script in SCRIPTS}
    nodes = of("Node", description)
    assert {node.executable for node in nodes} == installed - {"lram"}
    assert {node.package for node in nodes} == {"lram_ros"}
    assert all(type(node.on_exit).__name__ == "Shutdown" for node in nodes)


def test_launched_parameters_exist(description):
    known = {
        "sim_bridge": set(bridge_node._PARAMETERS),
        "policy_node": set(policy_parameters.PARAMETERS),
        "recorder": {"output"},
        "episode_driver": set(episode_driver_node.PARAMETERS),
    }
    for node in of("Node", description):
        (parameters,) = node.parameters
        assert set(parameters) <= known[node.executable], node.executable


def test_arguments_are_declared_and_used(description):
    declared = set(defaults(description))
    assert configurations(description) == declared
    texts = [action.named["description"] for action in of("DeclareLaunchArgument", description)]
    assert all(texts)


def test_defaults_are_the_demos(description):
    default = defaults(description)
    assert tuple(default["tasks"].split(",")) == demo.TASKS
    assert int(default["seed"]) == demo.SEED
    assert int(default["episodes"]) == demo.EPISODES
    shared = {name: default[name].arguments[0] for name in ("bundle", "contract")}
    assert "/".join(shared["bundle"][1:]) == demo.BUNDLE
    contract = "/".join(shared["contract"][1:])
    assert (ROOT / contract).is_file()
    for _, *path in shared.values():  # both lie in folders that colcon installs
        assert re.search(rf"install\(DIRECTORY [^)]*\b{path[0]}\b[^)]*DESTINATION share/", CMAKE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_start_what_exists(script):
    assert script.stat().st_mode & stat.S_IXUSR
    assert f"scripts/{script.name}\n" in CMAKE
    imported = ast.parse(script.read_text()).body[0]
    assert callable(getattr(importlib.import_module(imported.module), imported.names[0].name))


def test_all_interfaces_are_built():
    defined = {str(path.relative_to(ROOT)) for k in ("msg", "srv") for path in (ROOT / k).iterdir()}
    assert set(re.findall(r"(?:msg|srv)/\w+\.(?:msg|srv)", CMAKE)) == defined


def test_launch_file_runs(tiny_bundle, tmp_path, ros_domain, monkeypatch):
    """The real thing, where ROS 2 has launch (the wheels have not)."""
    pytest.importorskip("launch_ros")
    # The nodes' scripts start with `env python3`: this Python, as in an activated environment.
    here = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([here, os.environ["PATH"]]))
    monkeypatch.setenv(
        "AMENT_PREFIX_PATH", os.pathsep.join([os.environ.get("AMENT_PREFIX_PATH", ""), sys.prefix])
    )
    arguments = {
        "bundle": str(tiny_bundle),
        "tasks": "reach-v3",
        "episodes": "2",
        "max_steps": "10",
        "output": str(tmp_path / "out"),
        "video": "",
    }
    script = f"""
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource({str(LAUNCH)!r}), launch_arguments={list(arguments.items())!r})]))
sys.exit(service.run())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["episodes"] == 2
    assert (tmp_path / "out" / "bag" / "metadata.yaml").is_file()
