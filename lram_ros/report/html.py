"""The HTML report: one file, everything inside it, nothing loaded from anywhere."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lram_ros.report.figures import latency_figure, stage_figure, success_figure
from lram_ros.report.results import EpisodeResult, RunInfo
from lram_ros.report.summary import summarise, write_text


def render_report(results: list[EpisodeResult], info: RunInfo) -> str:
    """The report of a run as HTML text.

    Raises:
        ValueError: there is no episode.
    """
    environment = Environment(
        loader=PackageLoader("lram_ros.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ms"] = lambda value: "–" if value is None else f"{value:.2f}"
    return environment.get_template("report.html.jinja").render(
        summary=summarise(results, info),
        info=info,
        latency=Markup(latency_figure(results, info.control_rate)),
        success=Markup(success_figure(results)),
        stages=Markup(stage_figure(results)),
    )


def write_report(path: Path, results: list[EpisodeResult], info: RunInfo) -> None:
    """Write the report; the file appears complete or not at all."""
    write_text(path, render_report(results, info))
