"""Messages and services: the definitions, as ``ros2 interface show`` prints them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]


def page() -> str:
    """A heading and the definition of every file in ``msg/`` and ``srv/``."""
    lines = [
        "# Messages and services",
        "",
        "Interfaces of the package `lram_ros` that no standard message covers; where they are "
        "published and served is in [ros.md](../ros.md#topics).",
    ]
    for kind, title in (("msg", "Messages"), ("srv", "Services")):
        lines += ["", f"## {title}"]
        for path in sorted((ROOT / kind).glob(f"*.{kind}")):
            definition = path.read_text(encoding="utf-8").rstrip()
            lines += ["", f"### {path.stem}", "", f"`lram_ros/{kind}/{path.stem}`", ""]
            lines += ["```text", definition, "```"]
    return "\n".join(lines) + "\n"
