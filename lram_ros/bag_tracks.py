"""What of a bag is played to a policy node, and under which names. Needs no rclpy.

Played are the inputs of a robot contract. What the recorded policy itself said, its commands first
of all, must not come out on the live topics again: it stays in the bag, or gets names of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from lram_core.errors import DataError, LramError, listed
from lram_ros.bag_reader import BagReader, BagTopic, check_definition
from lram_ros.bag_types import BagTypes
from lram_ros.robot_contract import InputTopic, RobotContract

CLOCK, CLOCK_TYPE = "/clock", "rosgraph_msgs/msg/Clock"
_ROS_OWN = ("/rosout", "/parameter_events")


@dataclass(frozen=True)
class Track:
    """A topic that is played.

    Attributes:
        source: its full name in the bag.
        topic: what it is published as, relative to the player's namespace.
        type: of its messages.
        input: of the robot contract; None for what is published besides.
    """

    source: str
    topic: str
    type: str
    input: InputTopic | None = None


def input_tracks(bag: BagReader, robot: RobotContract, namespace: str = "/") -> tuple[Track, ...]:
    """The inputs of a robot contract, in the order of ``RobotContract.topics``.

    Args:
        namespace: in which the bag was recorded.

    Raises:
        LramError: the bag lacks a topic (the message names those it has), or has it with
            another type; a type is not installed, or another one here than in the bag.
    """
    names = {topic.topic: full_name(topic.topic, namespace) for topic in robot.topics}
    missing = [
        f"{names[topic.topic]} ({topic.type})"
        for topic in robot.topics
        if names[topic.topic] not in bag.topics
    ]
    if missing:
        raise DataError(
            f"bag {bag.path}: no message of {listed(missing)}, which {robot.source} needs; "
            f"it has {listed(_described(topic) for topic in bag.topics.values())}"
        )
    types = BagTypes()
    tracks = []
    for topic in robot.topics:
        found = bag.topics[names[topic.topic]]
        if found.type != topic.type:
            raise DataError(
                f"bag {bag.path}: {found.name} was recorded as {found.type}, {robot.source} "
                f"expects {topic.type}"
            )
        check_definition(found, types)
        tracks.append(Track(found.name, topic.topic, topic.type, topic))
    return tuple(tracks)


def other_tracks(
    bag: BagReader, robot: RobotContract, prefix: str, namespace: str = "/"
) -> tuple[list[Track], list[str]]:
    """Everything else in the bag, under names below ``prefix``.

    Returns:
        (tracks, what had to be left out and why). ``/clock`` and the topics of ROS itself are in
        neither.

    Raises:
        DataError: one would come out as a command.
    """
    played = {full_name(topic.topic, namespace) for topic in robot.topics}
    commands = {sink.topic for sink in robot.sinks}
    types, tracks, left = BagTypes(), [], []
    for found in bag.topics.values():
        if found.name in (*played, CLOCK, *_ROS_OWN):
            continue
        try:
            check_definition(found, types)
        except LramError as error:
            left.append(f"{found.name} ({found.type}): {error}")
            continue
        name = found.name.removeprefix(full_name("", namespace)).lstrip("/")
        topic = f"{prefix}/{name}"
        if topic in commands:
            raise DataError(
                f"{found.name} of the bag would come out as {topic}, which is a command of "
                f"{robot.source}; choose another prefix than '{prefix}'"
            )
        tracks.append(Track(found.name, topic, found.type))
    return tracks, left


def has_clock(bag: BagReader) -> bool:
    """Whether the bag says what ``/clock`` was."""
    return CLOCK in bag.topics and bag.topics[CLOCK].type == CLOCK_TYPE


def full_name(topic: str, namespace: str) -> str:
    """The full name of a contract's topic in a namespace."""
    if topic.startswith("/"):
        return topic
    return f"/{namespace.strip('/')}/{topic}" if namespace.strip("/") else f"/{topic}"


def _described(topic: BagTopic) -> str:
    return f"{topic.name} ({topic.type})"
