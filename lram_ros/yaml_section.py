"""Checked reading of YAML mappings: every value is asked for, every error names its key."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lram_core.errors import ContractError, listed


class Section:
    """A mapping of the file: hands out checked values and refuses keys nobody asked for.

    Every method raises ContractError for a key that is missing or of another kind.

    Args:
        data: what the YAML holds.
        where: file and key of it, which open every message.

    Raises:
        ContractError: ``data`` is no mapping.
    """

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, Mapping):
            raise ContractError(f"{where}: expected a mapping, found {shown(data)}")
        self.data = data
        self.where = where
        self.asked: list[str] = []

    def _get(self, key: str) -> object:
        self.asked.append(key)
        if key not in self.data:
            raise ContractError(
                f"{self.where}: key '{key}' is missing; the keys here are {listed(self.data)}"
            )
        return self.data[key]

    def _wrong(self, key: str, expected: str) -> ContractError:
        return ContractError(
            f"{self.where}: {key}: expected {expected}, found {shown(self.data[key])}"
        )

    def has(self, key: str) -> bool:
        self.asked.append(key)
        return key in self.data

    def version(self, expected: int) -> None:
        if self._get("format_version") != expected:
            raise self._wrong("format_version", f"{expected} (what this release reads)")

    def text(self, key: str) -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value:
            raise self._wrong(key, "a non-empty text")
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """One of ``allowed``; a missing key stands for ``default`` where there is one."""
        if default is not None and not self.has(key):
            return default
        value = self._get(key)
        if not isinstance(value, str) or value not in allowed:
            raise self._wrong(key, f"one of {listed(allowed)}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        value = self._get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def number(self, key: str) -> float:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            raise self._wrong(key, "a number")
        return float(value)

    def numbers(self, key: str) -> tuple[float, ...]:
        value = self._get(key)
        if not isinstance(value, list) or not all(map(_is_number, value)):
            raise self._wrong(key, "a list of numbers")
        if not all(map(math.isfinite, value)):
            raise self._wrong(key, "a list of numbers that are finite")
        return tuple(map(float, value))

    def positive(self, key: str, finite: bool = True) -> float:
        value = self.number(key)
        if value <= 0 or (finite and math.isinf(value)):
            raise self._wrong(key, "a positive number" + (" that is finite" if finite else ""))
        return value

    def count(self, key: str, default: int | None = None) -> int:
        if default is not None and not self.has(key):
            return default
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._wrong(key, "a whole number of at least 1")
        return value

    def ends(self, key: str) -> tuple[float, float]:
        """Two finite numbers that differ, in either order."""
        value = self._get(key)
        if isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)):
            first, last = map(float, value)
            if first != last and math.isfinite(first) and math.isfinite(last):
                return first, last
        raise self._wrong(key, "two finite numbers that differ")

    def spans(self, key: str) -> tuple[tuple[float, float], ...]:
        """One span, or a list of them."""
        value = self._get(key)
        many = isinstance(value, list) and all(isinstance(item, list) for item in value)
        return self._spans(key, value if many and isinstance(value, list) else [value])

    def _spans(self, key: str, values: list[object]) -> tuple[tuple[float, float], ...]:
        found = []
        for value in values:
            if (
                not isinstance(value, list)
                or len(value) != 2
                or not all(map(_is_number, value))
                or not -math.inf < value[0] < value[1] < math.inf
            ):
                raise self._wrong(key, "[low, high], finite and low below high")
            found.append((float(value[0]), float(value[1])))
        if not found:
            raise self._wrong(key, "[low, high], or a list of them")
        return tuple(found)

    def interface(self, key: str) -> str:
        value = self._get(key)
        parts = value.split("/") if isinstance(value, str) else []
        if len(parts) != 3 or parts[1] != "msg" or not all(parts):
            raise self._wrong(key, "a message type such as sensor_msgs/msg/JointState")
        return "/".join(parts)

    def section(self, key: str) -> Section:
        return Section(self._get(key), f"{self.where}: {key}")

    def sections(self, key: str) -> dict[str, Section]:
        """A mapping of mappings, not empty."""
        value = self._get(key)
        if not isinstance(value, Mapping) or not value:
            raise self._wrong(key, "a non-empty mapping")
        return {str(k): Section(v, f"{self.where}: {key}: {k}") for k, v in value.items()}

    def items(self, key: str) -> list[Section]:
        """A list of mappings, not empty."""
        value = self._get(key)
        if not isinstance(value, list) or not value:
            raise self._wrong(key, "a non-empty list")
        return [Section(v, f"{self.where}: {key}[{i}]") for i, v in enumerate(value)]

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise self._wrong(key, "a non-empty list of names")
        refuse_twice(value, f"{self.where}: {key}: name")
        return tuple(value)

    def finish(self) -> None:
        """Raises ContractError: there are keys that nothing has asked for."""
        unknown = [str(key) for key in self.data if key not in self.asked]
        if unknown:
            expected = listed(dict.fromkeys(self.asked))
            raise ContractError(f"{self.where}: unknown key {listed(unknown)}; expected {expected}")


def refuse_twice(names: list[str], what: str) -> None:
    """Raise ContractError where a name occurs more than once; ``what`` opens the message."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ContractError(f"{what} {listed(twice)} is given more than once")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shown(value: object) -> str:
    """Return ``value`` for a message, cut to a readable length."""
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:57]}…"
