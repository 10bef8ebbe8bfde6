"""Numbers out of ROS messages by field path, and what a message type says about them.

Works on generated message classes and, because only attribute names are used, on the look-alikes
that a bag reader makes. No rclpy is needed.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import ContractError, LramError, listed
from lram_ros.robot_contract import FieldSource

Array = npt.NDArray[np.float64]

_NUMBERS = {
    "boolean",
    "octet",
    "float",
    "double",
    "long double",
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}
_FIXED = re.compile(r"(.+)\[(\d+)\]$")
_SEQUENCE = re.compile(r"sequence<([^,>]+)(?:, \d+)?>$")
_NAME_LISTS = ("name", "joint_names")


class InputError(LramError):
    """A message that must not reach the policy: malformed or not finite."""


def message_class(type_name: str) -> Any:
    """Return the class of ``package/msg/Name``.

    Raises:
        ContractError: the package or the message is not installed.
    """
    package, _, name = type_name.split("/")
    try:
        module = importlib.import_module(f"{package}.msg")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in (package, "rosidl_parser"):
            raise
        raise ContractError(f"message type {type_name}: package {package} is not built") from None
    found = getattr(module, name, None)
    if found is None or not hasattr(found, "get_fields_and_field_types"):
        known = [n for n in vars(module) if n[:1].isupper() and not n.endswith("_")]
        raise ContractError(f"message type {type_name} is unknown; {package} has {listed(known)}")
    return found


def has_header(cls: Any) -> bool:
    """Whether messages of this type carry a stamp."""
    return cls.get_fields_and_field_types().get("header") == "std_msgs/Header"


class FieldReader:
    """Reads one observation field out of a message of a known type.

    Attributes:
        size: number of values, None where only a message itself can tell.
    """

    def __init__(self, source: FieldSource, type_name: str, where: str) -> None:
        """Raises ContractError where the type has no such path, or its names do not fit it."""
        self.source = source
        self.where = f"{where}: {source.name} ({source.path} of {type_name})"
        parent, kind = self._resolve(type_name)
        self.size: int | None
        self._read: Callable[[Any], Any]
        self._order: list[int] = []
        self._seen_names: list[str] | None = None
        sequence = _SEQUENCE.match(kind)
        if source.names:
            if not sequence or sequence[1] not in _NUMBERS:
                raise ContractError(f"{self.where}: names need a sequence of numbers, not {kind}")
            self.size = len(source.names)
            self._read = self._by_name
            self._prepare_names(parent)
        elif sequence and sequence[1] in _NUMBERS:
            self.size = None
            self._read = attrgetter(source.path)
        elif (fixed := _FIXED.match(kind)) and fixed[1] in _NUMBERS:
            self.size = int(fixed[2])
            self._read = attrgetter(source.path)
        else:
            leaves = self._leaves(kind, source.path)
            self.size = len(leaves)
            self._read = attrgetter(*leaves)

    def read(self, message: Any) -> Array:
        """Return the field's values, float64 (size,).

        Raises:
            InputError: a name is missing or doubled, the arrays disagree, or a value is not
                finite.
        """
        values = np.array(self._read(message), dtype=np.float64).reshape(-1)
        if not np.isfinite(values).all():
            raise InputError(f"{self.where}: not finite: {values.tolist()}")
        if self.size is not None and values.size != self.size:
            raise InputError(f"{self.where}: {values.size} values, expected {self.size}")
        return values

    def _resolve(self, type_name: str) -> tuple[str, str]:
        """Follow the path; returns the type that holds its last part, and that part's type."""
        current = type_name
        parts = self.source.path.split(".")
        for depth, part in enumerate(parts):
            fields = message_class(_full(current)).get_fields_and_field_types()
            if part not in fields:
                raise ContractError(
                    f"{self.where}: {_full(current)} has no field '{part}'; it has {listed(fields)}"
                )
            if depth == len(parts) - 1:
                return current, fields[part]
            current = fields[part]
            if "/" not in current or _SEQUENCE.match(current) or _FIXED.match(current):
                raise ContractError(f"{self.where}: '{part}' is {current}, it has no fields")
        raise ContractError(f"{self.where}: empty path")

    def _leaves(self, kind: str, path: str) -> list[str]:
        """Paths of all numbers in ``kind``, in the order of its definition."""
        if kind in _NUMBERS:
            return [path]
        if "/" not in kind or _SEQUENCE.match(kind) or _FIXED.match(kind):
            raise ContractError(f"{self.where}: {path} is {kind}, which is not a set of numbers")
        fields = message_class(_full(kind)).get_fields_and_field_types()
        return [leaf for n, k in fields.items() for leaf in self._leaves(k, f"{path}.{n}")]

    def _prepare_names(self, parent: str) -> None:
        fields = message_class(_full(parent)).get_fields_and_field_types()
        lists = [n for n in _NAME_LISTS if fields.get(n) == "sequence<string>"]
        if not lists:
            raise ContractError(
                f"{self.where}: names given, but {_full(parent)} has no list of names "
                f"({listed(_NAME_LISTS)})"
            )
        prefix = self.source.path.rpartition(".")[0]
        self._names = attrgetter(f"{prefix}.{lists[0]}" if prefix else lists[0])
        self._values = attrgetter(self.source.path)

    def _by_name(self, message: Any) -> list[float]:
        names, values = self._names(message), self._values(message)
        if names != self._seen_names:
            self._order = self._find(list(names))
            self._seen_names = list(names)
        if len(values) != len(names):
            raise InputError(f"{self.where}: {len(names)} names, but {len(values)} values")
        return [values[i] for i in self._order]

    def _find(self, names: list[str]) -> list[int]:
        missing = [name for name in self.source.names if name not in names]
        if missing:
            raise InputError(f"{self.where}: no {listed(missing)}; it has {listed(names)}")
        twice = [name for name in self.source.names if names.count(name) > 1]
        if twice:
            raise InputError(f"{self.where}: {listed(twice)} given more than once")
        return [names.index(name) for name in self.source.names]


def _full(name: str) -> str:
    """``geometry_msgs/Pose`` (as message definitions say it) → ``geometry_msgs/msg/Pose``."""
    package, *_, message = name.split("/")
    return f"{package}/msg/{message}"
