"""What ``lram bench`` prints: plain tables that fit 80 columns."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from lram_core.bench.bench import BundleReport, Way
from lram_core.bench.timing import Latency


def print_report(report: BundleReport, console: Console) -> None:
    """Print what was found for one bundle."""
    console.print(_ways(report))
    for way in report.ways:
        if way.unavailable:
            name = f"{way.runtime} {way.precision}".strip()
            console.print(f"not here: {name}: {way.unavailable}")
        elif way.parity and not way.parity.passed:
            console.print(f"refused: {way.label}: {way.parity}")
    chosen = [way for way in (report.fastest(), report.fastest_rounded) if way]
    for way, what in zip(chosen, ("fastest", "with rounded weights"), strict=False):
        assert way.tick is not None
        console.print(
            f"{what}: {way.label}, {_threads(way)}: "
            f"p50 {_ms(way.tick.p50)} ms, p99.9 {_ms(way.tick.p999)} ms"
        )
    if chosen:
        console.print()
        console.print(_rates(report, chosen))


def _ways(report: BundleReport) -> Table:
    table = Table(
        title=f"{report.bundle}\n{report.machine}, torch {report.torch}; tick in ms",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("runtime", no_wrap=True)
    for name in ("thr", "bins =", "p50", "p99", "p99.9", "max", "early p50", "p99.9"):
        table.add_column(name, justify="right", no_wrap=True)
    for way in report.ways:
        if way.unavailable or way.parity is None:
            continue
        share = f"{100 * way.parity.agreement:.1f} %"
        table.add_row(
            way.label, str(way.threads), share, *_cells(way.tick), *_early(way.tick_reward_early)
        )
    table.caption = "early: the last reward was taken before the observation came"
    return table


def _rates(report: BundleReport, chosen: list[Way]) -> Table:
    table = Table(
        title="Control rates held (period over p99.9)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    table.add_column("rate", justify="right", no_wrap=True)
    table.add_column("period", justify="right", no_wrap=True)
    for way in chosen:
        table.add_column(way.label, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    held = [report.held(way) for way in chosen]
    for number, rate in enumerate(report.rates):
        table.add_row(
            f"{rate:g} Hz",
            f"{1e3 / rate:.1f} ms",
            *(
                f"holds, margin ×{each[number].margin:.1f}"
                if each[number].holds
                else f"does not hold, ×{each[number].margin:.2f}"
                for each in held
            ),
            "this bundle's" if rate == report.control_rate else "",
        )
    return table


def _cells(latency: Latency | None) -> list[str]:
    if latency is None:
        return ["–"] * 4
    return [_ms(value) for value in (latency.p50, latency.p99, latency.p999, latency.max)]


def _early(latency: Latency | None) -> list[str]:
    return ["–"] * 2 if latency is None else [_ms(latency.p50), _ms(latency.p999)]


def _ms(value: float) -> str:
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _threads(way: Way) -> str:
    return "1 thread" if way.threads == 1 else f"{way.threads} threads"
