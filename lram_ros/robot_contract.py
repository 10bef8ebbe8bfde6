"""The robot contract: which topics carry a policy's observation, and where its command goes.

One YAML file a robot or task suite (``config/``). It is the robot's half of the agreement whose
other half is inside the policy bundle (:mod:`lram_core.contract`); :mod:`lram_ros.contract_check`
compares the two. Reading it needs no ROS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from lram_core.errors import ContractError
from lram_ros.yaml_section import Section, refuse_twice

FORMAT_VERSION = 1
TICK_SOURCES = ("observation", "clock")
RELIABILITIES = ("reliable", "best_effort")


@dataclass(frozen=True)
class FieldSource:
    """Where one observation field is found inside a message.

    Attributes:
        name: the bundle's observation field.
        path: dotted field path, e.g. ``pose.position``; a message stands for all its numbers in
            the order of its definition.
        unit: SI unit of the values as published, ``1`` for dimensionless ones.
        names: for an array beside a list of names (JointState): which entries, in which order.
    """

    name: str
    path: str
    unit: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class InputTopic:
    """A topic that every control tick needs.

    Attributes:
        topic: name, relative to the node's namespace unless it starts with ``/``.
        type: interface name, e.g. ``geometry_msgs/msg/PoseStamped``.
        max_age: oldest reading a tick may use, in seconds; may be infinite.
        reliability: QoS to subscribe with, one of RELIABILITIES.
        fields: what is read from it.
    """

    topic: str
    type: str
    max_age: float
    reliability: str
    fields: tuple[FieldSource, ...]


@dataclass(frozen=True)
class CommandField:
    """One commanded value: its unit and the limits of the robot, low < high, in that unit."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class CommandTopic:
    """Where commands go."""

    topic: str
    type: str
    fields: tuple[CommandField, ...]


@dataclass(frozen=True)
class RobotContract:
    """What a robot offers to a policy.

    Attributes:
        source: file it was read from, for messages.
        robot, gripper: models of the arm and of its hand.
        control_rate: rate at which the robot takes commands, in Hz.
        tick_source: ``observation``: a tick is a complete set of inputs of one stamp;
            ``clock``: a tick is the newest reading of each input, at ``control_rate``.
        inputs: topics of the observation.
        reward: topic with the reward of the command before (one field, ``reward``), or the
            constant that stands for it on a robot that measures none.
        episode: topic announcing episodes.
        command: topic for the command.
    """

    source: str
    robot: str
    gripper: str
    control_rate: float
    tick_source: str
    inputs: tuple[InputTopic, ...]
    reward: InputTopic | float
    episode: InputTopic
    command: CommandTopic

    @property
    def topics(self) -> tuple[InputTopic, ...]:
        """Every topic a tick needs: observation inputs, then reward if any, then episode."""
        reward = (self.reward,) if isinstance(self.reward, InputTopic) else ()
        return (*self.inputs, *reward, self.episode)

    @property
    def observation_fields(self) -> dict[str, tuple[InputTopic, FieldSource]]:
        """Observation field name → its topic and place in the message."""
        return {field.name: (topic, field) for topic in self.inputs for field in topic.fields}

    @classmethod
    def load(cls, path: str | Path) -> RobotContract:
        """Read a contract file.

        Raises:
            ContractError: the file cannot be read, is not YAML, or a key is missing, unknown or
                of the wrong kind; the message names file and key.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise ContractError(f"robot contract {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ContractError(f"robot contract {path}: is not a text file") from None
        try:
            data = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ContractError(f"robot contract {path}: is not valid YAML: {reason}") from None
        return cls.from_dict(data, str(path))

    @classmethod
    def from_dict(cls, data: object, source: str = "robot contract") -> RobotContract:
        """Build from plain data; raises ContractError as :meth:`load`."""
        root = Section(data, source)
        root.version(FORMAT_VERSION)
        inputs = tuple(_input(item) for item in root.items("inputs"))
        contract = cls(
            source=source,
            robot=root.text("robot"),
            gripper=root.text("gripper"),
            control_rate=root.positive("control_rate"),
            tick_source=root.choice("tick_source", TICK_SOURCES),
            inputs=inputs,
            reward=_reward(root.section("reward")),
            episode=_single(root.section("episode"), None),
            command=_command(root.section("command")),
        )
        root.finish()
        refuse_twice([f.name for t in inputs for f in t.fields], f"{source}: inputs: field")
        refuse_twice([t.topic for t in contract.topics], f"{source}: topic")
        return contract


def _input(section: Section) -> InputTopic:
    return _topic(section, tuple(_field(n, s) for n, s in section.sections("fields").items()))


def _reward(section: Section) -> InputTopic | float:
    if not section.has("constant"):
        return _single(section, "reward")
    constant = section.number("constant")
    section.finish()
    if not math.isfinite(constant):
        raise ContractError(f"{section.where}: constant must be finite, found {constant}")
    return constant


def _single(section: Section, name: str | None) -> InputTopic:
    """A topic whose role is fixed: at most one number is read from it."""
    fields: tuple[FieldSource, ...] = ()
    if name is not None:
        fields = (FieldSource(name=name, path=section.text("path"), unit="1"),)
    return _topic(section, fields)


def _topic(section: Section, fields: tuple[FieldSource, ...]) -> InputTopic:
    topic = InputTopic(
        topic=section.text("topic"),
        type=section.interface("type"),
        max_age=section.positive("max_age", finite=False),
        reliability=(
            section.choice("reliability", RELIABILITIES)
            if section.has("reliability")
            else RELIABILITIES[0]
        ),
        fields=fields,
    )
    section.finish()
    return topic


def _field(name: str, section: Section) -> FieldSource:
    field = FieldSource(
        name=name,
        path=section.text("path"),
        unit=section.text("unit"),
        names=section.texts("names") if section.has("names") else (),
    )
    section.finish()
    return field


def _command(section: Section) -> CommandTopic:
    fields = []
    for name, item in section.sections("fields").items():
        field = CommandField(name, item.text("unit"), item.number("low"), item.number("high"))
        item.finish()
        if not field.low < field.high:
            raise ContractError(
                f"{item.where}: low {field.low:g} must be below high {field.high:g}"
            )
        fields.append(field)
    command = CommandTopic(section.text("topic"), section.interface("type"), tuple(fields))
    section.finish()
    return command
