"""Tables for a terminal that may be narrow, without colour, or no terminal at all."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

Row = Sequence[str | Text]


def print_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Row], last: bool = False
) -> None:
    """Print a table; where the console is too narrow for it, a block of lines for each row.

    Args:
        title: above it.
        columns: heads; the first column is text, the others are numbers.
        rows: cells of each row; colour must never be all that tells two of them apart.
        last: whether the last row sums the others up, and stands apart.
    """
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, name in enumerate(columns):
        table.add_column(escape(name), justify="right" if index else "left", no_wrap=True)
    for number, row in enumerate(rows):
        if last and number == len(rows) - 1:
            table.add_section()
        table.add_row(*map(_cell, row))
    needed = Measurement.get(console, console.options.update(width=10_000), table).maximum
    if needed <= console.width:
        console.print(table)
        return
    console.print(Text(title, style="italic"))
    for row in rows:
        console.print(_cell(row[0]))
        for name, value in zip(columns[1:], row[1:], strict=True):
            console.print(Text("  ").append(f"{name}: ").append_text(_text(value)))


def _cell(value: str | Text) -> RenderableType:
    return escape(value) if isinstance(value, str) else value


def _text(value: str | Text) -> Text:
    return Text(value) if isinstance(value, str) else value
