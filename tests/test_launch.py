"""Each launch file for real, as a process: the graph it makes, and nothing left after Ctrl-C.

Runs where ROS 2 has ``launch_ros``; the wheels have not. tests/test_launch_files.py reads the same
files everywhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bag_rig import read_traces, said
from launch_reading import FILES, ROOT, Description
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from loop_rig import COMMANDS, PATIENT, arm_bundle, arm_contract
from marked_processes import marked, marking
from rcl_interfaces.srv import GetParameters
from ros_graph import CONTRACT, Peer, default_signals
from std_msgs.msg import Float64MultiArray

from lram_ros.msg import EpisodeStatus, PolicyTick
from lram_ros.srv import ResetEpisode

pytest.importorskip("launch_ros")

SCRIPT = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

path, *given = sys.argv[1:]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(path), launch_arguments=[g.split(":=", 1) for g in given])]))
sys.exit(service.run())
"""


@pytest.fixture
def mark(monkeypatch):
    with marking(monkeypatch) as mark:
        yield mark


@pytest.fixture
def peer(ros_domain):
    with Peer() as peer:
        yield peer


@pytest.fixture
def start(ros_domain, tmp_path, monkeypatch, mark):
    """Gives a function that launches a file of this tree by its name."""
    # An installation made of links, so that it is this tree that runs.
    prefix = tmp_path / "prefix"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    share = prefix / "share" / "lram_ros"
    for folder in (index, share, prefix / "lib"):
        folder.mkdir(parents=True)
    (index / "lram_ros").touch()
    for name in ("package.xml", "launch", "config", "models"):
        (share / name).symlink_to(ROOT / name)
    (prefix / "lib" / "lram_ros").symlink_to(ROOT / "scripts")
    others = os.environ.get("AMENT_PREFIX_PATH", "")
    prefixes = [str(prefix), *filter(None, [others]), sys.prefix]
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(prefixes))
    # The nodes' scripts start with `env python3`: this Python, as in an activated environment.
    here = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([here, os.environ["PATH"]]))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "ros_home"))

    def start(name, **arguments):
        return Launched(tmp_path / f"{name}.txt", mark, name, arguments)

    return start


class Launched:
    """A launch file that runs as a process of its own."""

    def __init__(self, log, mark, name, arguments):
        self._log, self._mark = log, mark
        words = [f"{key}:={value}" for key, value in arguments.items()]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, str(ROOT / "launch" / f"{name}.launch.py"), *words],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=default_signals,
            )

    @property
    def output(self):
        return self._log.read_text(errors="replace")

    def end(self, number=None, timeout=120):
        """Wait for the end, after a signal or by itself; nothing may be left then."""
        if number is not None:
            os.killpg(self.process.pid, number)  # all of them get it, as from a terminal
        code = self.process.wait(timeout)
        assert "Traceback" not in self.output, self.output
        assert marked(self._mark) == {}, self.output
        return code

    def until(self, peer, done, timeout=90):
        def there():
            assert self.process.poll() is None, self.output
            return done()

        peer.until(there, timeout)


def nodes(peer):
    """Names of the nodes in the graph, but for the test's own and launch's."""
    names = set(peer.node.get_node_names_and_namespaces())
    return {
        f"{space.rstrip('/')}/{name}"
        for name, space in names
        if name != "peer" and not name.startswith("launch_ros")
    }


def until_alone(peer):
    peer.until(lambda: nodes(peer) == set())


@pytest.fixture
def arm(tmp_path, peer, start):
    """A mock arm in the namespace left; gives (contract, bundle)."""
    contract, bundle = arm_contract(tmp_path), arm_bundle(tmp_path)
    log = (tmp_path / "mock.log").open("wb")
    command = [sys.executable, "-m", "lram_core.cli", "mock-robot", str(contract)]
    mock = subprocess.Popen(
        [*command, "--", "--ros-args", "-r", "__ns:=/left"],
        stdout=log,
        stderr=subprocess.STDOUT,
        preexec_fn=default_signals,
        env={k: v for k, v in os.environ.items() if k != "LRAM_TEST_RUN"},
    )
    yield contract, bundle
    mock.kill()
    mock.wait()
    log.close()


def policy_params(folder, **changes):
    """A copy of the shipped file, changed as its head tells the user to."""
    data = yaml.safe_load((ROOT / "config" / "params" / "policy.yaml").read_text())
    data["/**/policy"]["ros__parameters"].update(changes)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def state(peer):
    return peer.call(GetState, "/left/policy/get_state").current_state.id


def test_policy_drives_a_robot(start, peer, arm, tmp_path):
    contract, bundle = arm
    params = policy_params(tmp_path, bundle="the argument wins", threads=2, **PATIENT)
    launched = start(
        "policy", bundle=bundle, contract=contract, params_file=params, namespace="left"
    )
    commands = peer.listen(Float64MultiArray, f"/left/{COMMANDS}")
    launched.until(peer, lambda: len(commands) > 20)
    assert nodes(peer) == {"/left/mock_robot", "/left/policy"}
    assert state(peer) == State.PRIMARY_STATE_ACTIVE
    names = ["bundle", "contract", "threads", "late_after", "autostart", "use_sim_time"]
    values = peer.call(GetParameters, "/left/policy/get_parameters", names=names).values
    assert [values[0].string_value, values[1].string_value] == [str(bundle), str(contract)]
    assert (values[2].integer_value, values[3].double_value) == (2, PATIENT["late_after"])
    assert (values[4].bool_value, values[5].bool_value) == (True, False)

    assert launched.end(signal.SIGINT) == 0, launched.output
    assert "stopped: shutdown" in launched.output
    peer.until(lambda: nodes(peer) == {"/left/mock_robot"})


def test_policy_waits_for_a_manager(start, peer, arm, tmp_path):
    contract, bundle = arm
    launched = start(
        "policy", bundle=bundle, contract=contract, namespace="left", autostart="false",
        params_file=policy_params(tmp_path, **PATIENT),
    )  # fmt: skip
    launched.until(peer, lambda: "/left/policy" in nodes(peer))
    assert state(peer) == State.PRIMARY_STATE_UNCONFIGURED
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        request = Transition(id=transition)
        answer = peer.call(ChangeState, "/left/policy/change_state", transition=request)
        assert answer.success, launched.output
    assert state(peer) == State.PRIMARY_STATE_ACTIVE
    assert launched.end(signal.SIGINT) == 0, launched.output


def test_a_policy_that_refuses_ends_the_launch(start, peer, arm):
    contract, _ = arm
    launched = start("policy", bundle="absent", contract=contract, namespace="left")
    launched.end()
    assert "absent" in launched.output
    assert "exit code 2" in launched.output


def test_sim_runs_episodes_on_request(start, peer, tiny_bundle):
    launched = start("sim", bundle=tiny_bundle, contract=CONTRACT, namespace="cell")
    statuses = peer.listen(EpisodeStatus, "/cell/episode")
    launched.until(peer, lambda: "ready" in launched.output.split("metaworld on ")[-1])
    answer = peer.call(ResetEpisode, "/cell/reset_episode", task="reach-v3", seed=1)
    assert answer.success, answer.message
    launched.until(peer, lambda: statuses and statuses[-1].tick > 10)
    assert nodes(peer) == {"/cell/sim_bridge", "/cell/policy"}
    names = ["use_sim_time"]
    values = peer.call(GetParameters, "/cell/policy/get_parameters", names=names).values
    assert values[0].bool_value
    assert launched.end(signal.SIGINT) == 0, launched.output
    until_alone(peer)


def test_sim_demo_reports_and_ends(start, peer, tiny_bundle, tmp_path):
    out = tmp_path / "out"
    launched = start(
        "sim_demo", bundle=tiny_bundle, tasks="reach-v3", episodes=2, max_steps=10, output=out,
        video="",
    )  # fmt: skip
    assert launched.end() == 0, launched.output
    summary = json.loads((out / "summary.json").read_text())
    assert summary["episodes"] == 2
    assert (out / "bag" / "metadata.yaml").is_file()


def test_sim_demo_stops_in_the_middle(start, peer, tiny_bundle, tmp_path):
    out = tmp_path / "out"
    launched = start(
        "sim_demo", bundle=tiny_bundle, tasks="reach-v3", episodes=200, output=out, video=""
    )
    traces = peer.listen(PolicyTick, "policy/tick")
    launched.until(peer, lambda: len(traces) > 10)
    assert nodes(peer) == {"/sim_bridge", "/policy", "/recorder", "/episode_driver"}
    assert launched.end(signal.SIGINT) == 0, launched.output
    assert (out / "bag" / "metadata.yaml").is_file()  # closed in good order
    until_alone(peer)


def test_replay_gives_the_recorded_actions(start, peer, recorded_demo, tmp_path):
    bundle, bag = recorded_demo
    out = tmp_path / "replayed"
    launched = start("replay", bag=bag, bundle=bundle, contract=CONTRACT, rate=10, record_to=out)
    assert launched.end() == 0, launched.output
    traces = read_traces(bag)
    assert len(traces) == 80
    assert said(read_traces(out)) == said(traces)


def test_replay_stops_in_the_middle(start, peer, recorded_demo):
    bundle, bag = recorded_demo
    launched = start(
        "replay", bag=bag, bundle=bundle, contract=CONTRACT, rate="0.05", namespace="again"
    )
    traces = peer.listen(PolicyTick, "/again/policy/tick")
    launched.until(peer, lambda: traces)
    assert nodes(peer) == {"/again/policy", "/again/bag_player"}
    assert launched.end(signal.SIGINT) == 0, launched.output
    until_alone(peer)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_arguments_are_those_that_were_read(start, path, monkeypatch):
    """What ``ros2 launch --show-args`` shows is what tests/test_launch_files.py has looked at."""
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    real = get_launch_description_from_python_launch_file(str(path)).get_launch_arguments()
    with monkeypatch.context() as patch:
        read = Description(path, patch).arguments
    assert {argument.name for argument in real} == set(read)
    for argument in real:  # launch adds the choices
        assert argument.description.startswith(read[argument.name].named["description"])
    required = {argument.name for argument in real if argument.default_value is None}
    assert required == {n for n, a in read.items() if "default_value" not in a.named}
