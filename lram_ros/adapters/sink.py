"""Command sinks: the part of a robot contract that says where commands go, and in what form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lram_core.errors import ContractError, LramError, listed
from lram_ros.adapters.table import ADAPTERS, AXES, DIMENSIONS, SAFE, AdapterSpec
from lram_ros.ranges import Range
from lram_ros.units import parse_unit
from lram_ros.yaml_section import Section, refuse_twice

DELTA_REFERENCES = ("command", "measured")
FRAME_TYPES = ("site", "body", "geom")
DELTA_AXES = ("base", "tool")


class CommandValueError(LramError):
    """Values that must not become a command: of the wrong number, or not finite."""


@dataclass(frozen=True)
class CommandField:
    """One value on the wire: its unit and the robot's limits, low < high, in that unit.

    Attributes:
        name: the bundle's action field, or, in a sink with a Cartesian section, the joint.
        joint: name on the wire where it differs from ``name``; the axis for a twist.
        range: physical ↔ normalised, for a bundle that commands normalised values.
        max_velocity: fastest change of a position, in ``unit`` a second; may be infinite.
        max_acceleration: fastest change of that, or of a velocity, in ``unit``/s² or ``unit``/s.
        max_step: largest change from one command to the next, in ``unit``.
    """

    name: str
    unit: str
    low: float
    high: float
    joint: str = ""
    range: Range | None = None
    max_velocity: float = math.inf
    max_acceleration: float = math.inf
    max_step: float = math.inf

    @property
    def wire_name(self) -> str:
        return self.joint or self.name


@dataclass(frozen=True)
class CartesianField:
    """One action field that moves the tool along or about an axis (x, y, z, rx, ry, rz)."""

    name: str
    axis: str
    unit: str
    low: float
    high: float
    range: Range | None = None


@dataclass(frozen=True)
class Cartesian:
    """How Cartesian moves become joint commands.

    Attributes:
        model: MJCF or URDF of the robot.
        frame, frame_type: what moves: a site, body or geom of the model.
        axes: ``base``: the delta is along the axes of the model's world; ``tool``: along those
            of the frame itself, as it stands when the delta is applied.
        fields: the action fields, at most one an axis; other axes do not move.
        orientation_cost: weight of holding the orientation, in m/rad against 1 of the position.
        posture: of the sink's joints, in their units, that an arm with a joint to spare is drawn
            to; None: it is where its moves have taken it.
    """

    model: Path
    frame: str
    frame_type: str
    axes: str
    fields: tuple[CartesianField, ...]
    orientation_cost: float = 1.0
    posture: tuple[float, ...] | None = None


@dataclass(frozen=True)
class CommandSink:
    """A topic that takes commands.

    Attributes:
        topic: name, relative to the node's namespace unless it starts with ``/``.
        type: interface name.
        fields: the values of one command, in the order of the wire.
        adapter: key of :data:`lram_ros.adapters.table.ADAPTERS`.
        quantity: what the fields are: position, velocity, effort, twist, native.
        reliability, depth: QoS to publish with.
        safe: what to do when no new motion is allowed: hold (repeat the last target), zero,
            decelerate (ramp down within ``max_acceleration``), none (send nothing).
        delta_reference: what a delta is added to: the last command sent, or the measured joints.
        share: part of each delta that is asked for in a tick.
        feedback: input topic with the measured joints; the only JointState input by default.
        frame: header.frame_id of the message.
        time_from_start: of the one trajectory point, in seconds; one control period by default.
        max_effort: sent along with a gripper's position.
        cartesian: where the policy commands moves of the tool instead of joints.
    """

    topic: str
    type: str
    fields: tuple[CommandField, ...]
    adapter: str = "native"
    quantity: str = "native"
    reliability: str = "reliable"
    depth: int = 10
    safe: str = "none"
    delta_reference: str = "command"
    share: float = 1.0
    feedback: str = ""
    frame: str = ""
    time_from_start: float | None = None
    max_effort: float | None = None
    cartesian: Cartesian | None = None

    @property
    def action_names(self) -> list[str]:
        """Names of the bundle's action fields that this sink consumes."""
        fields = self.fields if self.cartesian is None else self.cartesian.fields
        return [field.name for field in fields]

    @property
    def wire_names(self) -> list[str]:
        return [field.wire_name for field in self.fields]


def read_native(section: Section) -> CommandSink:
    """Read the section ``command``: one ActionCommand topic, as contracts began."""
    spec = ADAPTERS["native"]
    fields = tuple(_field(n, s, spec, "native") for n, s in section.sections("fields").items())
    sink = CommandSink(section.text("topic"), section.interface("type"), fields)
    section.finish()
    return sink


def read_sink(section: Section, folder: Path) -> CommandSink:
    """Read one item of ``commands``; ``folder`` is what a model's path is relative to."""
    adapter = section.choice("adapter", tuple(ADAPTERS))
    spec = ADAPTERS[adapter]
    quantity = spec.quantities[0]
    if "quantity" in spec.options:
        quantity = section.choice("quantity", spec.quantities, quantity)
    fields = tuple(_field(n, s, spec, quantity) for n, s in section.sections("fields").items())
    position = quantity == "position"
    sink = CommandSink(
        topic=section.text("topic"),
        type=section.interface("type") if section.has("type") else spec.types[0],
        fields=fields,
        adapter=adapter,
        quantity=quantity,
        reliability=section.choice("reliability", ("reliable", "best_effort"), "reliable"),
        depth=section.count("depth", 10),
        safe=section.choice("safe", SAFE[quantity], SAFE[quantity][0]),
        delta_reference=(
            section.choice("delta_reference", DELTA_REFERENCES, "command")
            if position
            else "command"
        ),
        share=section.positive("share") if section.has("share") else 1.0,
        feedback=section.text("feedback") if section.has("feedback") else "",
        frame=section.text("frame") if _has(section, spec, "frame") else "",
        time_from_start=(
            section.positive("time_from_start") if _has(section, spec, "time_from_start") else None
        ),
        max_effort=(section.positive("max_effort") if _has(section, spec, "max_effort") else None),
        cartesian=(
            _cartesian(section.section("cartesian"), folder)
            if position and section.has("cartesian")
            else None
        ),
    )
    section.finish()
    _check(section.where, sink, spec)
    return sink


def _has(section: Section, spec: AdapterSpec, key: str) -> bool:
    """Whether an option is there; with an adapter that has no such option it stays unknown."""
    return key in spec.options and section.has(key)


def _check(where: str, sink: CommandSink, spec: AdapterSpec) -> None:
    if sink.type not in spec.types:
        raise ContractError(
            f"{where}: adapter {sink.adapter} sends {listed(spec.types)}, found {sink.type}"
        )
    if spec.single and len(sink.fields) != 1:
        raise ContractError(
            f"{where}: adapter {sink.adapter} takes one field, found {len(sink.fields)}"
        )
    refuse_twice(sink.wire_names, f"{where}: fields: joint or axis")
    posture = None if sink.cartesian is None else sink.cartesian.posture
    if posture is not None and len(posture) != len(sink.fields):
        raise ContractError(
            f"{where}: cartesian: posture: {len(posture)} numbers, expected one a joint: "
            f"{listed(sink.wire_names)}"
        )
    if sink.safe == "decelerate" and not all(
        math.isfinite(field.max_acceleration) for field in sink.fields
    ):
        raise ContractError(
            f"{where}: safe 'decelerate' needs max_acceleration in every field; "
            f"it is missing in "
            f"{listed(f.name for f in sink.fields if math.isinf(f.max_acceleration))}"
        )
    if sink.max_effort is not None and (sink.quantity, sink.type) != (
        "position",
        "sensor_msgs/msg/JointState",
    ):
        raise ContractError(
            f"{where}: max_effort goes with a position in a sensor_msgs/msg/JointState; "
            f"found {sink.quantity} in {sink.type}"
        )


def _field(name: str, section: Section, spec: AdapterSpec, quantity: str) -> CommandField:
    unit, low, high = section.text("unit"), section.number("low"), section.number("high")
    native, position = quantity == "native", quantity == "position"
    field = CommandField(
        name=name,
        unit=unit,
        low=low,
        high=high,
        joint=_wire_name(section, quantity),
        range=None if native else Range.read(section),
        max_velocity=_limit(section, "max_velocity", position),
        max_acceleration=_limit(section, "max_acceleration", not native and quantity != "effort"),
        max_step=_limit(section, "max_step", not native),
    )
    section.finish()
    if not low < high:
        raise ContractError(f"{section.where}: low {low:g} must be below high {high:g}")
    if not native:
        allowed = DIMENSIONS[quantity]
        if quantity == "twist":
            allowed = ("angular velocity",) if field.joint.startswith("r") else ("velocity",)
        dimension = parse_unit(unit).dimension
        gripper = spec is ADAPTERS["gripper"] and dimension == "plain number"
        if dimension not in allowed and not gripper:
            raise ContractError(
                f"{section.where}: unit '{unit}' is a unit of {dimension}; this sink takes "
                f"{quantity}, a unit of {listed(allowed)}"
            )
    if field.range is not None and len(field.range.physical) != 1:
        raise ContractError(f"{section.where}: range: expected [low, high] for one value")
    return field


def _wire_name(section: Section, quantity: str) -> str:
    if quantity == "twist":
        return section.choice("axis", AXES)
    if quantity == "native" or not section.has("joint"):
        return ""
    return section.text("joint")


def _limit(section: Section, key: str, allowed: bool) -> float:
    return section.positive(key) if allowed and section.has(key) else math.inf


def _cartesian(section: Section, folder: Path) -> Cartesian:
    fields = []
    for name, item in section.sections("fields").items():
        field = CartesianField(
            name=name,
            axis=item.choice("axis", AXES),
            unit=item.text("unit"),
            low=item.number("low"),
            high=item.number("high"),
            range=Range.read(item),
        )
        item.finish()
        if not field.low < field.high:
            raise ContractError(
                f"{item.where}: low {field.low:g} must be below high {field.high:g}"
            )
        expected = "angle" if field.axis.startswith("r") else "length"
        if (dimension := parse_unit(field.unit).dimension) != expected:
            raise ContractError(
                f"{item.where}: unit '{field.unit}' is a unit of {dimension}; a move along "
                f"{field.axis} has a unit of {expected}"
            )
        fields.append(field)
    refuse_twice([field.axis for field in fields], f"{section.where}: fields: axis")
    cartesian = Cartesian(
        model=folder / section.text("model"),
        frame=section.text("frame"),
        frame_type=section.choice("frame_type", FRAME_TYPES, "site"),
        axes=section.choice("axes", DELTA_AXES, "base"),
        fields=tuple(fields),
        orientation_cost=(
            section.positive("orientation_cost") if section.has("orientation_cost") else 1.0
        ),
        posture=section.numbers("posture") if section.has("posture") else None,
    )
    section.finish()
    return cartesian
