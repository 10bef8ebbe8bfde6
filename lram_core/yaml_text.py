"""YAML that is read back as it was, and no key of it lost."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import yaml


def yaml_text(data: Any) -> str:
    """Return plain data as YAML, its keys in their order.

    Characters are written as they are, unless PyYAML would read them back as others: it takes
    some, such as U+0085, for the end of a line. Then they are escaped.
    """
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    with suppress(yaml.YAMLError):
        if yaml.safe_load(text) == data:
            return text
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=False, width=100)


def read_yaml(text: str) -> Any:
    """Return what a text in YAML says, as ``yaml.safe_load`` does; a key stands once in a mapping.

    Raises:
        yaml.YAMLError: it is no YAML, or a key is there twice.
    """
    return yaml.load(text, Loader=_Strict)


class _Strict(yaml.SafeLoader):
    """PyYAML takes the last of equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
