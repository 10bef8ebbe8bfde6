"""The SROS2 policy file allows what the policy node does on the network, and nothing else."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
from click.testing import CliRunner
from loop_rig import Arm
from rclpy.lifecycle import TransitionCallbackReturn
from ros_graph import Peer

from lram_core.errors import CommandError
from lram_ros.contract_commands import contract
from lram_ros.robot_contract import RobotContract
from lram_ros.sros2_policy import HEARD, OWN_TOPICS, SERVICES, sros2_policy

CONFIG = Path(__file__).parents[1] / "config"
CONTRACTS = sorted(p for p in CONFIG.glob("*.yaml") if "format_version:" in p.read_text())


def allowed(text, rule, namespace="", node="policy"):
    """Absolute names that a policy file allows to ``publish``, ``subscribe`` or ``reply``."""
    found = set()
    for group in xml.fromstring(text).iter():
        if group.get(rule) == "ALLOW":
            for name in (entry.text for entry in group):
                name = name.replace("~", f"{namespace}/{node}")
                found.add(name if name.startswith("/") else f"{namespace}/{name}")
    return found


def test_it_is_what_the_node_does(ros_domain, tmp_path):
    with Peer("watcher") as peer:
        arm = Arm(peer, tmp_path)
        try:
            assert arm.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            graph = peer.node
            does = {
                "publish": graph.get_publisher_names_and_types_by_node,
                "subscribe": graph.get_subscriber_names_and_types_by_node,
                "reply": graph.get_service_names_and_types_by_node,
            }
            text = sros2_policy(RobotContract.load(tmp_path / "arm.yaml"))
            peer.until(lambda: "/policy/rearm" in dict(does["reply"]("policy", "/")), 20)
            for rule, names in does.items():
                found = dict(names("policy", "/"))
                may, does_it = allowed(text, rule), set(found)
                assert does_it <= may, rule
                # /clock is heard with use_sim_time alone.
                assert may - does_it <= {"/clock", "/parameter_events"}, rule
                for name, kind in {**OWN_TOPICS, **HEARD, **SERVICES}.items():
                    name = name.replace("~", "/policy")
                    assert found.get(name, [kind]) == [kind]
        finally:
            arm.end()


@pytest.mark.parametrize("path", CONTRACTS, ids=lambda path: path.stem)
def test_command(path):
    arguments = ["sros2", str(path), "--namespace", "/left", "--node", "arm"]
    done = CliRunner().invoke(contract, arguments, catch_exceptions=False)
    root = xml.fromstring(done.output)
    assert root.get("version") == "0.2.0"
    (enclave,), (profile,) = root.iter("enclave"), root.iter("profile")
    assert enclave.get("path") == "/left/arm"
    assert (profile.get("ns"), profile.get("node")) == ("/left", "arm")
    robot = RobotContract.load(path)
    for sink in robot.sinks:
        assert f"/left/{sink.topic}" in allowed(done.output, "publish", "/left", "arm")
    for topic in robot.topics:
        assert f"/left/{topic.topic}" in allowed(done.output, "subscribe", "/left", "arm")


def test_a_relative_namespace_is_refused():
    with pytest.raises(CommandError, match="begin with '/', found 'left'"):
        CliRunner().invoke(
            contract, ["sros2", str(CONTRACTS[0]), "--namespace", "left"], catch_exceptions=False
        )
