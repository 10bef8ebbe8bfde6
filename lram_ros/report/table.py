"""The table of a run for the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from lram_core.report.terminal import print_table
from lram_ros.report.results import EpisodeResult, latencies, percentiles_ms

COLUMNS = ("task", "success", "return", "ticks", "p50 ms", "p99 ms", "loop Hz")


def print_results(console: Console, results: list[EpisodeResult], title: str) -> None:
    """Print a row an episode, the whole last; a table of 80 columns at most."""
    rows: list[list[str | Text]] = []
    for result in results:
        mark = Text("yes", "green") if result.success else Text("no", "red")
        rows.append([result.task, mark, *_figures([result])])
    successes = sum(result.success for result in results)
    rows.append([f"{len(results)} episodes", f"{successes}/{len(results)}", *_figures(results)])
    print_table(console, title, COLUMNS, rows, last=True)


def _figures(results: list[EpisodeResult]) -> list[str]:
    """Return (mean), ticks (sum), latencies (all ticks) and loop rate (over all) of a row."""
    if not results:
        return ["–"] * 5
    ticks, wall = sum(r.ticks for r in results), sum(r.wall for r in results)
    tick_ms = percentiles_ms(latencies(results))
    return [
        f"{sum(r.episode_return for r in results) / len(results):,.0f}",
        f"{ticks:,}",
        *("–" if tick_ms[key] is None else f"{tick_ms[key]:.2f}" for key in ("p50", "p99")),
        f"{ticks / wall:,.0f}" if wall > 0 else "–",
    ]
