"""A report as HTML: one file, everything inside it, nothing loaded from anywhere.

A report is a :class:`Page` of plain data; the one template in this folder gives it its look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from lram_core.data.files import atomic_path

Tone = Literal["", "good", "bad", "soft"]


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Card:
    """One figure at the head of the page: its value, large, and what it is."""

    value: str
    text: str
    tone: Tone = ""


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        svg: the ``<svg>`` element.
        label: what is drawn, for those who cannot see it, and for the test that looks for it.
        caption: a line below it.
    """

    svg: str
    label: str
    caption: str = ""
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True)
class Table:
    """Rows under column heads; the first column is text, the others are numbers."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    kind: str = field(default="table", init=False)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    tone: Tone = "soft"
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Facts:
    """Name → value; ``links``: name → a file beside the report."""

    values: Mapping[str, str]
    links: Mapping[str, str] = field(default_factory=dict)
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True)
class Fold:
    """Blocks that are hidden until the reader opens them."""

    title: str
    blocks: Sequence[Block]
    kind: str = field(default="fold", init=False)


Block = Figure | Table | Text | Facts | Fold


@dataclass(frozen=True)
class Section:
    """Blocks under a heading; figures that follow each other stand side by side where there is
    room."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        title, subtitle: the head.
        notes: what a reader must know first.
        cards: the most important figures.
        sections: the rest.
    """

    title: str
    subtitle: str
    cards: Sequence[Card]
    sections: Sequence[Section]
    notes: Sequence[str] = ()


def grouped(blocks: Sequence[Block]) -> list[list[Block]]:
    """Return the blocks one by one, but for figures that follow each other: those together."""
    groups: list[list[Block]] = []
    for block in blocks:
        if groups and isinstance(block, Figure) and isinstance(groups[-1][0], Figure):
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def render(page: Page) -> str:
    """Return the page as HTML text."""
    environment = Environment(
        loader=PackageLoader("lram_core.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["grouped"] = grouped
    return environment.get_template("page.html.jinja").render(page=page)


def write_page(path: Path, page: Page) -> None:
    """Write the page; the file appears complete or not at all."""
    write_text(path, render(page))


def write_text(path: Path, text: str) -> None:
    """Write a text file; it appears complete or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
