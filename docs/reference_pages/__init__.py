"""Pages of the manual that are made of the code while the site is built, never by hand."""

from __future__ import annotations

from pathlib import Path

from reference_pages import (
    command_line,
    contract_schema,
    interfaces,
    parameters,
    python_api,
    settings,
    topics,
)

PAGES = {
    "cli.rst": command_line.page,
    "contract.md": contract_schema.page,
    "interfaces.md": interfaces.page,
    "parameters.md": parameters.page,
    "settings.md": settings.page,
    "topics.md": topics.page,
    **python_api.pages(),
}
"""File → function that returns its text."""


def write_pages(folder: Path) -> None:
    """Write all pages into ``folder``; one that has not changed is left alone, for the builder."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in PAGES:
            old.unlink()
    for name, page in PAGES.items():
        path, text = folder / name, page()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
