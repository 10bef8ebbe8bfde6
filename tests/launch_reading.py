"""Launch files read without ``launch``: what they would start, with which arguments."""

from __future__ import annotations

import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
_MODULES = (
    *("launch", "launch.actions", "launch.conditions", "launch.substitutions"),
    *("launch_ros", "launch_ros.actions", "launch_ros.parameter_descriptions"),
    "launch_ros.substitutions",
)
_INDEX = "ament_index_python.packages"


class Recorded:
    """Stands for any class of launch: keeps what it was called with."""

    def __init__(self, *arguments, **named):
        self.arguments, self.named = arguments, named

    def __getattr__(self, name):
        return self.__dict__["named"][name]


class _Module(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (Recorded,), {})
        setattr(self, name, made)
        return made


class Description:
    """What a launch file describes.

    Attributes:
        arguments: name → its DeclareLaunchArgument.
        nodes: executable → its Node.
    """

    def __init__(self, path, monkeypatch):
        for name in _MODULES:
            monkeypatch.setitem(sys.modules, name, _Module(name))
        index = types.ModuleType(_INDEX)
        index.get_package_share_directory = {"lram_ros": str(ROOT)}.__getitem__
        monkeypatch.setitem(sys.modules, _INDEX, index)
        space = {}
        exec(compile(path.read_text(), str(path), "exec"), space)
        self.path = path
        self.actions = space["generate_launch_description"]().arguments[0]
        self.arguments = {a.arguments[0]: a for a in self._of("DeclareLaunchArgument")}
        self.nodes = {node.executable: node for node in self._of("Node", "LifecycleNode")}
        assert len(self.arguments) + len(self.nodes) == len(self.actions), "unknown or doubled"

    def _of(self, *kinds):
        return [action for action in self.actions if type(action).__name__ in kinds]

    def default(self, name):
        """Of an argument; a file of this package as a path below its root."""
        value = self.arguments[name].named["default_value"]
        return value.removeprefix(f"{ROOT}/") if isinstance(value, str) else value

    def parameters(self, executable):
        """Names of the parameters that the launch file itself gives to a node."""
        given = self.nodes[executable].named["parameters"]
        return {name for part in given if isinstance(part, dict) for name in part}


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
