"""The HTML report of ``lram eval``; its look is that of :mod:`lram_core.report`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lram_core.errors import listed
from lram_core.machine import processor_name
from lram_core.report.figures import BLUE, RED, new_figure, styled, svg_text
from lram_core.report.page import Card, Facts, Figure, Page, Section, Table
from lram_core.report.success import success_figure

if TYPE_CHECKING:
    from lram_sim.evaluate import Outcome, Summary

_BINS = 40
_COLUMNS = ("task", "episodes", "success", "95 %", "in 200", "return", "ticks")


def evaluation_page(
    outcomes: Sequence[Outcome], rows: Sequence[Summary], parameters: dict[str, Any]
) -> Page:
    """The report of an evaluation.

    Args:
        outcomes: all episodes, at least one.
        rows: figures of each task, the mean last.
        parameters: what was evaluated, as in ``results.json``.
    """
    mean = rows[-1]
    counts = [(row.name, round(row.success_rate * row.episodes), row.episodes) for row in rows[:-1]]
    return Page(
        title=f"{parameters.get('subject', 'evaluation')} in simulation",
        subtitle=(
            f"{parameters.get('suite', '')} · {len(counts)} tasks · seeds from "
            f"{listed(parameters.get('first_seeds', []))}"
        ),
        cards=[
            Card(
                f"{100 * mean.success_rate:.1f} %",
                f"success, {sum(n for _, n, _ in counts):,} of {mean.episodes:,} episodes "
                f"(95 %: {100 * mean.low:.0f}–{100 * mean.high:.0f} %)",
            ),
            Card(f"{100 * mean.success_rate_200:.1f} %", "success within 200 ticks"),
            Card(f"{mean.mean_return:,.0f}", "mean return, up to the success"),
            Card(f"{mean.mean_steps:.0f}", "mean ticks of an episode"),
        ],
        sections=[
            Section(
                "Success by task",
                [
                    Figure(success_figure(counts), f"success rate of {len(counts)} tasks"),
                    Figure(
                        _ticks_figure(outcomes),
                        "histogram of the length of the episodes",
                        "Length of the episodes: a success ends one.",
                    ),
                ],
            ),
            Section("Tasks", [_table(rows)]),
            Section("The evaluation", [_facts(parameters)]),
        ],
    )


def _ticks_figure(outcomes: Sequence[Outcome]) -> str:
    good = [outcome.steps for outcome in outcomes if outcome.success]
    bad = [outcome.steps for outcome in outcomes if not outcome.success]
    edges = np.linspace(0, max([*good, *bad]) + 1, _BINS + 1)
    with styled():
        figure, axes = new_figure(2.5)
        axes.hist(
            [good, bad], bins=edges, stacked=True, color=[BLUE, RED], label=["success", "failure"]
        )
        axes.set_xlabel("length, ticks")
        axes.set_ylabel("episodes")
        axes.margins(x=0)
        figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
        return svg_text(figure, "ticks")


def _table(rows: Sequence[Summary]) -> Table:
    return Table(
        _COLUMNS,
        [
            [
                row.name,
                str(row.episodes),
                f"{row.success_rate:.3f}",
                f"{row.low:.2f} – {row.high:.2f}",
                f"{row.success_rate_200:.3f}",
                f"{row.mean_return:,.0f}",
                f"{row.mean_steps:.0f}",
            ]
            for row in rows
        ],
    )


def _facts(parameters: dict[str, Any]) -> Facts:
    target = parameters.get("target_return")
    values = {
        "runtime": parameters.get("runtime") or "–",
        "episodes a task and block": str(parameters.get("episodes", "–")),
        "target return": "of the bundle, by task" if target is None else f"{target:g}",
        "processor": processor_name(),
        **{name: str(version) for name, version in parameters.get("versions", {}).items()},
    }
    return Facts(values, {"by task": "results.csv", "all episodes": "results.json"})
