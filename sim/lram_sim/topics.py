"""Which topic of the bridge carries which sensor. Free of ROS: names of types, not types.

A suite declares its topics once; the bridge publishes by them and the robot contract is written
from them, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lram_core.contract import ObservationField, sensor_sizes
from lram_core.errors import ContractError, listed

JOINT_STATE = "sensor_msgs/msg/JointState"
POINT = "geometry_msgs/msg/PointStamped"
VECTOR = "geometry_msgs/msg/Vector3Stamped"
POSE = "geometry_msgs/msg/PoseStamped"
WORLD = "world"
"""The fixed frame of a simulation."""
JOINT_STATES = "joint_states"
"""The topic of the task's ``joint_state()``: all joints, of which sensors may be a part."""


@dataclass(frozen=True)
class SensorField:
    """A place inside a message.

    Attributes:
        sensor: the suite's sensor.
        path: dotted path to a part with as many numbers, in their order, or to an array.
        names: for JointState: the joints, one a value.
    """

    sensor: str
    path: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SensorTopic:
    """A topic, published once a control tick.

    Attributes:
        topic: name, relative to the bridge's namespace.
        type: interface name of a message with a header.
        fields: the sensors it carries.
        reference: name of the frame that the values are given in.
    """

    topic: str
    type: str
    fields: tuple[SensorField, ...]
    reference: str = WORLD


def pose_topic(
    topic: str, position: str, orientation: str = "", reference: str = WORLD
) -> SensorTopic:
    """A PoseStamped of a position (m) and, if there is one, an orientation (x, y, z, w)."""
    fields = [SensorField(position, "pose.position")]
    if orientation:
        fields.append(SensorField(orientation, "pose.orientation"))
    return SensorTopic(topic, POSE, tuple(fields), reference)


def joints_topic(joints: tuple[str, ...], *parts: str) -> SensorTopic:
    """The JointStates of an arm; ``parts`` are what an observation takes of them.

    Each is ``position`` or ``velocity`` and fills the sensor ``joint_…`` of that name.
    """
    fields = (SensorField(f"joint_{part}", part, joints) for part in parts)
    return SensorTopic(JOINT_STATES, JOINT_STATE, tuple(fields))


def body_topics(name: str) -> tuple[SensorTopic, SensorTopic]:
    """A body's pose in the world, and in the frame of the hand."""
    hand = f"{name}_in_hand"
    return (
        pose_topic(f"{name}/pose", f"{name}_position", f"{name}_orientation"),
        pose_topic(
            f"{name}/pose_in_hand",
            f"{hand}_position",
            f"{hand}_orientation",
            reference="end_effector",
        ),
    )


def check_topics(
    where: str, topics: Iterable[SensorTopic], observation: tuple[ObservationField, ...]
) -> None:
    """Check that the topics carry every sensor of the observation, each once.

    Raises:
        ContractError: a sensor has no topic, or several, or is none of the observation's, or a
            JointState field has another number of names than its sensor has values.
    """
    sizes = sensor_sizes(observation)
    fields = [field for topic in topics for field in topic.fields]
    carried = [field.sensor for field in fields]
    twice = sorted({name for name in carried if carried.count(name) > 1})
    left = [name for name in sizes if name not in carried]
    extra = [name for name in carried if name not in sizes]
    for problem, names in (
        ("no topic for", left),
        ("several topics for", twice),
        ("topics for, but no", extra),
    ):
        if names:
            raise ContractError(f"suite '{where}': {problem} sensors {listed(names)}")
    for field in fields:
        if field.names and len(field.names) != sizes[field.sensor]:
            raise ContractError(
                f"suite '{where}': {len(field.names)} names for the {sizes[field.sensor]} values "
                f"of sensor {field.sensor}"
            )
