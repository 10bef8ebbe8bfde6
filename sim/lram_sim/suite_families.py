"""Names of suites as a message tells them: by family, which is what a name begins with."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from lram_core.errors import listed


def told(names: Iterable[str]) -> str:
    """Return the names by family, as ``composuite-{iiwa, jaco}, metaworld``."""
    return ", ".join(_told(family, members) for family, members in _families(names).items())


def unknown(name: str, names: list[str]) -> str:
    """Return the message that names those near to ``name``, and those of the family it is of."""
    families, family = _families(names), name.partition("-")[0]
    if family in families:
        # By what follows the family alone: all of its names are near each other.
        members = {each.removeprefix(f"{family}-"): each for each in families[family]}
        near = [members[m] for m in get_close_matches(name.removeprefix(f"{family}-"), members)]
        others = listed(each for each in families if each != family)
        available = f"{_told(family, families[family])}; other families: {others}"
    else:
        near, available = get_close_matches(name, names), told(names)
    nearest = f"; nearest: {listed(near)}" if near else ""
    return f"unknown suite '{name}'{nearest}; available: {available}"


def _families(names: Iterable[str]) -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for name in names:
        families.setdefault(name.partition("-")[0], []).append(name)
    return families


def _told(family: str, names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    members = listed(name.removeprefix(f"{family}-") for name in names if name != family)
    return f"{f'{family}, ' if family in names else ''}{family}-{{{members}}}"
