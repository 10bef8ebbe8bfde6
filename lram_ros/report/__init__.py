"""What a run through ROS 2 leaves to read: summary, terminal table, HTML report."""

from lram_ros.report.html import write_report
from lram_ros.report.results import EpisodeResult, RunInfo
from lram_ros.report.summary import summarise, write_summary
from lram_ros.report.table import results_table

__all__ = [
    "EpisodeResult",
    "RunInfo",
    "results_table",
    "summarise",
    "write_report",
    "write_summary",
]
