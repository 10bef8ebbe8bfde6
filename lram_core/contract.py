"""What a policy demands of a robot and may command: the contract inside every bundle.

The contract is the only thing a control node needs to know about training: which fields make up
the observation and in which order, what the action fields are called and how far they may go, at
which rate the policy was trained, and how its reward is defined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lram_core.errors import ContractError, listed

FORMAT_VERSION = 1
DISCRETE = "discrete"
"""Kind of an action field that is a choice: the whole numbers from ``low`` to ``high``."""


def _number(value: object, where: str, positive: bool = False) -> float:
    expected = "a positive finite number" if positive else "a finite number"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ContractError(f"{where}: expected {expected}, found {value!r}")
    if positive and value <= 0:
        raise ContractError(f"{where}: expected {expected}, found {value!r}")
    return float(value)


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise ContractError(f"{where}: expected a non-empty text, found {value!r}")
    return value


def _count(value: object, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ContractError(f"{where}: expected an integer of at least {least}, found {value!r}")
    return value


def _picture(value: object, size: int, where: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or len(value) not in (0, 3):
        raise ContractError(f"{where}: expected [height, width, channels], found {value!r}")
    shape = tuple(_count(each, where, 1) for each in value)
    if shape and math.prod(shape) != size:
        raise ContractError(
            f"{where}: {list(shape)} is {math.prod(shape)} values, the field's size is {size}"
        )
    return shape


def _mapping(cls: type, data: object, where: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Check that ``data`` has exactly the keys of the dataclass ``cls``."""
    if not isinstance(data, Mapping):
        raise ContractError(f"{where}: expected a mapping, found {type(data).__name__}")
    names = [f.name for f in fields(cls)]
    missing = [n for n in names if n not in data and n not in optional]
    unknown = [str(k) for k in data if k not in names]
    if missing or unknown:
        problem = "; ".join(
            text
            for text in (
                f"missing {listed(missing)}" if missing else "",
                f"unknown {listed(unknown)}" if unknown else "",
            )
            if text
        )
        raise ContractError(f"{where}: {problem}; expected the keys {listed(names)}")
    return dict(data)


@dataclass(frozen=True)
class ObservationField:
    """One named piece of the observation vector.

    Attributes:
        name: sensor field, e.g. ``ee_position``.
        size: number of values.
        unit: SI unit of the values (``m``, ``rad``), or ``1`` for dimensionless ones.
        delay: age in control ticks; 1 is the value of the tick before (the current one at an
            episode's start). One sensor may appear with several delays.
        picture: (height, width, channels) of a camera's picture, whose values are those of its
            pixels, row by row, from 0 to 1; empty for anything else.
    """

    name: str
    size: int
    unit: str
    delay: int = 0
    picture: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, data: object, where: str = "observation field") -> ObservationField:
        raw = _mapping(cls, data, where, optional=("delay", "picture"))
        size = _count(raw["size"], f"{where}.size", 1)
        return cls(
            name=_text(raw["name"], f"{where}.name"),
            size=size,
            unit=_text(raw["unit"], f"{where}.unit"),
            delay=_count(raw.get("delay", 0), f"{where}.delay", 0),
            picture=_picture(raw.get("picture", ()), size, f"{where}.picture"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; what is no picture does not say so."""
        data = asdict(self)
        del data["picture"]
        return data | ({"picture": list(self.picture)} if self.picture else {})


@dataclass(frozen=True)
class ActionField:
    """One scalar the policy commands, with the limits it was trained in.

    Attributes:
        name: joint or channel name.
        unit: unit of the value, ``1`` for a normalised one.
        kind: what the value is, e.g. ``joint_position``, ``cartesian_delta``, ``gripper``; or
            :data:`DISCRETE`.
        low, high: smallest and largest value that may be commanded, in ``unit``.
    """

    name: str
    unit: str
    kind: str
    low: float
    high: float

    @classmethod
    def from_dict(cls, data: object, where: str = "action field") -> ActionField:
        """Read plain data. Raises ContractError naming the key that is missing or wrong."""
        raw = _mapping(cls, data, where)
        low, high = _number(raw["low"], f"{where}.low"), _number(raw["high"], f"{where}.high")
        if not low < high:
            raise ContractError(f"{where}: low {low:g} must be below high {high:g}")
        kind = _text(raw["kind"], f"{where}.kind")
        if kind == DISCRETE and not (low.is_integer() and high.is_integer()):
            raise ContractError(
                f"{where}: a discrete action is a whole number, found low {low:g}, high {high:g}"
            )
        return cls(
            name=_text(raw["name"], f"{where}.name"),
            unit=_text(raw["unit"], f"{where}.unit"),
            kind=kind,
            low=low,
            high=high,
        )


@dataclass(frozen=True)
class RewardSpec:
    """How the reward token is to be computed on the robot.

    Attributes:
        definition: the reward in words, for whoever has to provide it.
        scale: rewards and returns are divided by this before the model sees them
            (paper, appendix on returns: 200 for Meta-World).
        ceiling: reward credited for each step that a success left unused within ``horizon``.
        horizon: number of steps over which the return of a demonstration is counted.
    """

    definition: str
    scale: float
    ceiling: float = 0.0
    horizon: int = 0

    @classmethod
    def from_dict(cls, data: object, where: str = "reward") -> RewardSpec:
        """Read plain data. Raises ContractError naming the key that is missing or wrong."""
        raw = _mapping(cls, data, where, optional=("ceiling", "horizon"))
        return cls(
            definition=_text(raw["definition"], f"{where}.definition"),
            scale=_number(raw["scale"], f"{where}.scale", positive=True),
            ceiling=_number(raw.get("ceiling", 0.0), f"{where}.ceiling"),
            horizon=_count(raw.get("horizon", 0), f"{where}.horizon", 0),
        )


@dataclass(frozen=True)
class PolicyContract:
    """Everything a robot must provide to a policy, and everything it will receive from it.

    Attributes:
        suite: task suite or robot family the policy was trained on.
        robot, gripper: models the demonstrations were recorded with; another one is refused.
        control_rate: rate of the control tick in Hz, in training and in deployment.
        observation: fields of the observation vector, in order.
        action: fields of the action vector, in order.
        reward: definition and scale of the reward.
        target_returns: return to ask for at an episode's start, by task, with a ``default``.
        context: length of a training window in control ticks.
        max_episode_steps: longest episode of the task suite in control ticks.
        format_version: version of this schema.
        controller: what carried the actions out in the demonstrations, where the same actions can
            be carried out in several ways; another one is refused. Empty: not said.
    """

    suite: str
    robot: str
    gripper: str
    control_rate: float
    observation: tuple[ObservationField, ...]
    action: tuple[ActionField, ...]
    reward: RewardSpec
    target_returns: dict[str, float]
    context: int
    max_episode_steps: int
    format_version: int = FORMAT_VERSION
    controller: str = ""

    @property
    def observation_size(self) -> int:
        return sum(field.size for field in self.observation)

    @property
    def action_size(self) -> int:
        return len(self.action)

    @property
    def action_names(self) -> list[str]:
        return [field.name for field in self.action]

    @property
    def sensors(self) -> dict[str, int]:
        """Sensor name → number of values, each sensor once, in order of first use."""
        return sensor_sizes(self.observation)

    def target_return(self, task: str | None = None) -> float:
        """Return to ask for in ``task``; the default one where the task is unknown or None."""
        return self.target_returns.get(task or "default", self.target_returns["default"])

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["observation"] = [field.to_dict() for field in self.observation]
        data["action"] = list(data["action"])
        return data

    @classmethod
    def from_dict(cls, data: object, where: str = "policy contract") -> PolicyContract:
        """Build from plain data. Raises ContractError naming the key that is wrong."""
        if isinstance(data, Mapping) and data.get("format_version") != FORMAT_VERSION:
            raise ContractError(
                f"{where}: format_version {data.get('format_version')!r} found, "
                f"this release reads {FORMAT_VERSION}"
            )
        raw = _mapping(cls, data, where, optional=("controller",))
        targets = raw["target_returns"]
        if not isinstance(targets, Mapping) or "default" not in targets:
            raise ContractError(f"{where}.target_returns: expected a mapping with a 'default'")
        contract = cls(
            suite=_text(raw["suite"], f"{where}.suite"),
            robot=_text(raw["robot"], f"{where}.robot"),
            gripper=_text(raw["gripper"], f"{where}.gripper"),
            control_rate=_number(raw["control_rate"], f"{where}.control_rate", positive=True),
            observation=observation_fields(raw["observation"], f"{where}.observation"),
            action=action_fields(raw["action"], f"{where}.action"),
            reward=RewardSpec.from_dict(raw["reward"], f"{where}.reward"),
            target_returns={
                str(task): _number(value, f"{where}.target_returns.{task}")
                for task, value in targets.items()
            },
            context=_count(raw["context"], f"{where}.context", 1),
            max_episode_steps=_count(raw["max_episode_steps"], f"{where}.max_episode_steps", 1),
            controller=str(raw.get("controller", "")),
        )
        return contract


def pictures(observation: tuple[ObservationField, ...]) -> tuple[tuple[int, ...], ...]:
    """Return (first value in the observation vector, height, width, channels) of each picture."""
    found, first = [], 0
    for field in observation:
        if field.picture:
            found.append((first, *field.picture))
        first += field.size
    return tuple(found)


def sensor_sizes(observation: tuple[ObservationField, ...]) -> dict[str, int]:
    """Return sensor name → size; ContractError where one sensor is given two sizes."""
    sizes: dict[str, int] = {}
    for field in observation:
        if sizes.setdefault(field.name, field.size) != field.size:
            raise ContractError(
                f"observation field {field.name} has size {sizes[field.name]} and {field.size}"
            )
    return sizes


def observation_fields(data: object, where: str) -> tuple[ObservationField, ...]:
    """Parse a list of observation fields; each (name, delay) may appear once.

    Raises ContractError naming what is missing, wrong or given twice.
    """
    if not isinstance(data, (list, tuple)) or not data:
        raise ContractError(f"{where}: expected a non-empty list of fields, found {data!r}")
    parsed = tuple(ObservationField.from_dict(item, f"{where}[{i}]") for i, item in enumerate(data))
    keys = [(field.name, field.delay) for field in parsed]
    twice = sorted(
        {f"{name} (delay {delay})" for name, delay in keys if keys.count((name, delay)) > 1}
    )
    if twice:
        raise ContractError(f"{where}: given more than once: {listed(twice)}")
    sensor_sizes(parsed)
    return parsed


def action_fields(data: object, where: str) -> tuple[ActionField, ...]:
    """Parse a list of action fields; names are unique. Raises as :func:`observation_fields`."""
    if not isinstance(data, (list, tuple)) or not data:
        raise ContractError(f"{where}: expected a non-empty list of fields, found {data!r}")
    parsed = tuple(ActionField.from_dict(item, f"{where}[{i}]") for i, item in enumerate(data))
    names = [field.name for field in parsed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(f"{where}: given more than once: {listed(twice)}")
    return parsed
