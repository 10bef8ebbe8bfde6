"""Does this robot fit this policy? The robot contract against the bundle and against its types.

Every disagreement is a ContractError that names both sides. What is published right now is checked
apart, in :mod:`lram_ros.live_check`, because only that needs a running graph.
"""

from __future__ import annotations

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError, listed
from lram_ros.message_fields import FieldReader, has_header, message_class
from lram_ros.robot_contract import InputTopic, RobotContract

COMMAND_TYPE = "lram_ros/msg/ActionCommand"
EPISODE_TYPE = "lram_ros/msg/EpisodeStatus"


def check_contract(robot: RobotContract, policy: PolicyContract) -> None:
    """Compare the robot's half of the contract with the bundle's.

    Raises:
        ContractError: robot, gripper, control rate, a field's name, size or unit, an action's
            name, unit or limits, or a message type does not fit.
    """
    for what in ("robot", "gripper"):
        found, expected = getattr(robot, what), getattr(policy, what)
        if found != expected:
            raise ContractError(
                f"{robot.source}: {what} is '{found}', the bundle was trained on '{expected}'"
            )
    if abs(robot.control_rate - policy.control_rate) > 1e-6 * policy.control_rate:
        raise ContractError(
            f"{robot.source}: control_rate is {robot.control_rate:g} Hz, the bundle was trained "
            f"at {policy.control_rate:g} Hz"
        )
    _check_names(
        f"{robot.source}: observation field", list(robot.observation_fields), list(policy.sensors)
    )
    _check_names(
        f"{robot.source}: command field",
        [field.name for field in robot.command.fields],
        policy.action_names,
    )
    check_types(robot)
    _check_observation(robot, policy)
    _check_command(robot, policy)


def check_types(robot: RobotContract) -> None:
    """Check the message types of a robot contract: known, with the fields it names, stamped."""
    for role, found, expected in (
        ("command", robot.command.type, COMMAND_TYPE),
        ("episode", robot.episode.type, EPISODE_TYPE),
    ):
        if found != expected:
            raise ContractError(f"{robot.source}: {role}: type is {found}, expected {expected}")
    for topic in robot.topics:
        try:
            cls = message_class(topic.type)
        except ContractError as error:
            raise ContractError(f"{robot.source}: {topic.topic}: {error}") from None
        if robot.tick_source == "observation" and not has_header(cls):
            raise ContractError(
                f"{robot.source}: {topic.topic}: {topic.type} has no header, and tick_source "
                f"'observation' joins inputs by their stamps; use stamped messages, or 'clock'"
            )
    if isinstance(robot.reward, float):
        return
    reward = field_readers(robot, robot.reward)[0]
    if reward.size != 1:
        raise ContractError(f"{reward.where}: expected one number, found {reward.size} values")


def field_readers(robot: RobotContract, topic: InputTopic) -> list[FieldReader]:
    """Return a reader for each field of ``topic``. Raises ContractError as FieldReader."""
    where = f"{robot.source}: {topic.topic}"
    return [FieldReader(field, topic.type, where) for field in topic.fields]


def _check_names(what: str, found: list[str], expected: list[str]) -> None:
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing or extra:
        problem = " and ".join(
            text
            for text in (
                f"{listed(missing)} is missing" if missing else "",
                f"{listed(extra)} is not in the bundle" if extra else "",
            )
            if text
        )
        raise ContractError(
            f"{what} {problem}; the bundle expects {listed(expected)}, "
            f"the robot contract has {listed(found)}"
        )


def _check_observation(robot: RobotContract, policy: PolicyContract) -> None:
    units = {field.name: field.unit for field in policy.observation}
    for topic in robot.inputs:
        for reader in field_readers(robot, topic):
            name = reader.source.name
            size, unit = policy.sensors[name], reader.source.unit
            # None: an array of any length; each message is checked against the bundle's size.
            if reader.size not in (size, None):
                raise ContractError(
                    f"{reader.where}: gives {reader.size} values, the bundle expects {size}"
                )
            if unit != units[name]:
                raise ContractError(
                    f"{reader.where}: unit is '{unit}', the bundle expects '{units[name]}'"
                )


def _check_command(robot: RobotContract, policy: PolicyContract) -> None:
    ours = {field.name: field for field in robot.command.fields}
    for theirs in policy.action:
        field = ours[theirs.name]
        where = f"{robot.source}: command: {field.name}"
        if field.unit != theirs.unit:
            raise ContractError(
                f"{where}: unit is '{field.unit}', the bundle commands '{theirs.unit}'"
            )
        if max(field.low, theirs.low) >= min(field.high, theirs.high):
            raise ContractError(
                f"{where}: limits {field.low:g} … {field.high:g} do not overlap the bundle's "
                f"{theirs.low:g} … {theirs.high:g}"
            )
