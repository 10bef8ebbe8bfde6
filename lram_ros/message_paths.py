"""Places inside messages by dotted path: what is there, and numbers put there."""

from __future__ import annotations

import math
import re
from typing import Any

from lram_ros.message_fields import message_class

FIXED = re.compile(r"(.+)\[(\d+)\]$")
SEQUENCE = re.compile(r"sequence<([^,>]+)(?:, \d+)?>$")
NAME_LISTS = ("name", "joint_names")
FLOATS = ("float", "double")


def cast(value: float, kind: str) -> Any:
    """A number as a field of the type ``kind`` takes it."""
    if kind in FLOATS:
        return value
    whole = 0 if not math.isfinite(value) else round(value)
    if kind in ("boolean", "bool"):
        return whole > 0
    bits = int(re.sub(r"\D", "", kind) or 8)
    low, high = (0, 2**bits - 1) if kind[0] in "uo" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return min(max(whole, low), high)


def get(message: Any, path: str) -> Any:
    """What is at a dotted path."""
    for part in path.split("."):
        message = getattr(message, part)
    return message


def put(message: Any, path: str, value: Any) -> None:
    """Set what is at a dotted path."""
    parent, _, name = path.rpartition(".")
    setattr(get(message, parent) if parent else message, name, value)


def resolve(type_name: str, path: str) -> tuple[str, str]:
    """Follow a path; returns the type that holds its last part, and that part's type."""
    current, parts = type_name, path.split(".")
    for part in parts[:-1]:
        current = message_class(full_name(current)).get_fields_and_field_types()[part]
    return current, message_class(full_name(current)).get_fields_and_field_types()[parts[-1]]


def number_leaves(kind: str, path: str) -> list[tuple[str, str]]:
    """(path, type) of every number in ``kind``, in the order of its definition."""
    if "/" not in kind:
        return [(path, kind)]
    fields = message_class(full_name(kind)).get_fields_and_field_types()
    return [
        leaf for name, inner in fields.items() for leaf in number_leaves(inner, f"{path}.{name}")
    ]


def full_name(name: str) -> str:
    """``geometry_msgs/Pose`` (as definitions say it) → ``geometry_msgs/msg/Pose``."""
    package, *_, message = name.split("/")
    return f"{package}/msg/{message}"
