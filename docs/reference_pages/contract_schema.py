"""Keys of a robot contract, told by the code that reads contracts.

A :class:`Probe` takes the place of the file: it answers every question of the reader with a value
that is allowed, and notes the question. Once for each command adapter and each kind of input all
keys have been asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lram_ros.adapters.table import ADAPTERS
from lram_ros.robot_contract import RobotContract
from lram_ros.yaml_section import Section

JOINT_STATE, IMAGE = "sensor_msgs/msg/JointState", "sensor_msgs/msg/Image"
UNITS = {"position": "m", "velocity": "rad/s", "effort": "N m", "twist": "m/s", "native": "1"}
NUMBERS = {"low": 0.0, "high": 1.0}


@dataclass
class Key:
    """What is known of one key, in the order of the findings: dictionaries as ordered sets.

    Attributes:
        values: what it may be, in words.
        defaults: what stands for it where it is missing; none: it is required.
        adapters: which command adapters have it.
    """

    values: dict[str, None] = field(default_factory=dict)
    defaults: dict[str, None] = field(default_factory=dict)
    adapters: dict[str, None] = field(default_factory=dict)


Sections = dict[str, dict[str, Key]]


class Probe(Section):
    """Answers as a file that has every key but those in ``absent``.

    ``answers`` are texts by key; ``adapter`` is noted with the keys of command sections.
    """

    def __init__(
        self, where: str, found: Sections, answers: Mapping[str, str], absent: frozenset[str]
    ) -> None:
        super().__init__({}, where)
        self._found = found
        self._answers, self._absent = answers, absent
        self._optional: set[str] = set()

    def _note(self, key: str, *values: str, default: object = None) -> None:
        known = self._found.setdefault(self.where, {}).setdefault(key, Key())
        known.values.update(dict.fromkeys(values))
        known.adapters[self._answers["adapter"]] = None
        if default is not None or key in self._optional:
            known.defaults["–" if default is None else f"`{default}`"] = None

    def _child(self, where: str) -> Probe:
        return Probe(where, self._found, self._answers, self._absent)

    def has(self, key: str) -> bool:
        self._optional.add(key)
        return key not in self._absent

    def version(self, expected: int) -> None:
        self._note("format_version", str(expected))

    def text(self, key: str) -> str:
        self._note(key, "text")
        return self._answers.get(key, f"{self.where}/{key}")

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        self._note(key, *(f"`{each}`" for each in allowed), default=default)
        answer = self._answers.get(key, "")
        return answer if answer in allowed else allowed[0]

    def flag(self, key: str, default: bool) -> bool:
        self._note(key, "`true`", "`false`", default=str(default).lower())
        return default

    def number(self, key: str) -> float:
        self._note(key, "number")
        return NUMBERS.get(key, 1.0)

    def numbers(self, key: str) -> tuple[float, ...]:
        self._note(key, "list of numbers, one a joint")
        return (0.0,)

    def positive(self, key: str, finite: bool = True) -> float:
        self._note(key, "positive number" + ("" if finite else ", or `.inf`"))
        return 1.0

    def count(self, key: str, default: int | None = None) -> int:
        self._note(key, "whole number, at least 1", default=default)
        return 1

    def ends(self, key: str) -> tuple[float, float]:
        self._note(key, "two numbers", default="[-1, 1]")
        return -1.0, 1.0

    def spans(self, key: str) -> tuple[tuple[float, float], ...]:
        self._note(key, "`[low, high]`, or a list of them")
        return ((0.0, 1.0),)

    def interface(self, key: str) -> str:
        self._note(key, "message type")
        commands = self.where.startswith("command")
        return self._answers["command type" if commands else "input type"]

    def section(self, key: str) -> Section:
        self._note(key, "mapping")
        return self._child(self._below(key))

    def sections(self, key: str) -> dict[str, Section]:
        self._note(key, "name → mapping")
        picture = self.where.startswith("inputs") and self._answers["input type"] == IMAGE
        name = "NAME, a picture" if picture else "NAME"
        return {"name": self._child(f"{self._below(key)}: {name}")}

    def items(self, key: str) -> list[Section]:
        self._note(key, "list of mappings")
        return [self._child(f"{self._below(key)}[ ]")]

    def texts(self, key: str) -> tuple[str, ...]:
        self._note(key, "list of names")
        return ("name",)

    def finish(self) -> None:
        """Nothing is unknown here."""

    def _below(self, key: str) -> str:
        return key if self.where == ROOT else f"{self.where}: {key}"


ROOT = "contract"


def schema() -> Sections:
    """Return section → key → what the reader asks of it."""
    found: Sections = {}

    def read(absent: set[str], **answers: Any) -> None:
        given = {"adapter": "", "input type": JOINT_STATE, "command type": "", **answers}
        RobotContract.read(Probe(ROOT, found, given, frozenset(absent)))

    native = {"command type": ADAPTERS["native"].types[0], "adapter": "native"}
    read({"commands"}, **native)
    read({"commands", "constant"}, **native)
    read({"commands", "constant"}, **native, **{"input type": IMAGE})
    for name, spec in ADAPTERS.items():
        for quantity in spec.quantities:
            read(
                {"command", "constant", *({"max_effort"} if quantity != "position" else ())},
                **{"adapter": name, "quantity": quantity, "unit": UNITS[quantity]},
                **{"command type": spec.types[-1]},
            )
    return found


def page() -> str:
    lines = [
        "# Contract schema",
        "",
        "Every key of a robot contract, told by the code that reads it; other keys are errors. "
        "What they mean is in [contract.md](../contract.md). A contract has `command` or "
        "`commands`; a `reward` has `constant` alone, or a topic. Of several defaults, what the "
        "sink commands decides. `inputs[ ]` is each entry of the list `inputs`, NAME the name of "
        "any field. Times are in s, rates in Hz; limits in the `unit` of their field, and per s "
        "or s².",
    ]
    for where, keys in schema().items():
        sinks = where.startswith("commands")
        lines += ["", f"## {where}", "", f"| key | value | default |{' adapters |' * sinks}"]
        lines += [f"|---|---|---|{'---|' * sinks}"]
        everywhere = {name for key in keys.values() for name in key.adapters}
        for name, key in keys.items():
            whose = "all" if set(key.adapters) == everywhere else ", ".join(key.adapters)
            cells = (" or ".join(key.values), ", ".join(key.defaults) or "required")
            row = [f"`{name}`", *cells, *([whose] if sinks else [])]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"
