"""The robot contract: which topics carry a policy's observation, and where its commands go.

One YAML file a robot or task suite (``config/``). It is the robot's half of the agreement whose
other half is inside the policy bundle (:mod:`lram_core.contract`); :mod:`lram_ros.contract_check`
compares the two. Reading it needs no ROS. Every key is described in docs/contract.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from lram_core.errors import ContractError, listed, one_line
from lram_ros.adapters.sink import CommandSink, read_native, read_sink
from lram_ros.adapters.table import FLOAT, FLOATS, TRAJECTORY
from lram_ros.input_topic import FieldSource, InputTopic, read_input, read_reward, read_single
from lram_ros.yaml_section import Section, refuse_twice

FORMAT_VERSION = 1
TICK_SOURCES = ("observation", "clock")
_UNSTAMPED = (FLOAT, FLOATS, TRAJECTORY)
"""Messages of commands that do not say which set they answer; a trajectory's stamp is 0."""


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
            raise ContractError(
                f"robot contract {path}: is not valid YAML: {one_line(error)}"
            ) from None
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
        inputs = tuple(read_input(item) for item in root.items("inputs"))
        contract = cls(
            source=source,
            robot=root.text("robot"),
            gripper=root.text("gripper"),
            control_rate=root.positive("control_rate"),
            tick_source=root.choice("tick_source", TICK_SOURCES),
            inputs=inputs,
            reward=read_reward(root.section("reward")) if root.has("reward") else 0.0,
            episode=read_single(root.section("episode"), None) if root.has("episode") else None,
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
