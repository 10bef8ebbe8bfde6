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
PARAMETER_EVENT = "rcl_interfaces/msg/ParameterEvent"
OWN_TOPICS = {
    "~/tick": "lram_ros/msg/PolicyTick",
    "~/transition_event": "lifecycle_msgs/msg/TransitionEvent",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
    "/rosout": "rcl_interfaces/msg/Log",
    "/parameter_events": PARAMETER_EVENT,
}
HEARD = {
    "~/stop": "std_msgs/msg/Bool",
    "/clock": "rosgraph_msgs/msg/Clock",
    "/parameter_events": PARAMETER_EVENT,
}
SERVICES = {
    "~/rearm": "std_srvs/srv/Trigger",
    "~/reset_episode": "std_srvs/srv/Trigger",
    "~/set_target_return": "lram_ros/srv/SetTargetReturn",
    "~/switch_bundle": "lram_ros/srv/SwitchBundle",
    "~/change_state": "lifecycle_msgs/srv/ChangeState",
    "~/get_state": "lifecycle_msgs/srv/GetState",
    "~/get_available_states": "lifecycle_msgs/srv/GetAvailableStates",
    "~/get_available_transitions": "lifecycle_msgs/srv/GetAvailableTransitions",
    "~/get_transition_graph": "lifecycle_msgs/srv/GetAvailableTransitions",
    "~/describe_parameters": "rcl_interfaces/srv/DescribeParameters",
    "~/get_parameter_types": "rcl_interfaces/srv/GetParameterTypes",
    "~/get_parameters": "rcl_interfaces/srv/GetParameters",
    "~/list_parameters": "rcl_interfaces/srv/ListParameters",
    "~/set_parameters": "rcl_interfaces/srv/SetParameters",
    "~/set_parameters_atomically": "rcl_interfaces/srv/SetParametersAtomically",
    "~/get_type_description": "type_description_interfaces/srv/GetTypeDescription",
}
"""Name → type, of what a policy node publishes, hears and answers whatever its robot."""


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
