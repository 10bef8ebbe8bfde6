"""The HTML report of ``lram eval``; its look is that of :mod:`lram_core.report`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lram_core.errors import listed
from lram_core.machine import processor_name
from lram_core.report.figures import BLUE, RED, new_figure, styled, svg_text
from lram_core.report.page import Card, Facts, Figure, Page, Section, Table
from lram_core.report.success import rate_figure, success_figure
from lram_sim.summaries import SHORT_HORIZON, Outcome, ReturnSummary, Summary, broken_episodes

_BINS = 40


def evaluation_page(
    outcomes: Sequence[Outcome],
    rows: Sequence[Summary] | Sequence[ReturnSummary],
    parameters: dict[str, Any],
) -> Page:
    """The report of an evaluation.

    Args:
        outcomes: all episodes, at least one.
        rows: figures of each task, the mean last.
        parameters: what was evaluated, as in ``results.json``.
    """
    mean = rows[-1]
    cards, figure = _returns(rows) if isinstance(mean, ReturnSummary) else _successes(rows)
    return Page(
        title=f"{parameters.get('subject', 'evaluation')} in simulation",
        subtitle=(
            f"{parameters.get('suite', '')} · {len(rows) - 1} tasks · seeds from "
            f"{listed(parameters.get('first_seeds', []))}"
        ),
        cards=[*cards, Card(f"{mean.mean_steps:.0f}", "mean ticks of an episode")],
        sections=[
            Section(
                "By task",
                [
                    figure,
                    Figure(
                        _ticks_figure(outcomes),
                        "histogram of the length of the episodes",
                        "Length of the episodes: a success ends one.",
                    ),
                ],
            ),
            Section("Tasks", [Table(mean.COLUMNS, [row.cells() for row in rows])]),
            Section("The evaluation", [_facts(outcomes, parameters)]),
        ],
    )


def _successes(rows: Sequence[Any]) -> tuple[list[Card], Figure]:
    mean = rows[-1]
    counts = [(row.name, round(row.success_rate * row.episodes), row.episodes) for row in rows[:-1]]
    cards = [
        Card(
            f"{100 * mean.success_rate:.1f} %",
            f"success, {sum(n for _, n, _ in counts):,} of {mean.episodes:,} episodes "
            f"(95 %: {100 * mean.low:.0f}–{100 * mean.high:.0f} %)",
        ),
        Card(f"{100 * mean.success_rate_200:.1f} %", f"success within {SHORT_HORIZON} ticks"),
        Card(f"{mean.mean_return:,.0f}", "mean return, up to the success"),
    ]
    return cards, Figure(success_figure(counts), f"success rate of {len(counts)} tasks")


def _returns(rows: Sequence[Any]) -> tuple[list[Card], Figure]:
    mean = rows[-1]
    cards = [
        Card(
            f"{mean.normalised_return:.3f}",
            f"normalised return of {mean.episodes:,} episodes "
            f"(95 %: {mean.low:.2f}–{mean.high:.2f})",
        ),
        Card(f"{mean.mean_return:,.0f}", "mean return"),
        Card(f"{mean.least_return:,.0f}", "smallest return"),
    ]
    bars = [
        (row.name, row.normalised_return, row.low, row.high, f"{row.mean_return:,.0f}")
        for row in rows[:-1]
    ]
    figure = rate_figure(bars, "return as a share of the reference", "returns")
    return cards, Figure(figure, f"normalised return of {len(bars)} tasks")


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


def _facts(outcomes: Sequence[Outcome], parameters: dict[str, Any]) -> Facts:
    target = parameters.get("target_return")
    values = {
        "runtime": parameters.get("runtime") or "–",
        "episodes a task and block": str(parameters.get("episodes", "–")),
        "target return": "of the bundle, by task" if target is None else f"{target:g}",
        **({"simulation": broken} if (broken := broken_episodes(outcomes)) else {}),
        "processor": processor_name(),
        **{name: str(version) for name, version in parameters.get("versions", {}).items()},
    }
    return Facts(values, {"by task": "results.csv", "all episodes": "results.json"})
