"""Messages made of observation values: the inverse of :class:`lram_ros.assembly.InputReader`."""

from __future__ import annotations

import io
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from rosbags.interfaces import Nodetype
from rosbags.typesys.store import Typestore

from lram_core.contract import PolicyContract
from lram_ros.contract_check import field_readers
from lram_ros.input_topic import ImageSize, InputTopic
from lram_ros.message_fields import FieldReader, message_class
from lram_ros.message_paths import (
    FIXED,
    NAME_LISTS,
    SEQUENCE,
    cast,
    full_name,
    number_leaves,
    put,
    resolve,
)
from lram_ros.robot_contract import RobotContract

Array = npt.NDArray[np.float64]


class TopicWriter:
    """Fills the messages of one input topic."""

    def __init__(self, robot: RobotContract, topic: InputTopic, policy: PolicyContract) -> None:
        """``policy`` says the units of the values. Raises ContractError as field_readers."""
        self.topic = topic
        self._class = message_class(topic.type)
        self._readers = field_readers(robot, topic, policy)
        self._names = list(dict.fromkeys(n for field in topic.fields for n in field.names))

    def make(self, values: Mapping[str, Array], stamp: int, reading: int = 0) -> Any:
        """Return a message.

        Args:
            values: observation field → values of one tick, in the bundle's units.
            stamp: for the header, in ns.
            reading: which of the readings that ``history`` asks for: 0 is the oldest.
        """
        message = self._class()
        if hasattr(message, "header"):
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 1_000_000_000)
            message.header.frame_id = self.topic.frame
        for reader in self._readers:
            source = reader.source
            rows = np.asarray(values[source.name], np.float64).reshape(source.history, -1)
            row = max(0, reading - (self.topic.history - source.history))
            self._fill(message, reader, reader.published(rows[row]))
        return message

    def _fill(self, message: Any, reader: FieldReader, values: Array) -> None:
        source = reader.source
        if source.image is not None:
            _fill_image(message, source.image, values)
            return
        parent, kind = resolve(self.topic.type, source.path)
        sequence, fixed = SEQUENCE.match(kind), FIXED.match(kind)
        if not sequence and not fixed:
            leaves = number_leaves(kind, source.path)
            for (path, leaf), value in zip(leaves, values.tolist(), strict=True):
                put(message, path, cast(value, leaf))
            return
        element = (sequence or fixed)[1]  # type: ignore[index]
        numbers = values.tolist()
        if source.names:
            found: Any = message
            for part in source.path.split("."):
                found = getattr(found, part)
            numbers = list(found) or [0.0] * len(self._names)
            for name, value in zip(source.names, values.tolist(), strict=True):
                numbers[self._names.index(name)] = value
            put(message, _names_path(parent, source.path), list(self._names))
        put(message, source.path, [cast(value, element) for value in numbers])


def to_bag(store: Typestore, kind: str, message: Any) -> Any:
    """Return a ROS message as the bag library's own object, which it can serialise.

    (What the middleware serialises may end in padding, which readers of bags refuse.)
    """
    # A message without fields has one on the wire.
    fields = {
        name: _converted(store, what, getattr(message, name, 0))
        for name, what in store.fielddefs[kind][1]
    }
    return store.types[kind](**fields)


def _converted(store: Typestore, what: Any, value: Any) -> Any:
    node, inner = what
    if node == Nodetype.NAME:
        return to_bag(store, inner, value)
    if node == Nodetype.BASE:
        return value
    (kind, element), _ = inner
    if kind == Nodetype.NAME:
        return [to_bag(store, element, item) for item in value]
    name = element[0] if isinstance(element, tuple) else element
    if name in ("string", "wstring"):
        return list(value)
    types = {"octet": "uint8", "byte": "uint8", "char": "uint8", "boolean": "bool"}
    return np.asarray(value, dtype=types.get(name, name))


def _names_path(parent: str, path: str) -> str:
    fields = message_class(full_name(parent)).get_fields_and_field_types()
    name = next(n for n in NAME_LISTS if fields.get(n) == "sequence<string>")
    prefix = path.rpartition(".")[0]
    return f"{prefix}.{name}" if prefix else name


def _fill_image(message: Any, size: ImageSize, values: Array) -> None:
    pixels = np.rint(values * 255).astype(np.uint8).reshape(size.height, size.width, size.channels)
    if hasattr(message, "encoding"):
        message.height, message.width = size.height, size.width
        message.step = size.width * size.channels
        message.encoding = "rgb8" if size.channels == 3 else "mono8"
        message.data = array("B", pixels.tobytes())
        return
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels if size.channels == 3 else pixels[:, :, 0]).save(file, "PNG")
    message.format = "png"
    message.data = array("B", file.getvalue())
