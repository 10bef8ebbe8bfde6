"""Each launch file, read without ``launch``: it starts what exists, with parameters that exist."""

from __future__ import annotations

import math
import re

import pytest
import yaml
from launch_reading import FILES, ROOT, Description, configurations

from lram_ros import bag_player_node, demo, episode_driver_node, policy_parameters
from lram_sim import bridge_node

CMAKE = (ROOT / "CMakeLists.txt").read_text()
SCRIPTS = {script.name for script in (ROOT / "scripts").iterdir()}
PARAMS = sorted((ROOT / "config" / "params").glob("*.yaml"))
EXECUTABLES = {
    "policy": {"policy_node"},
    "sim": {"sim_bridge", "policy_node"},
    "sim_demo": {"sim_bridge", "policy_node", "recorder", "episode_driver"},
    "replay": {"policy_node", "recorder", "bag_player"},
}
KNOWN = {
    "sim_bridge": set(bridge_node.PARAMETERS),
    "policy_node": set(policy_parameters.PARAMETERS),
    "recorder": {"output"},
    "episode_driver": set(episode_driver_node.PARAMETERS),
    "bag_player": set(bag_player_node.PARAMETERS),
}
NODES = {"policy": "policy_node"}  # name of a node → its executable, where they differ


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def description(request, monkeypatch):
    return Description(request.param, monkeypatch)


def read_params(path):
    """Node name → parameters of a file for ``--params-file``."""
    found = {}
    for pattern, section in yaml.safe_load(path.read_text()).items():
        assert re.fullmatch(r"/\*\*/\w+", pattern), "a node must be found in any namespace"
        assert list(section) == ["ros__parameters"]
        found[pattern.removeprefix("/**/")] = section["ros__parameters"]
    return found


def test_every_file_is_known():
    assert {path.name.removesuffix(".launch.py") for path in FILES} == set(EXECUTABLES)


def test_installed_executables_are_started(description):
    name = description.path.name.removesuffix(".launch.py")
    assert set(description.nodes) == EXECUTABLES[name]
    assert set(description.nodes) <= SCRIPTS
    for node in description.nodes.values():
        assert node.package == "lram_ros"
        assert node.output == "screen"
        if len(EXECUTABLES[name]) > 1:
            assert type(node.on_exit).__name__ == "Shutdown"  # nothing runs on without the rest


def test_given_parameters_exist(description):
    for executable in description.nodes:
        given = description.parameters(executable) - {"use_sim_time"}  # every node has it
        assert given <= KNOWN[executable], executable


def test_arguments_are_described_and_used(description):
    assert configurations(description.actions) == set(description.arguments)
    for name, argument in description.arguments.items():
        text = argument.named["description"]
        assert text.endswith("."), name
        assert len(text) <= 80, name  # a line of --show-args
    required = [n for n, a in description.arguments.items() if "default_value" not in a.named]
    usage = description.actions and description.path.read_text().split('"""')[1]
    assert all(f"{name}:=" in usage for name in required)  # the file's own example gives them
    named = set(re.findall(r"(\w+):=", usage))
    assert named <= set(description.arguments)
    assert f"ros2 launch lram_ros {description.path.name} --show-args" in usage


def test_files_named_by_default_exist_and_are_installed(description):
    for name in description.arguments:
        if "default_value" not in description.arguments[name].named:
            continue
        default = description.default(name)
        if isinstance(default, str) and default.startswith(("config/", "models/")):
            assert (ROOT / default).exists()
            folder = default.split("/")[0]
            assert re.search(rf"install\(DIRECTORY [^)]*\b{folder}\b[^)]*DESTINATION share/", CMAKE)


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: path.name)
def test_params_files_set_what_exists_and_what_no_argument_sets(path, monkeypatch):
    description = Description(ROOT / "launch" / f"{path.stem}.launch.py", monkeypatch)
    assert description.default("params_file") == f"config/params/{path.name}"
    for node, values in read_params(path).items():
        executable = NODES.get(node, node)
        assert set(values) <= KNOWN[executable]
        assert not set(values) & description.parameters(executable)  # that would have no effect


def test_the_policys_params_file_is_complete():
    text = (ROOT / "config" / "params" / "policy.yaml").read_text()
    values = read_params(ROOT / "config" / "params" / "policy.yaml")["policy"]
    mentioned = set(re.findall(r"^    # (\w+): ", text, flags=re.MULTILINE))
    assert set(values) | mentioned == set(policy_parameters.PARAMETERS)
    for name, value in values.items():
        default = policy_parameters.PARAMETERS[name][0]
        assert type(value) is type(default), name
        assert value == default or (math.isnan(value) and math.isnan(default)), name


def test_params_of_the_other_nodes_are_their_defaults():
    sim = read_params(ROOT / "config" / "params" / "sim.yaml")["sim_bridge"]
    for name, value in sim.items():
        assert value == bridge_node.PARAMETERS[name][0], name
    player = read_params(ROOT / "config" / "params" / "replay.yaml")["bag_player"]
    for name, value in player.items():
        assert value == bag_player_node.PARAMETERS[name][0], name


def test_the_demos_defaults_are_the_commands(monkeypatch):
    description = Description(ROOT / "launch" / "sim_demo.launch.py", monkeypatch)
    assert tuple(description.default("tasks").split(",")) == demo.TASKS
    assert int(description.default("seed")) == demo.SEED
    assert int(description.default("episodes")) == demo.EPISODES
    assert description.default("bundle") == demo.BUNDLE
