"""The robot contract: which topics carry a policy's observation, and where its commands go.

One YAML file a robot or task suite (``config/``). It is the robot's half of the agreement whose
other half is inside the policy bundle (:mod:`lram_core.contract`); :mod:`lram_ros.contract_check`
compares the two. Reading it needs no ROS. Every key is described in docs/contract.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from lram_core.errors import ContractError, listed
from lram_ros.adapters.sink import CommandField, CommandSink, read_native, read_sink
from lram_ros.adapters.table import FLOAT, FLOATS, TRAJECTORY
from lram_ros.ranges import Range
from lram_ros.yaml_section import Section, refuse_twice

__all__ = ["CommandField", "CommandSink", "FieldSource", "ImageSize", "InputTopic", "RobotContract"]

FORMAT_VERSION = 1
TICK_SOURCES = ("observation", "clock")
RELIABILITIES = ("reliable", "best_effort")
DURABILITIES = ("volatile", "transient_local")
COLOURS = ("rgb", "mono")
_UNSTAMPED = (FLOAT, FLOATS, TRAJECTORY)
"""Messages of commands that do not say which set they answer; a trajectory's stamp is 0."""


@dataclass(frozen=True)
class ImageSize:
    """What an image becomes: (height, width, channels), 3 channels (R, G, B) or 1."""

    height: int
    width: int
    channels: int = 3

    @property
    def values(self) -> int:
        return self.height * self.width * self.channels


@dataclass(frozen=True)
class FieldSource:
    """Where one observation field is found inside a message.

    Attributes:
        name: the bundle's observation field.
        path: dotted field path, e.g. ``pose.position``; a message stands for all its numbers in
            the order of its definition. Empty for an image.
        unit: unit of the values as published, ``1`` for dimensionless ones.
        names: for an array beside a list of names (JointState): which entries, in which order.
        history: how many of the topic's newest readings make up the field, oldest first; at the
            topic's own rate, unlike the bundle's ``delay``, which counts control ticks.
        range: physical ↔ normalised, for a bundle that observes normalised values.
        image: size the picture is resized to, for Image and CompressedImage.
    """

    name: str
    path: str
    unit: str
    names: tuple[str, ...] = ()
    history: int = 1
    range: Range | None = None
    image: ImageSize | None = None


@dataclass(frozen=True)
class InputTopic:
    """A topic that every control tick needs.

    Attributes:
        topic: name, relative to the node's namespace unless it starts with ``/``.
        type: interface name, e.g. ``geometry_msgs/msg/PoseStamped``.
        max_age: oldest reading a tick may use, in seconds; may be infinite.
        reliability: QoS to subscribe with, one of RELIABILITIES.
        fields: what is read from it.
        durability, depth: more QoS.
        deadline, lifespan: QoS in seconds; None is none.
        frame: header.frame_id every message must have; empty for any.
    """

    topic: str
    type: str
    max_age: float
    reliability: str
    fields: tuple[FieldSource, ...]
    durability: str = "volatile"
    depth: int = 10
    deadline: float | None = None
    lifespan: float | None = None
    frame: str = ""

    @property
    def history(self) -> int:
        """Readings to keep: of the field that wants most."""
        return max((field.history for field in self.fields), default=1)

    @property
    def image(self) -> ImageSize | None:
        """What a camera's pictures are resized to; None for other topics."""
        return self.fields[0].image if self.fields else None


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
            constant that stands for it on a robot that measures none; 0 where nothing is said.
        episode: topic announcing episodes; None: one episode without end.
        sinks: topics for commands, each with its adapter.
        controller: what carries the commands out, where that makes a difference to a policy.
        stepped: a simulator waits for the commands that answer each set, though they are no native
            ones.
    """

    source: str
    robot: str
    gripper: str
    control_rate: float
    tick_source: str
    inputs: tuple[InputTopic, ...]
    reward: InputTopic | float
    episode: InputTopic | None
    sinks: tuple[CommandSink, ...]
    controller: str = ""
    stepped: bool = False

    @property
    def topics(self) -> tuple[InputTopic, ...]:
        """Every topic a tick needs: observation inputs, then reward, then episode."""
        others = (self.reward, self.episode)
        return (*self.inputs, *(topic for topic in others if isinstance(topic, InputTopic)))

    @property
    def lockstep(self) -> bool:
        """Whether a simulator sends each set and then waits for its command.

        Then a robot moves by commands alone, each for one tick: no command is no motion.
        """
        native = all(sink.adapter == "native" for sink in self.sinks)
        return self.tick_source == "observation" and (native or self.stepped)

    @property
    def command(self) -> CommandSink:
        """The only sink of a robot that takes ActionCommand.

        Raises:
            ContractError: the contract has other sinks, or several.
        """
        if len(self.sinks) != 1 or self.sinks[0].adapter != "native":
            found = listed(f"{sink.topic} ({sink.adapter})" for sink in self.sinks)
            raise ContractError(f"{self.source}: expected one native command, found {found}")
        return self.sinks[0]

    @property
    def observation_fields(self) -> dict[str, tuple[InputTopic, FieldSource]]:
        """Observation field name → its topic and place in the message."""
        return {field.name: (topic, field) for topic in self.inputs for field in topic.fields}

    @property
    def action_names(self) -> list[str]:
        """The bundle's action fields that the sinks consume, in the order of the contract."""
        return [name for sink in self.sinks for name in sink.action_names]

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
        return cls.read(Section(data, source))

    @classmethod
    def read(cls, root: Section) -> RobotContract:
        """Build from the whole file as a section; raises ContractError as :meth:`load`."""
        source = root.where
        root.version(FORMAT_VERSION)
        inputs = tuple(_input(item) for item in root.items("inputs"))
        contract = cls(
            source=source,
            robot=root.text("robot"),
            gripper=root.text("gripper"),
            control_rate=root.positive("control_rate"),
            tick_source=root.choice("tick_source", TICK_SOURCES),
            inputs=inputs,
            reward=_reward(root.section("reward")) if root.has("reward") else 0.0,
            episode=_single(root.section("episode"), None) if root.has("episode") else None,
            sinks=_sinks(root, Path(source).parent),
            controller=root.text("controller") if root.has("controller") else "",
            stepped=root.flag("lockstep", False),
        )
        root.finish()
        _check_history(contract)
        _check_lockstep(contract)
        refuse_twice([f.name for t in inputs for f in t.fields], f"{source}: inputs: field")
        refuse_twice([t.topic for t in contract.topics], f"{source}: topic")
        refuse_twice([s.topic for s in contract.sinks], f"{source}: commands: topic")
        refuse_twice(contract.action_names, f"{source}: commands: field")
        return contract


def _check_history(contract: RobotContract) -> None:
    if contract.tick_source == "clock":
        return
    for topic in contract.inputs:
        if topic.history > 1:
            raise ContractError(
                f"{contract.source}: {topic.topic}: history {topic.history} needs tick_source "
                f"'clock'; with 'observation' a tick has one reading of each topic, and the "
                f"bundle's delays are its past"
            )


def _check_lockstep(contract: RobotContract) -> None:
    if not contract.stepped:
        return
    if contract.tick_source != "observation":
        raise ContractError(
            f"{contract.source}: lockstep needs tick_source 'observation', "
            f"found '{contract.tick_source}'"
        )
    for sink in contract.sinks:
        if sink.type in _UNSTAMPED:
            raise ContractError(
                f"{contract.source}: {sink.topic}: lockstep needs commands that carry the stamp of "
                f"the set they answer, such as a sensor_msgs/msg/JointState; found {sink.type}"
            )


def _sinks(root: Section, folder: Path) -> tuple[CommandSink, ...]:
    """``command``: one native topic; ``commands``: a list of sinks, each with an adapter."""
    if root.has("commands"):
        if root.has("command"):
            raise ContractError(f"{root.where}: has both 'command' and 'commands'; keep one")
        return tuple(read_sink(item, folder) for item in root.items("commands"))
    return (read_native(root.section("command")),)


def _input(section: Section) -> InputTopic:
    image = section.interface("type") in (
        "sensor_msgs/msg/Image",
        "sensor_msgs/msg/CompressedImage",
    )
    fields = section.sections("fields").items()
    if image and len(fields) > 1:
        raise ContractError(
            f"{section.where}: one picture is one field, found {listed(n for n, _ in fields)}"
        )
    return _topic(section, tuple(_image(n, s) if image else _field(n, s) for n, s in fields))


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
        reliability=section.choice("reliability", RELIABILITIES, RELIABILITIES[0]),
        fields=fields,
        durability=section.choice("durability", DURABILITIES, DURABILITIES[0]),
        depth=section.count("depth", 10),
        deadline=section.positive("deadline") if section.has("deadline") else None,
        lifespan=section.positive("lifespan") if section.has("lifespan") else None,
        frame=section.text("frame") if section.has("frame") else "",
    )
    section.finish()
    return topic


def _field(name: str, section: Section) -> FieldSource:
    field = FieldSource(
        name=name,
        path=section.text("path"),
        unit=section.text("unit"),
        names=section.texts("names") if section.has("names") else (),
        history=section.count("history", 1),
        range=Range.read(section),
    )
    section.finish()
    return field


def _image(name: str, section: Section) -> FieldSource:
    height, width = section.count("height"), section.count("width")
    colour = section.choice("colour", COLOURS, COLOURS[0])
    field = FieldSource(
        name=name,
        path="",
        unit="1",
        history=section.count("history", 1),
        image=ImageSize(height, width, 3 if colour == "rgb" else 1),
    )
    section.finish()
    return field
