"""References to Python objects that have no page: right as long as the object is in the code.

The reference has pages of what is public alone, and none of other projects. A docstring may speak
of more; what it names must still be there, or the manual is not built.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from docutils.nodes import Element, TextElement
from sphinx.application import Sphinx


def unlinked(
    app: Sphinx, environment: Any, reference: Element, shown: TextElement
) -> TextElement | None:
    """Answer Sphinx's event ``missing-reference``: text without a link where the object exists."""
    if reference.get("refdomain") != "py":
        return None
    module, owner = reference.get("py:module"), reference.get("py:class")
    target = reference["reftarget"]
    places = [target]
    if module:
        places += [f"{module}.{target}", *([f"{module}.{owner}.{target}"] if owner else [])]
    found = any(map(exists, places)) or ("." not in target and _ours(target))
    return shown if found else None


def _ours(name: str) -> bool:
    """Whether one of this project's modules has ``name``, as an exception that it lets through."""
    modules = [module for key, module in sys.modules.items() if key.startswith("lram_")]
    return any(hasattr(module, name) for module in modules)


def exists(name: str) -> bool:
    """Whether ``name`` is a module, or what can be reached from one by dots."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            if part in getattr(found, "__annotations__", {}):
                return True  # a field of a dataclass, without a default
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False
