"""Numbers of a replay, for people."""

from __future__ import annotations


def number(value: float | None) -> str:
    """Three significant digits; a dash for what was not measured."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(value: float | None, times: float = 1.0) -> str:
    """The same of ``value * times``, with the sign."""
    if value is None:
        return "–"
    scaled = value * times
    return f"{scaled:.0f} %" if scaled in (0.0, 100.0) else f"{scaled:.3g} %"
