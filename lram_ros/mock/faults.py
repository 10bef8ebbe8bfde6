"""What can go wrong with a mock robot, and when: ``KIND[:TOPIC][=VALUE]@START[+DURATION]``.

stale:joint_states@3s            no more messages from 3 s on
drop:goal=4@2s+500ms             every 4th message is lost for half a second
jump_clock=-2.5s@4s              the robot's clock goes back by 2.5 s
kill@10s                         the process kills itself
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lram_core.errors import CommandError, listed

GRAMMAR = "KIND[:TOPIC][=VALUE]@START[+DURATION]"


@dataclass(frozen=True)
class FaultKind:
    """What a kind of fault needs.

    Attributes:
        does: what it does, for the help.
        topic: whether it is a topic's; else it is the robot's.
        value: what VALUE is: ``""`` (none), ``count``, ``seconds`` or ``number``.
        default: VALUE where none is given; NaN if one must be.
    """

    does: str
    topic: bool = True
    value: str = ""
    default: float = 0.0


KINDS: dict[str, FaultKind] = {
    "stale": FaultKind("no more messages"),
    "frozen": FaultKind("the same message again and again, with its old stamp"),
    "drop": FaultKind("every COUNT-th message is lost", value="count", default=2),
    "delay": FaultKind("messages come that much late, in order", value="seconds", default=0.2),
    "reorder": FaultKind("names and their values in another order each time (harmless)"),
    "nan": FaultKind("every value is NaN"),
    "extreme": FaultKind("every value is NUMBER", value="number", default=1e6),
    "wrong_size": FaultKind("one value fewer than there should be"),
    "duplicate_names": FaultKind("one name stands there twice"),
    "second_publisher": FaultKind("another node publishes the topic too, with other values"),
    "freeze_clock": FaultKind("stamps, and /clock with --sim-time, stand still", topic=False),
    "jump_clock": FaultKind(
        "stamps, and /clock with --sim-time, jump by so much",
        topic=False,
        value="seconds",
        default=math.nan,
    ),
    "kill": FaultKind("the process ends by SIGKILL", topic=False),
}
_FAULT = re.compile(
    r"(?P<kind>\w+)(?::(?P<topic>[^\s:=@+]+))?(?:=(?P<value>[^\s:=@]+))?"
    r"@(?P<start>[^\s:=@+]+)(?:\+(?P<duration>[^\s:=@+]+))?",
    re.ASCII,
)
_SECONDS = re.compile(r"(?P<number>.+?)(?P<unit>ms|s)?")
_UNITS = {None: 1.0, "s": 1.0, "ms": 1e-3}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: key of KINDS.
        topic: as in the contract; empty for the robot as a whole.
        value: what KINDS says of this kind.
        start: seconds after the robot's first message.
        duration: seconds; infinite where none is given.
    """

    kind: str
    topic: str
    value: float
    start: float
    duration: float = math.inf

    def active(self, elapsed: float) -> bool:
        """Whether it holds ``elapsed`` seconds after the first message."""
        return self.start <= elapsed < self.start + self.duration

    def __str__(self) -> str:
        """The fault in the words of the grammar; parsing them gives an equal one."""
        kind = KINDS[self.kind]
        unit = "s" if kind.value == "seconds" else ""
        number = int(self.value) if kind.value == "count" else repr(self.value)
        topic = f":{self.topic}" if kind.topic else ""
        value = f"={number}{unit}" if kind.value else ""
        duration = f"+{self.duration!r}s" if math.isfinite(self.duration) else ""
        return f"{self.kind}{topic}{value}@{self.start!r}s{duration}"


def parse_fault(text: str, topics: Sequence[str]) -> Fault:
    """Read a fault.

    Args:
        text: in the grammar above; times are seconds, with ``s`` or ``ms`` behind them or without.
        topics: of the contract; a fault may name them with or without a leading slash.

    Raises:
        CommandError: it does not fit the grammar, or the kind, the topic or a number is wrong; the
            message names what there is.
    """
    match = _FAULT.fullmatch(text)
    if match is None:
        raise CommandError(
            f"fault '{_shown(text)}': expected {GRAMMAR}, e.g. stale:joint_states@3s; "
            f"kinds are {listed(KINDS)}"
        )
    name, where = match["kind"], f"fault '{_shown(text)}'"
    if name not in KINDS:
        raise CommandError(f"{where}: kind '{name}' is unknown; kinds are {listed(KINDS)}")
    kind = KINDS[name]
    start = _seconds(match["start"], f"{where}: start")
    duration = math.inf
    if match["duration"] is not None:
        duration = _seconds(match["duration"], f"{where}: duration")
    if start < 0 or duration <= 0:
        raise CommandError(f"{where}: expected a start of at least 0 and a duration above 0")
    topic = _topic(match["topic"], kind, topics, where)
    return Fault(name, topic, _value(match["value"], kind, where), start, duration)


def describe_kinds() -> str:
    """One line for each kind, for the help."""
    lines = []
    for name, kind in KINDS.items():
        default = (
            "" if math.isnan(kind.default) or not kind.value else f", by default {kind.default:g}"
        )
        value = f"={kind.value.upper()}" if kind.value else ""
        shown = f"{name}{':TOPIC' if kind.topic else ''}{value}"
        lines.append(f"{shown:32} {kind.does}{default}")
    return "\n".join(lines)


def _topic(found: str | None, kind: FaultKind, topics: Sequence[str], where: str) -> str:
    if not kind.topic:
        if found is not None:
            raise CommandError(f"{where}: it is the whole robot's and takes no topic")
        return ""
    if found is None:
        raise CommandError(f"{where}: it needs a topic; topics are {listed(topics)}")
    for topic in topics:
        if topic.lstrip("/") == found.lstrip("/"):
            return topic
    raise CommandError(f"{where}: topic '{found}' is not in the contract; it has {listed(topics)}")


def _value(found: str | None, kind: FaultKind, where: str) -> float:
    if not kind.value:
        if found is not None:
            raise CommandError(f"{where}: it takes no value, found '{found}'")
        return 0.0
    if found is None:
        if math.isnan(kind.default):
            raise CommandError(f"{where}: it needs a value in {kind.value}, e.g. =-2.5s")
        return kind.default
    if kind.value == "count":
        if not (found.isascii() and found.isdigit() and 1 <= int(found) <= 10**6):
            raise CommandError(f"{where}: expected a count from 1 on, found '{found}'")
        return int(found)
    value = _seconds(found, f"{where}: value") if kind.value == "seconds" else _number(found, where)
    if kind.default > 0 and kind.value == "seconds" and value <= 0:
        raise CommandError(f"{where}: expected a time above 0, found '{found}'")
    return value


def _seconds(text: str, where: str) -> float:
    match = _SECONDS.fullmatch(text)
    assert match is not None  # the grammar lets nothing empty through
    return _number(match["number"], where) * _UNITS[match["unit"]]


def _number(text: str, where: str) -> float:
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CommandError(f"{where}: expected a finite number, found '{text}'")
    return value


def _shown(text: str) -> str:
    """On one line, cut to a readable length."""
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= 80 else f"{printable[:77]}..."
