"""Plausible messages for the topics of a contract: smooth, in the units it gives, from one time.

Joints come from :mod:`.joints`; everything else is a slow sinusoid, and turns are unit quaternions.
"""

from __future__ import annotations

import io
import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lram_core.errors import ContractError
from lram_ros.input_topic import FieldSource, ImageSize, InputTopic
from lram_ros.message_fields import message_class
from lram_ros.message_paths import (
    FIXED,
    FLOATS,
    NAME_LISTS,
    SEQUENCE,
    cast,
    full_name,
    get,
    number_leaves,
    put,
    resolve,
)
from lram_ros.mock.joints import Joint, Joints, si_factor
from lram_ros.units import parse_unit

_SLOW_HZ = 0.1
# Dimension of a unit → middle and amplitude of what the mock reads, in SI.
_PLAUSIBLE = {
    "length": (0.3, 0.1),
    "angle": (0.0, 0.5),
    "velocity": (0.0, 0.05),
    "angular velocity": (0.0, 0.2),
    "acceleration": (0.0, 0.5),
    "force": (0.0, 2.0),
    "torque": (0.0, 0.5),
    "plain number": (0.5, 0.3),
}
_QUATERNION = "geometry_msgs/Quaternion"


class MessageMaker:
    """Makes the messages of one topic.

    Args:
        topic: of the contract.
        sizes: observation field → number of values, for arrays that nothing else tells the size of.
        size: of those that are not in ``sizes``.

    Attributes:
        names: joints that its messages name; empty where there are no names.
        named: paths of the names and of every array beside them.
        arrays: paths of the arrays that can have a wrong size.
        numbers, floats: whether the contract reads a number, and one that can be NaN.

    The contract's types and paths are taken for right: see ``check_types``.
    """

    def __init__(self, topic: InputTopic, sizes: Mapping[str, int], size: int = 6) -> None:
        self.topic = topic
        self.type = message_class(topic.type)
        self.names = list(dict.fromkeys(n for field in topic.fields for n in field.names))
        self.named: list[str] = []
        self.arrays: list[str] = []
        self.numbers = self.floats = False
        self._fields = [_Field(self, field, sizes.get(field.name, size)) for field in topic.fields]

    def make(self, seconds: float, stamp: int, joints: Joints) -> Any:
        """Return a new message.

        Args:
            seconds: age of the robot, for the sinusoids.
            stamp: ROS time in nanoseconds.
            joints: where they are; tool axes ``x``, ``y``, ``z`` move the first position there is.
        """
        message = self.type()
        if hasattr(message, "header"):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
            message.header.frame_id = self.topic.frame or "mock"
        for field in self._fields:
            field.fill(message, seconds, joints)
        return message

    def overwrite(self, message: Any, value: float) -> None:
        """Put ``value`` in the place of every number that the contract reads."""
        for field in self._fields:
            field.overwrite(message, value)

    def shift(self, message: Any, value: float) -> None:
        """Add ``value`` to every number that the contract reads."""
        for field in self._fields:
            field.shift(message, value)


class _Field:
    """One field of the contract inside a message."""

    def __init__(self, maker: MessageMaker, source: FieldSource, size: int) -> None:
        self.source = source
        self._image = source.image
        self._leaves: list[tuple[str, str]] = []
        self._quaternion = False
        self._array = ""
        self._kind = "double"
        self._names: list[str] = []
        if self._image is not None:
            return
        parent, kind = resolve(maker.topic.type, source.path)
        self._quaternion = kind == _QUATERNION
        sequence, fixed = SEQUENCE.match(kind), FIXED.match(kind)
        if sequence or fixed:
            self._array = source.path
            self._kind = (sequence or fixed)[1]  # type: ignore[index]
            self._size = int(fixed[2]) if fixed else size
            if sequence:
                maker.arrays.append(source.path)
            self._prepare_names(maker, parent)
        else:
            self._leaves = number_leaves(kind, source.path)
            self._size = len(self._leaves)
        kinds = [self._kind] if self._array else [kind for _, kind in self._leaves]
        maker.numbers |= bool(kinds)
        maker.floats |= any(kind in FLOATS for kind in kinds)

    def fill(self, message: Any, seconds: float, joints: Joints) -> None:
        if self._image is not None:
            _fill_image(message, self._image, seconds)
            return
        if self._names:
            put(message, self._names_path, list(self._names))
            values = [self._of_joint(joints.by_name[name]) for name in self._names]
        else:
            values = self._smooth(seconds, joints)
        self._write(message, values)

    def overwrite(self, message: Any, value: float) -> None:
        if self._image is None:
            self._write(message, [value] * len(self._read(message)))

    def shift(self, message: Any, value: float) -> None:
        if self._image is None:
            self._write(message, [found + value for found in self._read(message)])

    def _prepare_names(self, maker: MessageMaker, parent: str) -> None:
        if self.source.names:
            fields = message_class(full_name(parent)).get_fields_and_field_types()
            prefix = self.source.path.rpartition(".")[0]
            name = next(n for n in NAME_LISTS if fields.get(n) == "sequence<string>")
            self._names_path = f"{prefix}.{name}" if prefix else name
            self._names = maker.names
            maker.named = [
                f"{prefix}.{beside}" if prefix else beside
                for beside, kind in fields.items()
                if kind.startswith("sequence<")
            ]

    def _of_joint(self, joint: Joint) -> float:
        last = self.source.path.rpartition(".")[2]
        factor = si_factor(self.source.unit)
        if last in ("velocity", "velocities"):
            return joint.velocity / factor
        if last in ("effort", "efforts"):
            return 0.0
        return joint.position / factor

    def _smooth(self, seconds: float, joints: Joints) -> list[float]:
        if self._quaternion:
            half = 0.25 * math.sin(2 * math.pi * _SLOW_HZ * seconds)
            return [0.0, 0.0, math.sin(half), math.cos(half)]
        waves = [
            math.sin(2 * math.pi * _SLOW_HZ * seconds + phase + hash_phase(self.source.name))
            for phase in range(self._size)
        ]
        if self.source.range is not None:
            limits = self.source.range.physical
            rows = limits if len(limits) == self._size else limits[:1] * self._size
            return [
                0.5 * (low + high) + 0.3 * (high - low) * wave
                for (low, high), wave in zip(rows, waves, strict=True)
            ]
        dimension = _dimension(self.source.unit)
        middle, amplitude = _PLAUSIBLE.get(dimension, (0.0, 0.1))
        factor = si_factor(self.source.unit)
        values = [(middle + amplitude * wave) / factor for wave in waves]
        if dimension == "length" and self._size == 3 and self._is_tool(joints):
            values = [(middle + joints.by_name[axis].position) / factor for axis in ("x", "y", "z")]
        return values

    def _is_tool(self, joints: Joints) -> bool:
        """Whether it is the position of the tool, on a robot whose commands move that."""
        named = any(part in self.source.name.lower() for part in ("ee", "tool", "tcp", "effector"))
        return named and joints.moves_tool

    def _read(self, message: Any) -> list[float]:
        if self._array:
            return list(get(message, self._array))
        return [get(message, path) for path, _ in self._leaves]

    def _write(self, message: Any, values: Sequence[float]) -> None:
        if self._array:
            put(message, self._array, [cast(value, self._kind) for value in values])
            return
        for (path, kind), value in zip(self._leaves, values, strict=True):
            put(message, path, cast(value, kind))


def hash_phase(name: str) -> float:
    """A phase that differs from field to field and is the same in every run."""
    return sum(name.encode()) % 63 / 10


def _dimension(unit: str) -> str:
    try:
        return parse_unit(unit).dimension
    except ContractError:
        return ""


def _fill_image(message: Any, size: ImageSize, seconds: float) -> None:
    """A picture whose colours wander."""
    rows = np.arange(size.height)[:, None] + 20 * seconds
    columns = np.arange(size.width)[None, :] + np.zeros_like(rows)
    red, green = (127 + 100 * np.sin(0.05 * values) for values in (rows + 0 * columns, columns))
    pixels = np.stack([red, green, np.full_like(red, 90.0)], -1).astype(np.uint8)
    if hasattr(message, "encoding"):
        message.height, message.width, message.step = size.height, size.width, 3 * size.width
        message.encoding = "rgb8"
        message.data = array("B", pixels.tobytes())
        return
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    message.format = "png"
    message.data = array("B", file.getvalue())
