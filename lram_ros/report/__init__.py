"""What a run through ROS 2 leaves to read: summary, terminal table, HTML report."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from lram_ros.report.html import write_report
from lram_ros.report.machine import describe_machine
from lram_ros.report.results import EpisodeResult, RunInfo
from lram_ros.report.summary import summarise, write_summary
from lram_ros.report.table import print_results

__all__ = [
    "REPORT",
    "SUMMARY",
    "EpisodeResult",
    "RunInfo",
    "describe_machine",
    "print_results",
    "summarise",
    "write_all",
    "write_report",
    "write_summary",
]

REPORT, SUMMARY = "report.html", "summary.json"


def write_all(folder: Path, results: list[EpisodeResult], info: RunInfo, console: Console) -> None:
    """Write report and summary into a folder and print the table."""
    write_report(folder / REPORT, results, info)
    write_summary(folder / SUMMARY, results, info)
    print_results(console, results, f"{info.suite} through ROS 2, {info.mode}")
    for note in info.notes:
        console.print(f"[yellow]note:[/] {note}")
