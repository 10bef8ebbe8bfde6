"""Messages that their types allow and no sound robot sends: absurd numbers, sizes, names."""

from __future__ import annotations

import math
import re
from array import array

import numpy as np

from lram_ros.message_fields import message_class

DOUBLES = (math.nan, math.inf, -math.inf, 1e308, -1e308, 3.5e38, 5e-324, -0.0, 1e6, -1.0, 0.5)
FLOATS = (math.nan, math.inf, -math.inf, 3.4e38, -3.4e38, 1e-45, -0.0, 1e6, 0.5)
STRINGS = ("", "x", "world", "shoulder", "mono16", "rgb8", "png; \0", "é" * 50, "a" * 5000)
_SEQUENCE = re.compile(r"sequence<(.+?)(?:, \d+)?>$")
_FIXED = re.compile(r"(.+)\[(\d+)\]$")


def number(rng, kind):
    """A number that a field of this type takes, seldom a sensible one."""
    if kind in ("float", "double"):
        return float(rng.choice(FLOATS if kind == "float" else DOUBLES))
    if kind in ("boolean", "bool"):
        return bool(rng.random() < 0.5)
    if kind == "octet":
        return bytes([int(rng.integers(256))])
    bits = int(re.sub(r"\D", "", kind))
    low, high = (
        (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    return int((low, high, 0, 1, high // 2)[rng.integers(5)])


def spoil(rng, message):
    """Change one thing in a message, at random."""
    fields = message.get_fields_and_field_types()
    name = str(rng.choice(list(fields)))
    kind = fields[name]
    sequence, fixed = _SEQUENCE.match(kind), _FIXED.match(kind)
    if sequence:
        setattr(message, name, _sequence(rng, sequence[1], getattr(message, name)))
    elif fixed:
        values = list(getattr(message, name))
        values[rng.integers(len(values))] = number(rng, fixed[1])
        setattr(message, name, np.array(values))
    elif "/" in kind:
        spoil(rng, getattr(message, name))
    elif kind == "string":
        setattr(message, name, str(rng.choice(STRINGS)))
    else:
        setattr(message, name, number(rng, kind))


def _sequence(rng, kind, found):
    """Another sequence in the place of ``found``: shorter, longer, doubled, huge or spoilt."""
    values, draw = list(found), rng.random()
    if draw < 0.2:
        return _typed(kind, values[:-1])
    if draw < 0.3:
        return _typed(kind, [])
    if draw < 0.4:
        return _typed(kind, values * 2)
    if draw < 0.45 and values:
        return _typed(kind, (values * (20_000 // len(values) + 1))[:20_000])
    if draw < 0.6 and len(values) > 1:
        values[0] = values[1]
        return _typed(kind, values)
    item = _item(rng, kind)
    if values and rng.random() < 0.8:
        values[rng.integers(len(values))] = item
    else:
        values.append(item)
    return _typed(kind, values)


def _item(rng, kind):
    if kind == "string":
        return str(rng.choice(STRINGS))
    if "/" in kind:
        package, _, name = kind.rpartition("/")
        return message_class(f"{package}/msg/{name}")()
    return number(rng, kind)


def _typed(kind, values):
    codes = {"uint8": "B", "octet": None, "double": "d", "float": "f", "int32": "i"}
    code = codes.get(kind)
    return array(code, values) if code else values
