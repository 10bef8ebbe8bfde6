"""What of a bag is played to a policy node, and under which names. Needs no rclpy.

Played are the inputs of a robot contract. What the recorded policy itself said, its commands first
of all, must not come out on the live topics again: it stays in the bag, or gets names of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from lram_core.errors import DataError, LramError
from lram_ros.bags.recording import Bag
from lram_ros.bags.survey import CLOCK, check_topics, full_name, full_names
from lram_ros.input_topic import InputTopic
from lram_ros.robot_contract import RobotContract

CLOCK_TYPE = "rosgraph_msgs/msg/Clock"
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


def input_tracks(bag: Bag, robot: RobotContract, namespace: str = "/") -> tuple[Track, ...]:
    """The inputs of a robot contract, in the order of ``RobotContract.topics``.

    Args:
        namespace: in which the bag was recorded.

    Raises:
        LramError: the bag lacks a topic (the message names those it has), or has it with
            another type; a type is not installed, or another one here than in the bag.
    """
    names = full_names(robot, namespace)
    check_topics(bag, robot, names)
    return tuple(
        Track(names[topic.topic], topic.topic, topic.type, topic) for topic in robot.topics
    )


def check_definition(bag: Bag, topic: str) -> None:
    """Refuse messages whose bytes mean something else here than where they were recorded.

    Raises:
        DataError: the type is not installed, or is defined in another way than in the bag.
    """
    if difference := bag.definition_difference(topic):
        raise DataError(
            f"bag {bag.path}: {topic}: {bag.topics[topic].type} is defined in another way there "
            f"than here: {difference}"
        )


def other_tracks(
    bag: Bag, robot: RobotContract, prefix: str, namespace: str = "/"
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
    tracks, left = [], []
    for found in bag.topics.values():
        if not found.count or found.name in (*played, CLOCK, *_ROS_OWN):
            continue
        try:
            check_definition(bag, found.name)
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


def has_clock(bag: Bag) -> bool:
    """Whether the bag says what ``/clock`` was."""
    found = bag.topics.get(CLOCK)
    return found is not None and found.count > 0 and found.type == CLOCK_TYPE
