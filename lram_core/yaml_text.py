"""YAML that is read back as it was."""

from __future__ import annotations

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
