"""The topics of a robot contract that the policy's inputs come from, and where in their messages.

The other side, the topics that commands go to, is :mod:`lram_ros.adapters.sink`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lram_core.errors import ContractError, listed
from lram_ros.ranges import Range
from lram_ros.yaml_section import Section

RELIABILITIES = ("reliable", "best_effort")
DURABILITIES = ("volatile", "transient_local")
COLOURS = ("rgb", "mono")


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


def read_input(section: Section) -> InputTopic:
    """Read one of ``inputs``: a topic and the observation fields in it.

    Raises:
        ContractError: a key is missing, unknown or of the wrong kind, or a picture is several
            fields.
    """
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


def read_reward(section: Section) -> InputTopic | float:
    """Read ``reward``: a topic, or the constant that stands for it. Raises ContractError."""
    if not section.has("constant"):
        return read_single(section, "reward")
    constant = section.number("constant")
    section.finish()
    if not math.isfinite(constant):
        raise ContractError(f"{section.where}: constant must be finite, found {constant}")
    return constant


def read_single(section: Section, name: str | None) -> InputTopic:
    """Read a topic whose role is fixed. Raises ContractError.

    Args:
        name: of the one number that is read from it; None for none.
    """
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
