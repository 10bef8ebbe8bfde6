"""Message definitions for a bag, read from the definitions that are installed.

A bag is read on machines that lack this package, so it carries the text of each message's
definition. The text comes from the installed ``.msg`` files, the ones the live graph was built
from; a distribution's list compiled into a library may differ in a comment or a field.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from lram_core.errors import DataError
from lram_ros.paths import share_folders

TYPE_NAME = re.compile(r"(?P<package>\w+)/msg/(?P<name>\w+)")


def definition_file(type_name: str) -> Path:
    """The installed ``.msg`` file of a type such as ``std_msgs/msg/Header``.

    Raises:
        DataError: the name is not that of a message, or no definition is installed.
    """
    match = TYPE_NAME.fullmatch(type_name)
    if match is None:
        raise DataError(f"{type_name!r} is not a message type; expected PACKAGE/msg/NAME")
    spec = find_spec(match["package"])  # a pip install keeps definitions beside the classes
    modules = [Path(p) for p in spec.submodule_search_locations or []] if spec else []
    places = [*modules, *share_folders(match["package"])]
    for place in places:
        path = place / "msg" / f"{match['name']}.msg"
        if path.is_file():
            return path
    looked = ", ".join(str(place / "msg") for place in places) or "no installed package"
    raise DataError(f"no definition of message type {type_name} is installed (looked in: {looked})")


class BagTypes:
    """The types of one bag; each is read once, with everything it is made of."""

    def __init__(self) -> None:
        self.store = get_typestore(Stores.EMPTY)

    def definition(self, type_name: str) -> tuple[str, str]:
        """Full definition text of a message type and its hash (``RIHS01_...``).

        Raises:
            DataError: a definition, of the type or of one it contains, is not installed.
        """
        self._register(type_name)
        text, _ = self.store.generate_msgdef(type_name, ros_version=2)
        return text, self.store.hash_rihs01(type_name)

    def _register(self, type_name: str) -> None:
        found: dict = {}
        wanted = [type_name]
        while wanted:
            name = wanted.pop()
            if name in found or name in self.store.fielddefs:
                continue
            text = definition_file(name).read_text(encoding="utf-8")
            found.update(get_types_from_msg(text, name))
            wanted.extend(_contained(found[name][1]))
        self.store.register(found)


def _contained(fields: list) -> list[str]:
    """Names of the message types among a definition's fields, inside arrays and sequences too."""
    names = []
    for _, (kind, what) in fields:
        while kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            (kind, what), _length = what
        if kind == Nodetype.NAME:
            names.append(what)
    return names
