"""Does this robot fit this policy? The robot contract against the bundle and against its types.

Every disagreement is one line that names both sides. What is published right now is checked apart,
in :mod:`lram_ros.live_check`, because only that needs a running graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lram_core.contract import PolicyContract
from lram_core.errors import ContractError, RuntimeUnavailable, listed
from lram_ros.adapters.feedback import find_feedback
from lram_ros.adapters.kinds import make_mapper
from lram_ros.adapters.registry import make_adapter
from lram_ros.adapters.sink import CommandSink
from lram_ros.adapters.table import ACTION_COMMAND
from lram_ros.input_topic import InputTopic
from lram_ros.message_fields import FieldReader, has_header, message_class
from lram_ros.robot_contract import RobotContract

COMMAND_TYPE = ACTION_COMMAND
EPISODE_TYPE = "lram_ros/msg/EpisodeStatus"


def check_contract(robot: RobotContract, policy: PolicyContract) -> None:
    """Compare the robot's half of the contract with the bundle's.

    Raises:
        ContractError: the first of :func:`disagreements`, and how many more there are.
    """
    problems = list(disagreements(robot, policy))
    if problems:
        more = len(problems) - 1
        told = f"; {more} more, 'lram contract check' tells all" if more else ""
        raise ContractError(problems[0] + told)


def disagreements(robot: RobotContract, policy: PolicyContract) -> Iterator[str]:
    """Yield a line for each thing that does not fit.

    Compared are robot, gripper, control rate, and the controller where the bundle names one; names,
    sizes and units of observation fields; names, kinds, units and limits of action fields; and the
    message types with what they hold.
    """
    for what in ("robot", "gripper", *(["controller"] if policy.controller else [])):
        found, expected = getattr(robot, what), getattr(policy, what)
        if found != expected:
            yield f"{robot.source}: {what} is '{found}', the bundle was trained on '{expected}'"
    if abs(robot.control_rate - policy.control_rate) > 1e-6 * policy.control_rate:
        yield (
            f"{robot.source}: control_rate is {robot.control_rate:g} Hz, the bundle was trained "
            f"at {policy.control_rate:g} Hz"
        )
    fields = list(robot.observation_fields)
    yield from _names(f"{robot.source}: observation field", fields, list(policy.sensors))
    yield from _names(f"{robot.source}: command field", robot.action_names, policy.action_names)
    yield from _types(robot, policy)
    for sink in robot.sinks:
        yield from _sink(robot, sink, policy)


def check_types(robot: RobotContract) -> None:
    """Check the message types of a robot contract: known, with the fields it names, stamped.

    Raises:
        ContractError: the first that is not.
    """
    for problem in _types(robot, None):
        raise ContractError(problem)


def field_readers(
    robot: RobotContract, topic: InputTopic, policy: PolicyContract | None = None
) -> list[FieldReader]:
    """Return a reader for each field of ``topic``, which converts to the units of ``policy``.

    Without a policy the values stay in the contract's units. Raises ContractError as FieldReader.
    """
    wanted = {} if policy is None else {field.name: field for field in policy.observation}
    where = f"{robot.source}: {topic.topic}"
    return [
        FieldReader(field, topic.type, where, wanted.get(field.name), topic.frame)
        for field in topic.fields
    ]


def _names(what: str, found: list[str], expected: list[str]) -> Iterator[str]:
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
        yield (
            f"{what} {problem}; the bundle expects {listed(expected)}, "
            f"the robot contract has {listed(found)}"
        )


def _types(robot: RobotContract, policy: PolicyContract | None) -> Iterator[str]:
    if robot.episode is not None and robot.episode.type != EPISODE_TYPE:
        yield f"{robot.source}: episode: type is {robot.episode.type}, expected {EPISODE_TYPE}"
    for topic in robot.topics:
        yield from _topic(robot, topic, policy)
    if isinstance(robot.reward, InputTopic):
        yield from _reward(robot, robot.reward)
    for sink in robot.sinks:
        if sink.adapter == "native" and sink.type != COMMAND_TYPE:
            yield f"{robot.source}: command: type is {sink.type}, expected {COMMAND_TYPE}"
            continue
        try:
            make_adapter(sink, 1.0 / robot.control_rate)
        except ContractError as error:
            yield f"{robot.source}: {error}"


def _topic(robot: RobotContract, topic: InputTopic, policy: PolicyContract | None) -> Iterator[str]:
    try:
        cls = message_class(topic.type)
    except ContractError as error:
        yield f"{robot.source}: {topic.topic}: {error}"
        return
    if robot.tick_source == "observation" and not has_header(cls):
        yield (
            f"{robot.source}: {topic.topic}: {topic.type} has no header, and tick_source "
            f"'observation' joins inputs by their stamps; use stamped messages, or 'clock'"
        )
    for field in topic.fields:
        try:
            field_readers(robot, replace(topic, fields=(field,)), policy)
        except ContractError as error:
            yield str(error)


def _reward(robot: RobotContract, topic: InputTopic) -> Iterator[str]:
    try:
        reader = field_readers(robot, topic)[0]
    except ContractError:
        return  # said already
    if reader.size != 1:
        yield f"{reader.where}: expected one number, found {reader.size} values"


def _sink(robot: RobotContract, sink: CommandSink, policy: PolicyContract) -> Iterator[str]:
    """What only one sink can tell: kinds, units, limits, joints to start from."""
    theirs = {field.name: field for field in policy.action}
    known = [name for name in sink.action_names if name in theirs]
    if len(known) < len(sink.action_names):
        return  # the missing names were named
    try:
        mapper = make_mapper(sink, policy, 1.0 / robot.control_rate)
        feedback = find_feedback(robot, sink)
    except (ContractError, RuntimeUnavailable) as error:
        yield f"{robot.source}: {error}"
        return
    if mapper.needs_reference and feedback is None:
        yield (
            f"{robot.source}: {mapper.where}: {listed(theirs[name].kind for name in known)} starts "
            f"from measured joints, and no JointState input reads positions of "
            f"{listed(sink.wire_names)}; name the topic with 'feedback'"
        )
    for name, ours, bundles in mapper.limits():
        if max(ours[0], bundles[0]) >= min(ours[1], bundles[1]):
            yield (
                f"{robot.source}: {sink.topic}: {name}: limits {ours[0]:g} … {ours[1]:g} do not "
                f"overlap the bundle's {bundles[0]:g} … {bundles[1]:g}"
            )
