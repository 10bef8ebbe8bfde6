"""The schema of a dataset made of a recording: from the robot contract, or one it must have."""

from __future__ import annotations

import numpy as np

from lram_core.contract import ActionField, ObservationField, PolicyContract, RewardSpec
from lram_core.data.schema import DatasetSchema
from lram_core.errors import ContractError, DataError
from lram_core.image_encoder import SMALLEST
from lram_ros.adapters.sink import CommandField, CommandSink
from lram_ros.bags.recording import Bag
from lram_ros.bags.survey import full_names
from lram_ros.contract_check import field_readers
from lram_ros.input_topic import InputTopic
from lram_ros.message_fields import InputError
from lram_ros.robot_contract import RobotContract

# Quantity of a sink → kind of an action that is commanded there as it is.
_KINDS = {
    "position": "joint_position",
    "velocity": "joint_velocity",
    "effort": "joint_effort",
    "twist": "cartesian_velocity",
    "native": "native",
}


def schema_of(
    bag: Bag, robot: RobotContract, suite: str, scale: float, namespace: str = ""
) -> DatasetSchema:
    """Return the schema that a contract alone gives: its fields, in its order and units.

    Args:
        bag: tells the size of arrays whose size nothing else tells.
        robot: the contract.
        suite: name of the task suite; empty for the robot's.
        scale: rewards and returns are divided by it before a model sees them.
        namespace: of the bag's relative topics.

    Raises:
        DataError: an array's size cannot be read.
    """
    names = full_names(robot, namespace)
    observation = [
        field
        for topic in robot.inputs
        for field in _observation(bag, robot, topic, names[topic.topic])
    ]
    action = [field for sink in robot.sinks for field in _actions(sink)]
    reward = robot.reward
    definition = (
        f"constant {reward:g}"
        if isinstance(reward, float)
        else f"{reward.fields[0].path} of {reward.topic}"
    )
    return DatasetSchema(
        suite=suite or robot.robot,
        robot=robot.robot,
        gripper=robot.gripper,
        control_rate=robot.control_rate,
        observation=tuple(observation),
        action=tuple(action),
        reward=RewardSpec(definition, scale),
        max_episode_steps=1,
    )


def contract_of(schema: DatasetSchema) -> PolicyContract:
    """Return the contract of a policy that would be trained on such data."""
    return schema.contract({"default": 0.0}, context=1)


def _observation(
    bag: Bag, robot: RobotContract, topic: InputTopic, name: str
) -> list[ObservationField]:
    fields = []
    for reader in field_readers(robot, topic):
        source, size = reader.source, reader.size
        if size is None:
            message = next(bag.messages([name]), None)
            if message is None:
                raise DataError(f"{bag.path}: no message on {name}, which tells its size")
            try:
                size = reader.read(bag.decode(message)).size
            except InputError as error:
                raise DataError(f"{bag.place(message)}: {error}") from None
        unit = "1" if source.range is not None else source.unit
        picture: tuple[int, ...] = ()
        if (image := source.image) is not None and min(image.height, image.width) >= SMALLEST:
            # What is smaller, or several at once, is a vector for the model.
            picture = (image.height, image.width, image.channels) if source.history == 1 else ()
        values = size * source.history
        fields.append(ObservationField(source.name, values, unit, picture=picture))
    return fields


def _actions(sink: CommandSink) -> list[ActionField]:
    if sink.cartesian is not None:
        raise ContractError(
            f"{sink.topic}: what the tool was asked to do cannot be read back from joint "
            f"commands; make a contract that commands the joints themselves"
        )
    kind = "gripper" if sink.adapter == "gripper" else _KINDS[sink.quantity]
    return [_action(field, kind) for field in sink.fields]


def _action(field: CommandField, kind: str) -> ActionField:
    if field.range is None:
        return ActionField(field.name, field.unit, kind, field.low, field.high)
    gain, offset = field.range.to_normalised()
    ends = np.array([field.low, field.high]) * float(gain[0]) + float(offset[0])
    return ActionField(field.name, "1", kind, float(ends.min()), float(ends.max()))
