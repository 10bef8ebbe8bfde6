"""The style of figures in reports: inline SVG, drawn without a display and without global state."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

INK, BLUE, ORANGE, GREEN, RED, GREY = (
    "#111827",
    "#2563eb",
    "#d97706",
    "#15803d",
    "#b91c1c",
    "#6b7280",
)
WIDTH = 4.6  # inches; on a phone the text then keeps about the size of the page's text
POINTS = 600  # of a line; more than a figure has pixels cost space and show nothing

STYLE = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's font
    "svg.hashsalt": "lram",  # the same results give the same file
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "lines.linewidth": 1.2,
}
_REFERENCE = re.compile(r'(\bid="|url\(#|href="#)')


@contextmanager
def styled() -> Iterator[None]:
    """Everything drawn inside has the style of the reports."""
    with mpl.rc_context(STYLE):
        yield


def new_figure(height: float, rows: int = 1) -> tuple[Figure, Any]:
    """Return a figure of the page's width, ``height`` inches, and its axes.

    One axes object for one row; else an array of ``rows``, with a common horizontal axis.
    """
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    if rows == 1:
        return figure, figure.add_subplot()
    return figure, figure.subplots(rows, 1, sharex=True)


def svg_text(figure: Figure, name: str) -> str:
    """Return the ``<svg>`` element alone, without the declaration that belongs into a file.

    Args:
        figure: is used up.
        name: of letters, digits and hyphens, unique in the page: it begins every id inside, so
            that one figure does not refer to what another one has hidden or shown.
    """
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    text = stream.getvalue()
    return _REFERENCE.sub(rf"\g<1>{name}-", text[text.index("<svg") :])


def thinned(
    x: npt.ArrayLike, y: npt.ArrayLike, points: int = POINTS
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return a line of at most ``points`` (and a few) points that shows the same peaks.

    Of each stretch of a long line the lowest and the highest value are kept, where they are.
    Values that are not finite stay gaps.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(xs) <= points:
        return xs, ys
    edges = np.linspace(0, len(xs), points // 2 + 1).astype(int)
    kept: list[int] = []
    for start, end in pairwise(edges):
        part = ys[start:end]
        if not np.isfinite(part).any():
            kept.append(start)
            continue
        kept += sorted({start + int(np.nanargmin(part)), start + int(np.nanargmax(part))})
    return xs[kept], ys[kept]
