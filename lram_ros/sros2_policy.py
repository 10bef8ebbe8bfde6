"""What a policy node may say and hear, as a policy file of SROS2. Free of rclpy.

`SROS2 <https://design.ros2.org/articles/ros2_access_control_policies.html>`_ has each node (in its
enclave) do on the network what a signed file allows, and nothing else. What the policy node needs
follows from the robot contract, so the file is made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as xml

from lram_ros.robot_contract import RobotContract

VERSION = "0.2.0"  # of the file's schema
OWN_TOPICS = ("~/tick", "~/transition_event", "/diagnostics", "/rosout", "/parameter_events")
HEARD = ("~/stop", "/clock", "/parameter_events")
SERVICES = (
    *("~/rearm", "~/reset_episode", "~/set_target_return", "~/switch_bundle"),
    *("~/change_state", "~/get_state", "~/get_available_states"),
    *("~/get_available_transitions", "~/get_transition_graph"),
    *("~/describe_parameters", "~/get_parameter_types", "~/get_parameters", "~/list_parameters"),
    *("~/set_parameters", "~/set_parameters_atomically", "~/get_type_description"),
)


def sros2_policy(robot: RobotContract, namespace: str = "/", node: str = "policy") -> str:
    """Return a policy file for the policy node of a robot.

    It may publish the contract's commands and its own reports, hear the contract's inputs, the
    external stop and ``/clock``, and answer its services; nothing else.

    Args:
        robot: contract that names the topics; relative names are the namespace's.
        namespace, node: what the node is called.

    Returns:
        XML in the schema of ``sros2`` (policy version 0.2.0).
    """
    root = xml.Element("policy", version=VERSION)
    path = f"{namespace.rstrip('/')}/{node}"
    enclave = xml.SubElement(xml.SubElement(root, "enclaves"), "enclave", path=path)
    profile = xml.SubElement(
        xml.SubElement(enclave, "profiles"), "profile", ns=namespace, node=node
    )
    said = [*(sink.topic for sink in robot.sinks), *OWN_TOPICS]
    heard = [*(topic.topic for topic in robot.topics), *HEARD]
    _expressions(profile, "topic", {"publish": "ALLOW"}, said)
    _expressions(profile, "topic", {"subscribe": "ALLOW"}, heard)
    _expressions(profile, "service", {"reply": "ALLOW"}, SERVICES)
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _expressions(
    profile: xml.Element, kind: str, rule: dict[str, str], names: Iterable[str]
) -> None:
    group = xml.SubElement(profile, f"{kind}s", rule)
    for name in dict.fromkeys(names):
        xml.SubElement(group, kind).text = name
