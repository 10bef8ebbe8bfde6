"""The table of a run for the terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table

from lram_ros.report.results import EpisodeResult, latencies, percentiles_ms

COLUMNS = ("task", "success", "return", "ticks", "p50 ms", "p99 ms", "loop Hz")


def results_table(results: list[EpisodeResult], title: str) -> Table:
    """A row an episode, the whole last; 80 columns wide at most."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if index else "left", no_wrap=index > 0)
    for result in results:
        mark = "[green]yes[/]" if result.success else "[red]no[/]"
        table.add_row(result.task, mark, *_figures([result]))
    table.add_section()
    successes = sum(result.success for result in results)
    table.add_row(f"{len(results)} episodes", f"{successes}/{len(results)}", *_figures(results))
    return table


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
