"""Fills the manual's tables from the reports: nothing in them is typed by hand.

    python -m benchmarks.document            # rewrites the pages of the manual and their figures
    python -m benchmarks.document --check    # exit code 1 if that would change the text

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``; reports lie in
``benchmarks/results``. Where there is no report yet, the text stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    backbones_report,
    batch_throughput,
    control_loop,
    control_paths,
    domains,
    fault_tables,
    hand_moves,
    in_context,
    int8_agreement,
    latency_tables,
    learn_from_bag,
    lockstep,
    mimicgen_rates_table,
    pairs,
    plots,
    robosuite_rates_table,
    scale_plan,
    simulation,
    soak_table,
    training_table,
)

ROOT = Path(__file__).parents[1]
MANUAL = ROOT / "docs" / "benchmarks.md"
_OTHERS = (
    *("safety.md", "data.md", "simulation.md", "results.md", "scaling.md"),
    *("domains/robosuite.md", "domains/mimicgen.md"),
)
MANUALS = (MANUAL, *(ROOT / "docs" / name for name in _OTHERS))
RESULTS = Path(__file__).with_name("results")

Tables = Callable[[dict[str, Any]], dict[str, str]]
Figure = Callable[[dict[str, Any], Path], None]

# Report → its tables by name. A report NAME.json also gives tables as NAME/TABLE.
REPORTS: dict[str, tuple[Tables, Figure | None]] = {
    "tick_latency": (latency_tables.markdown, plots.latency_plot),
    "tick_latency_cuda": (latency_tables.markdown, plots.latency_plot),
    "soak": (lambda report: {"soak": soak_table.markdown(report)}, plots.soak_plot),
    "soak_int8": (lambda report: {"soak": soak_table.markdown(report)}, None),
    "batch_throughput": (batch_throughput.markdown, plots.throughput_plot),
    "batch_throughput_cuda": (batch_throughput.markdown, plots.throughput_plot),
    "int8_agreement": (int8_agreement.markdown, None),
    "control_loop": (control_loop.markdown, control_loop.plot),
    "fault_campaign": (fault_tables.markdown, None),
    "learn_from_bag": (learn_from_bag.markdown, None),
    "scale_plan": (scale_plan.markdown, None),
    "robosuite_lockstep": (lockstep.markdown, None),
    "domains_lockstep": (lockstep.markdown, None),
    "hand_moves": (hand_moves.markdown, None),
    "hand_moves_policy": (control_paths.markdown, None),
    "robosuite_realtime": (control_paths.markdown, None),
    "simulation": (simulation.markdown, None),
    "pairs": (pairs.markdown, None),
    "domains": (domains.markdown, None),
    "backbones": (backbones_report.markdown, backbones_report.plot),
    "backbones_robosuite": (backbones_report.markdown, None),
    "backbones_robosuite_longer": (backbones_report.markdown, None),
    "expert_rates": (
        lambda report: (
            mimicgen_rates_table.markdown(report) | robosuite_rates_table.markdown(report)
        ),
        None,
    ),
    "in_context": (in_context.markdown, in_context.plot),
    "training": (training_table.markdown, None),
}
MARKED = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables(results: Path) -> dict[str, str]:
    """Return ``report/table`` → Markdown for all reports that are there."""
    found = {}
    for name, (make, _) in REPORTS.items():
        file = results / f"{name}.json"
        if file.is_file():
            report = json.loads(file.read_text())
            found |= {f"{name}/{table}": text for table, text in make(report).items()}
    return found


def filled(text: str, found: dict[str, str]) -> str:
    """Return the manual with every table that was found."""

    def replaced(match: re.Match[str]) -> str:
        before, name, end = match.groups()
        return f"{before}\n{found[name]}\n\n{end}" if name in found else match.group()

    return MARKED.sub(replaced, text)


def draw(results: Path, folder: Path) -> list[Path]:
    """Draw the figure of each report that has one, as ``NAME.svg``."""
    drawn = []
    for name, (_, figure) in REPORTS.items():
        file = results / f"{name}.json"
        if figure and file.is_file():
            drawn.append(folder / f"{name}.svg")
            figure(json.loads(file.read_text()), drawn[-1])
    return drawn


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--manual", type=Path, nargs="+", default=MANUALS, help="its pages")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    found = tables(args.results)
    pages = {page: page.read_text() for page in args.manual}
    new = {page: filled(text, found) for page, text in pages.items()}
    if args.check:
        sys.exit(int(new != pages))
    for page, text in new.items():
        page.write_text(text)
    for path in draw(args.results, args.manual[0].parent):
        print(path)


if __name__ == "__main__":
    main()
