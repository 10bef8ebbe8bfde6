"""Settings of a training: names, types, ranges and defaults, and what their docstring says."""

from __future__ import annotations

import inspect
import re
from typing import Any

from lram_core.training.command import train
from lram_core.training.config import TrainConfig
from lram_core.training.declarations import Declared, declared
from lram_core.training.settings import DEFAULTS, KEYS, RunSettings

_ENTRY = re.compile(r"^    (\w+): (.*)$")
_KINDS = {bool: "true or false", int: "integer", float: "number", str: "text", dict: "mapping"}


def page() -> str:
    """Return the page."""
    told, options = meanings(), {p.name: max(p.opts, key=len) for p in train.params}
    lines = [
        "# Training settings",
        "",
        "Every setting of `lram train`: as a key of the file that `--config` reads, as "
        "`KEY=VALUE`, and some as an option. [Which beats which](../training.md#settings). "
        "`lram train --print-config` prints them all.",
        "",
        "| setting | type, range | default | option | |",
        "|---|---|---|---|---|",
    ]
    for name in KEYS:
        option = f"`{options[name]}`" if name in options else ""
        default = _shown(getattr(DEFAULTS, name))
        cells = (f"`{name}`", _type(declared(name)), default, option, told[name])
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def meanings() -> dict[str, str]:
    """Return setting → what its docstring says of it, as Markdown.

    Raises:
        LookupError: a setting is not explained, or what is explained is none.
    """
    found = {**_attributes(RunSettings), **_attributes(TrainConfig)}
    if different := set(KEYS) ^ set(found):
        raise LookupError(f"settings without an explanation, or the reverse: {sorted(different)}")
    return found


def _attributes(cls: type) -> dict[str, str]:
    """Read the part ``Attributes:`` of a docstring, an entry an attribute."""
    _, _, text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if entry := _ENTRY.match(line):
            name, found[entry[1]] = entry[1], entry[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return {name: _markdown(text) for name, text in found.items()}


def _markdown(text: str) -> str:
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def _type(told: Declared) -> str:
    if told.choices:
        return ", ".join(map(_shown, told.choices))
    if told.parts:
        return f"list, each: {_type(told.parts[0])}"
    name = _KINDS[told.kind]
    if told.low is None:
        return name
    if told.high is None:
        return f"{name}, {'>' if told.above else '≥'} {told.low:g}"
    return f"{name}, {told.low:g} … {told.high:g}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (tuple, dict)):
        return f"`{', '.join(map(str, value))}`" if value else ""
    return f"`{value}`" if value != "" else ""
